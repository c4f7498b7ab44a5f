import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ServiceSettings


class ThisSettings(ServiceSettings):
    """Settings of a service called `this`."""

    model_config = SettingsConfigDict(env_prefix="THIS_")


def test_settings_come_from_prefixed_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIS_WORKER_DSN", "postgresql://w:secret-w@h/db")
    monkeypatch.setenv("THIS_API_DSN", "postgresql://a:secret-a@h/db")
    monkeypatch.setenv("THIS_PORT", "8001")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    settings = ThisSettings()
    assert settings.port == 8001
    assert settings.otlp_endpoint == "http://collector:4318"
    assert settings.api_dsn.get_secret_value() == "postgresql://a:secret-a@h/db"
    assert "secret-w" not in repr(settings)


def test_a_setting_out_of_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THIS_WORKER_DSN", "x")
    monkeypatch.setenv("THIS_API_DSN", "x")
    monkeypatch.setenv("THIS_DRAIN_SECONDS", "-1")
    with pytest.raises(ValidationError, match="drain_seconds"):
        ThisSettings()
