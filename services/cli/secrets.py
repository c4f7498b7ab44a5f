"""`platformbus secrets`: the key-encryption keys, in the file that SECRETS_KEK_FILE names. Keys are never shown."""

import time
from typing import Annotated

import typer

from libs.security.key_file import activate_key, new_key, read_keys, remove_key
from services.cli.bus import bus_of
from services.cli.connections import reseal_all
from services.cli.errors import Failed
from services.cli.options import AsJson, DryRun

commands = typer.Typer(no_args_is_help=True, help="Key-encryption keys: list, add, activate, rotate, remove.")

_COLUMNS = (("key_id", "KEY"), ("active", "ACTIVE"))

KeyId = Annotated[str, typer.Argument(help="Id of the key, as `list-keks` shows it.")]


@commands.command("list-keks")
def list_keks(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the ids of the keys in the file."""
    bus = bus_of(ctx, as_json)
    keys = read_keys(bus.path("SECRETS_KEK_FILE"))
    bus.out.table([{"key_id": key_id, "active": key_id == keys.active} for key_id in sorted(keys.by_id)], _COLUMNS)


@commands.command("add-kek")
def add_kek(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Add a key that seals nothing yet: the first step of a rotation over several machines."""
    bus = bus_of(ctx, as_json)
    path = bus.path("SECRETS_KEK_FILE")
    if dry_run:
        bus.out.done(f"would add a key to {path}", dry_run=True)
        return
    key_id = new_key(path, activate=False)
    bus.out.done(f"added {key_id} to {path}; bring the file to every machine, then activate the key", key_id=key_id)


@commands.command("activate-kek")
def activate_kek(ctx: typer.Context, key_id: KeyId, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Seal with this key from now on: the second step, once every machine has the file."""
    bus = bus_of(ctx, as_json)
    path = bus.path("SECRETS_KEK_FILE")
    if not dry_run:
        activate_key(path, key_id)
    bus.out.done(f"{'would activate' if dry_run else 'activated'} {key_id}", key_id=key_id, dry_run=dry_run)


@commands.command("remove-kek")
def remove_kek(
    ctx: typer.Context,
    key_id: KeyId,
    yes: Annotated[
        bool, typer.Option("--yes", help="No table and no topic has anything sealed under it any more.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Forget an old key for ever: whatever is still sealed under it is lost."""
    bus = bus_of(ctx, as_json)
    path = bus.path("SECRETS_KEK_FILE")
    if not dry_run:
        if not yes:
            bus.out.remark("what is still sealed under it, in tables or on topics, can never be opened again")
            typer.confirm(f"Remove {key_id}?", abort=True, err=True)
        remove_key(path, key_id)
    bus.out.done(f"{'would remove' if dry_run else 'removed'} {key_id}", key_id=key_id, dry_run=dry_run)


@commands.command("rotate-kek")
def rotate_kek(
    ctx: typer.Context,
    settle_seconds: Annotated[
        float, typer.Option("--settle-seconds", min=0, help="How long services get to see the changed file.")
    ] = 3.0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add a key, activate it and put all that is sealed under it, without downtime.

    For services that read this very file. Where each machine has a copy: add-kek, copy, activate-kek, copy,
    `connections reseal`; the apps of webhooks follow within the hour. Old keys stay until `remove-kek`.
    """
    bus = bus_of(ctx, as_json)
    path = bus.path("SECRETS_KEK_FILE")
    before = read_keys(path).active
    if dry_run:
        bus.out.done(f"would add a key to {path} in the place of {before}, and reseal all that is sealed", dry_run=True)
        return
    # Refused before anything is changed, when the key may not do it or a service that seals is away.
    bus.ask("asset_sync", "GET", "/admin/outbox")
    bus.ask("webhook_receiver", "GET", "/admin/outbox")
    key_id = new_key(path, activate=False)
    bus.out.remark(f"added {key_id}; every service sees it within {settle_seconds:g} s")
    time.sleep(settle_seconds)
    activate_key(path, key_id)
    bus.out.remark(f"activated {key_id}")
    time.sleep(settle_seconds)
    done = reseal_all(bus)
    apps = bus.ask("webhook_receiver", "POST", "/v1/webhook-apps:reseal", for_all=True)
    bus.out.record({"key_id": key_id, "was": before} | done | {"webhook_secrets_resealed": apps["resealed"]})
    for service, answer in (("asset_sync", done), ("webhook_receiver", apps)):
        if answer["failed"] or answer["kek_id"] != key_id:
            raise Failed(
                f"not every token is under {key_id}: {answer['failed']} failed, {service} seals with {answer['kek_id']}"
            )
