from pathlib import Path

import pytest
from pydantic import ValidationError

from services.webhook_receiver.settings import WebhookReceiverSettings

NEEDED = {
    "SECRETS_KEK_FILE": "kek.json",
    "WEBHOOK_RECEIVER_WORKER_DSN": "postgresql://webhook_receiver_worker@h/d",
    "WEBHOOK_RECEIVER_API_DSN": "postgresql://webhook_receiver_api@h/d",
}


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_the_names_of_the_system_before_work_and_the_new_ones_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (WebhookReceiverSettings().store_raw, WebhookReceiverSettings().retention_days) == (True, 30.0)
    monkeypatch.setenv("WEBHOOK_STORE_RAW", "false")
    monkeypatch.setenv("WEBHOOK_RETENTION_DAYS", "7")
    assert (WebhookReceiverSettings().store_raw, WebhookReceiverSettings().retention_days) == (False, 7.0)
    monkeypatch.setenv("WEBHOOK_RECEIVER_RETENTION_DAYS", "9")
    assert WebhookReceiverSettings().retention_days == 9.0
    assert WebhookReceiverSettings().kek_file == Path("kek.json")


def test_a_pool_that_the_edges_writers_would_fill_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for few in ("1", "3"):
        monkeypatch.setenv("WEBHOOK_RECEIVER_POOL_MAX_SIZE", few)
        with pytest.raises(ValidationError, match="greater than or equal to 4"):
            WebhookReceiverSettings()


def test_verify_tokens_name_platform_and_app_and_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_VERIFY_TOKENS", '{"meta/1001": "planted-token"}')
    settings = WebhookReceiverSettings()
    assert settings.verify_tokens_by_app == {("meta", "1001"): "planted-token"}
    assert "planted-token" not in repr(settings)
    for wrong in ('{"1001": "t"}', '{"meta/": "t"}', '{"meta/a/b": "t"}'):
        monkeypatch.setenv("WEBHOOK_VERIFY_TOKENS", wrong)
        with pytest.raises(ValidationError, match="platform/app"):
            WebhookReceiverSettings()
