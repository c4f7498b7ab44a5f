"""`platformbus webhooks send`: push as a platform would, for drills. The app's secret never leaves this process."""

import hashlib
import sys
import time
from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
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
_CLOCKS_DIFFER: Final = timedelta(seconds=10)
"""Between processes of the receiver; this machine's clock is never compared with theirs."""
_PAGE_ROWS: Final = 500
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
    seen = _Seen(bus, platform, app, {len(body) for body in bodies}) if wait is not None else None
    path = f"/webhooks/{platform.value}/{quote(app, safe='')}"
    pushed = [body for body in bodies for _ in range(repeat if same else 1)]
    answers = [_push(bus, path, body, drill, secret) for body in pushed]
    counts = Counter(str(answer.status_code) for answer in answers)
    shown: dict[str, Any] = {"sent": len(answers), "answers": dict(counts), "last": answers[-1].text[:500]}
    if seen is not None and wait is not None:
        stored = [body for body, answer in zip(pushed, answers, strict=True) if answer.is_success]
        shown["became"] = _follow(bus, seen.new(), stored, wait)
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


class _Seen:
    """The app's deliveries of some sizes as they were before anything is sent; later it tells those that are new.

    Raises as `Bus.ask`.
    """

    def __init__(self, bus: Bus, platform: PlatformName, app: str, sizes: Collection[int]) -> None:
        self._bus = bus
        self._sizes = sizes
        self._params: dict[str, Any] = {"platform": platform.value, "app": app}
        newest, _ = self._page({"limit": 1})
        if newest:
            since = datetime.fromisoformat(newest[0]["received_at"]) - _CLOCKS_DIFFER
            self._params["since"] = since.isoformat()
        self._before = self._ids() if newest else frozenset()

    def new(self) -> list[str]:
        """Give the ids of those that came since; what was answered is listed, so one look shows all of it."""
        return sorted(self._ids() - self._before)

    def _ids(self) -> frozenset[str]:
        found: set[str] = set()
        following: str | None = None
        while True:
            rows, following = self._page({"limit": _PAGE_ROWS, "cursor": following})
            found |= {row["id"] for row in rows if row["body_bytes"] in self._sizes}
            if following is None:
                return frozenset(found)

    def _page(self, more: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
        answer = self._bus.ask("webhook_receiver", "GET", "/v1/webhooks", params=self._params | more, for_all=True)
        return answer["webhooks"], answer["next_cursor"]


def _follow(bus: Bus, candidates: list[str], stored: list[bytes], wait_seconds: float) -> list[dict[str, Any]]:
    """Give what became of each delivery, found by the hash of its body. Raises: Failed when one is still open."""
    wanted = {hashlib.sha256(body).hexdigest() for body in stored}
    deadline = time.monotonic() + wait_seconds
    ended: list[dict[str, Any]] = []
    while True:
        still_open: list[str] = []
        for each in candidates:
            whole = bus.ask("webhook_receiver", "GET", f"/v1/webhooks/{each}", for_all=True)
            if whole["body_sha256"] in wanted:
                if whole["status"] in _OPEN:
                    still_open.append(each)
                else:
                    ended.append(whole)
        candidates = still_open
        if not candidates and len(ended) >= len(stored):
            return [{name: whole[name] for name in _SHOWN} for whole in ended]
        if time.monotonic() >= deadline:
            raise Failed(f"{len(ended)} of {len(stored)} deliveries ended within {wait_seconds:g} s")
        time.sleep(_POLL_SECONDS)
