"""The command `platformbus`: what an operator does, from a terminal or a script.

Calls:     the HTTP routes of ingest, asset_sync, batcher and webhook_receiver, with the key in PLATFORMBUS_KEY
Touches:   the databases only for `migrate` and `keys bootstrap`; the broker only for `topics apply|compare`;
           the file of key-encryption keys only for `secrets`
Consumes, publishes, owns:   nothing

One file per noun. Every command prints a table or a record for people, or JSON with `--json`; what changes something
takes `--dry-run`. Ends with 0 when done, 1 when refused or failed, 2 when asked wrongly or not told where things are.
"""
