import pytest
from pydantic import ValidationError

from libs.platforms.base import Credential
from libs.platforms.meta.settings import MetaSettings


def test_settings_are_read_from_the_environment_and_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_GRAPH_URL", "http://127.0.0.1:1/graph.facebook.com")
    monkeypatch.setenv("META_APP_SECRETS", '{"4711": "the-app-secret"}')
    settings = MetaSettings()
    assert settings.graph_url == "http://127.0.0.1:1/graph.facebook.com"
    assert settings.app_secret(Credential("t", "4711")) == "the-app-secret"
    assert settings.app_secret(Credential("t", "4711", "own")) == "own"
    assert settings.app_secret(Credential("t", "1")) is None
    assert "the-app-secret" not in repr(settings)


@pytest.mark.parametrize("wrong", [{"graph_url": "ftp://x"}, {"api_version": "26"}, {"timeout_seconds": 0}])
def test_settings_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MetaSettings.model_validate(wrong)
