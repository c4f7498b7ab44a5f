"""`platformbus webhooks send`: push as a platform would, for drills. The app's secret never leaves this process."""

import hashlib
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import httpx
import typer

from libs.platforms.base import WebhookDrill
from libs.platforms.registry import PlatformSettings, build_platforms
from libs.vocabulary import PlatformName
from services.cli.bus import Bus, bus_of
from services.cli.errors import AskedWrongly, Failed
from services.cli.options import AsJson
from services.cli.webhook_apps import AppWord, Platform, SecretEnv, SecretFile, SecretStdin, read_secret

MOST_SENT: Final = 10_000
MOST_FOLLOWED: Final = 100
"""Deliveries whose fate is looked up one by one."""
_POLL_SECONDS: Final = 0.2
_CLOCKS_DIFFER: Final = timedelta(minutes=2)
_OPEN: Final = ("received", "processing")
_SHOWN: Final = ("id", "status", "reason", "error", "attempts", "changes", "publications")


def send(
    ctx: typer.Context,
    app: AppWord,
    platform: Platform = PlatformName.META,
    sample: Annotated[str | None, typer.Option("--sample", help="What to tell of; a wrong name lists them.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="The body as it is; - is standard input.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", metavar="ID", help="Whose account the sample is of.")
    ] = None,
    secret_stdin: SecretStdin = False,
    secret_file: SecretFile = None,
    secret_env: SecretEnv = None,
    wrong_signature: Annotated[
        bool, typer.Option("--wrong-signature", help="Sign with a secret that nobody has: it must be refused.")
    ] = False,
    repeat: Annotated[int, typer.Option("--repeat", min=1, max=MOST_SENT, help="How many, one after the other.")] = 1,
    same: Annotated[bool, typer.Option("--same", help="Repeat the same delivery, as platforms do.")] = False,
    wait: Annotated[
        float | None, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long for what becomes of it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Push a signed delivery to the receiver and say what it answered.

    The secret comes from --secret-file, --secret-stdin or --secret-env, else from the platform's own settings. Ends
    with 1 when an answer is not what it should be: 200, or 401 to a wrong signature.
    """
    bus = bus_of(ctx, as_json)
    drill = build_platforms(None)[platform].webhook_drill
    if drill is None:
        raise AskedWrongly(f"what {platform.value} pushes cannot be made here")
    if wait is not None and (wrong_signature or repeat > MOST_FOLLOWED):
        raise AskedWrongly(f"--wait follows up to {MOST_FOLLOWED} deliveries with a true signature")
    bodies = _bodies(drill, sample, file, account, 1 if same else repeat)
    if wrong_signature:
        secret = hashlib.sha256(bodies[0]).hexdigest()
    elif secret_stdin or secret_file is not None or secret_env is not None:
        secret = read_secret(secret_stdin, secret_file, secret_env)
    else:
        secret = _configured(platform, app)
    started = datetime.now(UTC)
    path = f"/webhooks/{platform.value}/{quote(app, safe='')}"
    pushed = [body for body in bodies for _ in range(repeat if same else 1)]
    answers = [_push(bus, path, body, drill, secret) for body in pushed]
    counts = Counter(str(answer.status_code) for answer in answers)
    shown: dict[str, Any] = {"sent": len(answers), "answers": dict(counts), "last": answers[-1].text[:500]}
    if wait is not None:
        stored = [body for body, answer in zip(pushed, answers, strict=True) if answer.is_success]
        shown["became"] = _follow(bus, platform, app, stored, started, wait)
    bus.out.record(shown)
    if set(counts) != {"401" if wrong_signature else "200"}:
        raise typer.Exit(1)


def _bodies(drill: WebhookDrill, sample: str | None, file: str | None, account: str | None, count: int) -> list[bytes]:
    if file is not None:
        if sample is not None or account is not None:
            raise AskedWrongly("a --file is sent as it is: it has no --sample and no --account")
        try:
            return [sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()] * count
        except OSError as error:
            raise AskedWrongly(f"{file} cannot be read: {error}") from None
    if sample is None or sample not in drill.samples:
        raise AskedWrongly(f"give a --file, or a --sample of: {', '.join(drill.samples)}")
    return [drill.sample(sample, account) for _ in range(count)]


def _configured(platform: PlatformName, app: str) -> str:
    secret = PlatformSettings().app_secrets.get((platform.value, app))
    if secret is None:
        raise AskedWrongly(
            f"the settings of {platform.value} have no secret of app {app}: use --secret-file, --secret-stdin or "
            "--secret-env"
        )
    return secret


def _push(bus: Bus, path: str, body: bytes, drill: WebhookDrill, secret: str) -> httpx.Response:
    headers = {name.decode(): value.decode("latin-1") for name, value in drill.sign(body, secret.encode())}
    return bus.fetch("webhook_receiver", "POST", path, content=body, headers=headers)


def _follow(
    bus: Bus, platform: PlatformName, app: str, stored: list[bytes], started: datetime, wait_seconds: float
) -> list[dict[str, Any]]:
    """Give what became of each delivery, found by the hash of its body. Raises: Failed when one is still open."""
    wanted = {hashlib.sha256(body).hexdigest() for body in stored}
    sizes = {len(body) for body in stored}
    params = {"platform": platform.value, "app": app, "since": (started - _CLOCKS_DIFFER).isoformat(), "limit": 500}
    deadline = time.monotonic() + wait_seconds
    ended: dict[str, dict[str, Any]] = {}
    while True:
        rows = bus.ask("webhook_receiver", "GET", "/v1/webhooks", params=params, for_all=True)["webhooks"]
        for row in rows:
            if row["body_bytes"] in sizes and row["status"] not in _OPEN and row["id"] not in ended:
                whole = bus.ask("webhook_receiver", "GET", f"/v1/webhooks/{row['id']}", for_all=True)
                ended[row["id"]] = whole
        found = [whole for whole in ended.values() if whole["body_sha256"] in wanted]
        if len(found) >= len(stored) and wanted <= {whole["body_sha256"] for whole in found}:
            return [{name: whole[name] for name in _SHOWN} for whole in found]
        if time.monotonic() >= deadline:
            raise Failed(f"{len(found)} of {len(stored)} deliveries ended within {wait_seconds:g} s")
        time.sleep(_POLL_SECONDS)
