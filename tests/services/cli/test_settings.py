"""Where the command finds its variables."""

from pathlib import Path

import pytest

from services.cli.settings import read_settings


def test_a_variable_that_is_set_comes_before_the_local_stacks_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("INGEST_URL", "BATCHER_URL", "PLATFORMBUS_KEY", "INGEST_OWNER_DSN"):
        monkeypatch.delenv(name, raising=False)
    env = tmp_path / "env"
    env.write_text(
        "INGEST_URL=http://127.0.0.1:1/\nBATCHER_URL='http://127.0.0.1:2'\nPLATFORMBUS_KEY=pbk_x\n"
        "META_APP_SECRETS='{\"1\": \"s\"}'\nUNKNOWN=1\nINGEST_OWNER_DSN='postgresql://o:p@127.0.0.1/d?a=b'\n"
    )
    monkeypatch.setenv("BATCHER_URL", "http://elsewhere")
    settings = read_settings(env)
    assert settings.url("ingest") == "http://127.0.0.1:1"
    assert settings.url("batcher") == "http://elsewhere"
    assert settings.url("asset_sync") is None
    assert settings.ingest_owner_dsn is not None
    assert settings.ingest_owner_dsn.get_secret_value() == "postgresql://o:p@127.0.0.1/d?a=b"
    assert "pbk_x" not in repr(settings)


def test_without_a_file_the_environment_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_URL", "http://here")
    assert read_settings(tmp_path / "none").url("ingest") == "http://here"
