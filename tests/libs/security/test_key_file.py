"""The key file: whole or not at all, readable to its owner only, and never shown."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from libs.security.key_file import KeyFileBroken, activate_key, new_key, read_keys, remove_key


def test_the_first_key_makes_the_file_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "kek.json"
    key_id = new_key(path, activate=False)
    assert read_keys(path).active == key_id
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_new_key_keeps_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "kek.json"
    first = new_key(path)
    kept = read_keys(path).by_id[first]
    second = new_key(path)
    assert read_keys(path).by_id[first] == kept
    assert read_keys(path).active == second
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_an_id_is_used_once(tmp_path: Path) -> None:
    path = tmp_path / "kek.json"
    new_key(path, key_id="a")
    with pytest.raises(KeyFileBroken, match="taken"):
        new_key(path, key_id="a")


def test_the_active_key_cannot_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "kek.json"
    old = new_key(path)
    new = new_key(path)
    with pytest.raises(KeyFileBroken):
        remove_key(path, new)
    remove_key(path, old)
    assert set(read_keys(path).by_id) == {new}
    with pytest.raises(KeyFileBroken):
        activate_key(path, old)


GOOD = b64encode(b"k" * 32).decode()
SHORT = b64encode(b"k" * 16).decode()


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[]",
        json.dumps({"active": "a"}),
        json.dumps({"active": "a", "keys": {"a": SHORT}}),
        json.dumps({"active": "a", "keys": {"a": 5}}),
        json.dumps({"active": "a", "keys": {"a": "%%%"}}),
        json.dumps({"active": "b", "keys": {"a": GOOD}}),
        json.dumps({"active": ["a"], "keys": {"a": GOOD}}),
        json.dumps({"active": "a b", "keys": {"a b": GOOD}}),
    ],
)
def test_a_file_that_is_not_ours_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kek.json"
    path.write_text(content)
    with pytest.raises(KeyFileBroken) as caught:
        read_keys(path)
    assert GOOD not in str(caught.value)
    assert SHORT not in str(caught.value)


def test_a_missing_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(KeyFileBroken, match="nowhere"):
        read_keys(tmp_path / "nowhere.json")
