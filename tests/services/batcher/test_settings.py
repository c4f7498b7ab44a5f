import pytest
from pydantic import ValidationError

from libs.vocabulary import PlatformName
from services.batcher.settings import BatcherSettings, PlatformSwitches

NEEDED = {
    "BATCHER_WORKER_DSN": "postgresql://w",
    "BATCHER_API_DSN": "postgresql://a",
    "VALKEY_URL": "valkey://127.0.0.1:1/0",
    "SECRETS_KEK_FILE": "/keys.json",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_the_old_names_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_BATCH_ENABLED", "false")
    monkeypatch.setenv("PLATFORM_BATCH_LOG_LEVEL", "warning")
    monkeypatch.setenv("PLATFORM_BATCH_LOG_REQUESTS", "true")
    settings = BatcherSettings()
    assert (settings.enabled, settings.log_level, settings.log_requests) == (False, "WARNING", True)


def test_a_platform_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PlatformSwitches().on() == tuple(PlatformName)
    monkeypatch.setenv("PLATFORM_BATCH_META_ENABLED", "false")
    assert PlatformName.META not in PlatformSwitches().on()


def test_a_call_must_end_before_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHER_LEASE_SECONDS", "30")
    with pytest.raises(ValidationError, match="shorter than lease_seconds"):
        BatcherSettings()
