"""The local stack: real Postgres, Kafka and Valkey from package registries, then the services, with nothing but Python.

`python -m deploy.local up|down|status|env|migrate|demo`. Everything that runs is recorded under `.local/run`, so that
the next command finds it, and a record whose process is gone, or whose number is somebody else's by now, is recognised.
"""
