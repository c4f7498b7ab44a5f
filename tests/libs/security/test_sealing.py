"""Sealing: what was sealed opens for its owner only, under any key that the file has, and under no other."""

from base64 import b64decode, b64encode
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.security.key_file import activate_key, new_key, remove_key
from libs.security.sealing import KeyRing, SealedSecret, SealError, Tampered, UnknownKek, connection_aad
from libs.telemetry.redaction import MARK, redact_text

TOKEN = "EAAcanary0123456789"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "kek.json"
    new_key(path, key_id="first")
    return path


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    path = tmp_path_factory.mktemp("kek") / "kek.json"
    new_key(path)
    return KeyRing.from_file(path)


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(secret=st.text(st.characters(exclude_categories=["Cs"])), aad=st.binary())
def test_a_sealed_secret_opens_again(ring: KeyRing, secret: str, aad: bytes) -> None:
    sealed = ring.seal(secret, aad=aad)
    assert ring.open(sealed, aad=aad) == secret
    assert ring.open(SealedSecret.model_validate_json(sealed.model_dump_json()), aad=aad) == secret


@given(field=st.sampled_from(["wrapped_key", "ciphertext"]), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_changed_bit_anywhere_is_noticed(ring: KeyRing, field: str, place: int, bit: int) -> None:
    sealed = ring.seal(TOKEN, aad=b"owner")
    raw = bytearray(b64decode(getattr(sealed, field)))
    raw[place % len(raw)] ^= 1 << bit
    with pytest.raises(Tampered):
        ring.open(sealed.model_copy(update={field: b64encode(raw).decode()}), aad=b"owner")


@given(aad=st.binary(), other=st.binary())
def test_a_secret_does_not_open_for_another_owner(ring: KeyRing, aad: bytes, other: bytes) -> None:
    sealed = ring.seal(TOKEN, aad=aad)
    if aad != other:
        with pytest.raises(Tampered):
            ring.open(sealed, aad=other)


def test_swapping_organization_connection_or_field_is_noticed(ring: KeyRing) -> None:
    org, connection = uuid4(), uuid4()
    sealed = ring.seal(TOKEN, aad=connection_aad(org, connection, "access_token"))
    for aad in (
        connection_aad(uuid4(), connection, "access_token"),
        connection_aad(org, uuid4(), "access_token"),
        connection_aad(connection, org, "access_token"),
        connection_aad(org, connection, "refresh_token"),
    ):
        with pytest.raises(Tampered):
            ring.open(sealed, aad=aad)


def test_a_ciphertext_does_not_open_with_the_data_key_of_another_secret(ring: KeyRing) -> None:
    one, two = ring.seal("one", aad=b"owner"), ring.seal("two", aad=b"owner")
    with pytest.raises(Tampered):
        ring.open(one.model_copy(update={"ciphertext": two.ciphertext}), aad=b"owner")


@given(
    wrapped_key=st.one_of(st.text(max_size=100), st.binary(max_size=100).map(lambda raw: b64encode(raw).decode())),
    ciphertext=st.text(max_size=100),
)
def test_whatever_is_no_sealed_secret_is_refused_cleanly(ring: KeyRing, wrapped_key: str, ciphertext: str) -> None:
    with pytest.raises(SealError):
        ring.open(SealedSecret(kek_id=ring.active_id, wrapped_key=wrapped_key, ciphertext=ciphertext), aad=b"x")


def test_equal_secrets_are_sealed_differently(ring: KeyRing) -> None:
    one, two = ring.seal(TOKEN, aad=b"owner"), ring.seal(TOKEN, aad=b"owner")
    assert one.ciphertext != two.ciphertext
    assert one.wrapped_key != two.wrapped_key


def test_an_unknown_key_id_is_named_in_the_error(ring: KeyRing) -> None:
    sealed = ring.seal(TOKEN, aad=b"owner").model_copy(update={"kek_id": "gone"})
    with pytest.raises(UnknownKek, match="gone") as caught:
        ring.open(sealed, aad=b"owner")
    assert caught.value.kek_id == "gone"


def test_a_key_id_swapped_for_another_known_one_is_noticed(key_file: Path) -> None:
    ring = KeyRing.from_file(key_file)
    sealed = ring.seal(TOKEN, aad=b"owner")
    new_key(key_file, key_id="second")
    with pytest.raises(Tampered):
        KeyRing.from_file(key_file).open(sealed.model_copy(update={"kek_id": "second"}), aad=b"owner")


def test_nothing_shows_a_key_or_a_secret_by_accident(key_file: Path) -> None:
    ring = KeyRing.from_file(key_file)
    key = next(iter(ring._keys.by_id.values()))
    shown = f"{ring!r} {ring._keys!r} {ring.seal(TOKEN, aad=b'owner')!r}"
    assert TOKEN not in shown
    assert b64encode(key).decode() not in shown
    assert repr(key) not in shown
    text = f"key {b64encode(key).decode()} or {key.hex()}"
    assert redact_text(text) == f"key {MARK} or {MARK}"


def test_rewrapping_moves_only_the_data_key_to_the_active_key(key_file: Path) -> None:
    ring = KeyRing.from_file(key_file)
    sealed = ring.seal(TOKEN, aad=b"owner")
    assert ring.rewrap(sealed, aad=b"owner") is None
    new_key(key_file, key_id="second")
    rotated = KeyRing.from_file(key_file)
    moved = rotated.rewrap(sealed, aad=b"owner")
    assert moved is not None
    assert moved.kek_id == "second"
    assert moved.ciphertext == sealed.ciphertext
    assert rotated.open(moved, aad=b"owner") == rotated.open(sealed, aad=b"owner") == TOKEN
    with pytest.raises(Tampered):
        rotated.rewrap(sealed, aad=b"another owner")


def test_a_rotation_that_stops_half_way_leaves_every_secret_readable_and_can_go_on(key_file: Path) -> None:
    ring = KeyRing.from_file(key_file)
    rows = [ring.seal(f"{TOKEN}-{number}", aad=b"%d" % number) for number in range(10)]
    new_key(key_file, key_id="second")
    ring = KeyRing.from_file(key_file)
    for number in range(4):  # then the process dies
        rows[number] = ring.rewrap(rows[number], aad=b"%d" % number) or rows[number]
    ring = KeyRing.from_file(key_file)
    assert [ring.open(row, aad=b"%d" % number) for number, row in enumerate(rows)] == [
        f"{TOKEN}-{number}" for number in range(10)
    ]
    moved = [ring.rewrap(row, aad=b"%d" % number) for number, row in enumerate(rows)]
    assert [each is not None for each in moved] == [False] * 4 + [True] * 6
    rows = [new or old for new, old in zip(moved, rows, strict=True)]
    remove_key(key_file, "first")
    ring = KeyRing.from_file(key_file)
    assert [ring.open(row, aad=b"%d" % number) for number, row in enumerate(rows)][9] == f"{TOKEN}-9"


def test_a_running_process_sees_a_new_key_within_a_second(key_file: Path) -> None:
    clock = Clock()
    ring = KeyRing.from_file(key_file, clock=clock)
    new_key(key_file, key_id="second")
    assert ring.active_id == "first"
    clock.now = 1.0
    assert ring.active_id == "second"


def test_a_secret_of_a_key_just_added_opens_without_waiting(key_file: Path) -> None:
    reader = KeyRing.from_file(key_file, clock=Clock())
    new_key(key_file, key_id="second")
    sealed = KeyRing.from_file(key_file).seal(TOKEN, aad=b"owner")
    assert reader.open(sealed, aad=b"owner") == TOKEN


def test_a_key_that_is_added_but_not_active_only_opens(key_file: Path) -> None:
    new_key(key_file, key_id="second", activate=False)
    assert KeyRing.from_file(key_file).active_id == "first"
    activate_key(key_file, "second")
    assert KeyRing.from_file(key_file).active_id == "second"


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"active": "first", "keys": {}}'])
def test_a_file_broken_while_we_run_leaves_the_keys_that_work(
    key_file: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    ring = KeyRing.from_file(key_file, clock=clock)
    sealed = ring.seal(TOKEN, aad=b"owner")
    key_file.write_text(broken)
    clock.now = 5.0
    assert ring.open(sealed, aad=b"owner") == TOKEN
    assert "not usable" in caplog.text
