import base64
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from libs.platforms.meta.webhooks import MetaWebhooks
from libs.platforms.meta.webhooks.signature import answer_handshake, check_signature

FOLDER = Path(__file__).parent
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "vectors.json").read_text())
"""Made with Node's crypto alone, see make_vectors.mjs."""
OF_META: list[dict[str, Any]] = json.loads((FOLDER / "vectors_of_meta.json").read_text())["vectors"]
"""Signed and judged by Meta's own code; the file says which and how."""
DOCUMENTED = {
    b'{"object":"page","entry":[]}': "525647799b07d87469d0ffe368a0b5bcdba9bbee0a2d4611e98fcb1ec3db947c",
    b'{"object":"page","entry":[{"id":"1","time":1,"changes":[{"field":"feed","value":'
    b'{"message":"\\u00e4\\u00f6\\u00e5"}}]}]}': "4e74d23b42a0582df03924727966b31c6b684ab600334680b802dd0ebd47321f",
}


def header(text: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-hub-signature-256", text.encode())]


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_what_another_languages_crypto_signed_is_valid_under_its_secret_alone(vector: dict[str, Any]) -> None:
    body, given = base64.b64decode(vector["body"]), header(vector["header"])
    for secret in sorted({other["secret"] for other in VECTORS}):
        expected = "valid" if secret == vector["secret"] else "wrong"
        assert check_signature(given, body, [secret.encode()]) == (expected, vector["header"])


@pytest.mark.parametrize("vector", OF_META, ids=range(len(OF_META)))
def test_what_metas_own_code_signed_is_valid_as_it_came_and_not_otherwise(vector: dict[str, Any]) -> None:
    body, given, secret = base64.b64decode(vector["body"]), header(vector["header"]), vector["secret"].encode()
    assert check_signature(given, body, [secret]) == ("valid", vector["header"])
    assert check_signature(given, body, [b"another", secret])[0] == "valid"
    for changed in (body + b"\n", body[:-1] or b"{}", body.replace(b"\\/", b"/") + b" "):
        assert check_signature(given, changed, [secret])[0] == "wrong"
    others = {other["secret"].encode() for other in OF_META} - {secret}
    assert check_signature(given, body, sorted(others))[0] == "wrong"


def test_bodies_that_meta_signed_are_split_as_they_came() -> None:
    bodies = [base64.b64decode(vector["body"]) for vector in OF_META]
    told = [body for body in bodies if b"entry" in body or b"values" in body]
    changes = [change for body in told for change in MetaWebhooks().split(body)]
    assert len(changes) > len(told) // 2
    assert any(b"\\/" in body for body in told)
    assert any(b"\\u" in body for body in told)
    texts = [json.dumps(change.value, ensure_ascii=False) for change in changes]
    assert any("äöå 😀 https://example.com/" in text for text in texts)


def test_the_platform_notes_vectors_are_among_them() -> None:
    for body, digest in DOCUMENTED.items():
        assert check_signature(header(f"sha256={digest}"), body, [b"app_secret_example"])[0] == "valid"


def test_escaped_and_raw_letters_are_different_bytes() -> None:
    escaped, raw = VECTORS[1], VECTORS[2]
    assert json.loads(base64.b64decode(escaped["body"])) == json.loads(base64.b64decode(raw["body"]))
    assert (
        check_signature(header(escaped["header"]), base64.b64decode(raw["body"]), [b"app_secret_example"])[0] == "wrong"
    )


def test_hex_digits_count_in_either_case() -> None:
    vector = VECTORS[0]
    prefix, _, digest = str(vector["header"]).partition("=")
    body = base64.b64decode(vector["body"])
    assert check_signature(header(f"{prefix}={digest.upper()}"), body, [b"app_secret_example"])[0] == "valid"
    assert check_signature(header(f"SHA256={digest}"), body, [b"app_secret_example"])[0] == "malformed"


def test_the_old_header_beside_the_new_one_changes_nothing() -> None:
    vector = VECTORS[0]
    given = [(b"x-hub-signature", b"sha1=00"), *header(vector["header"])]
    assert check_signature(given, base64.b64decode(vector["body"]), [b"app_secret_example"])[0] == "valid"


def test_a_header_is_kept_as_text_that_a_table_can_hold() -> None:
    verdict, text = check_signature([(b"x-hub-signature-256", b"\x00\xff" * 5000)], b"", [b"s"])
    assert verdict == "malformed"
    assert text is not None
    assert len(text) == 200
    assert "\x00" not in text


def test_every_secret_is_tried_whatever_the_others_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    digest = hmac.digest

    def counted(key: bytes, msg: bytes, kind: str) -> bytes:
        tried.append(key)
        return digest(key, msg, kind)

    monkeypatch.setattr(hmac, "digest", counted)
    vector = VECTORS[0]
    check_signature(header(vector["header"]), base64.b64decode(vector["body"]), [b"app_secret_example", b"b", b"c"])
    assert tried == [b"app_secret_example", b"b", b"c"]


def test_a_token_can_be_of_any_letters_and_a_parameter_comes_once() -> None:
    query = b"hub.mode=subscribe&hub.challenge=7&hub.verify_token=gr%C3%BC%C3%9Fe+an+alle"
    assert answer_handshake(query, ["grüße an alle".encode()]) == b"7"
    assert answer_handshake(query + b"&hub.challenge=8", ["grüße an alle".encode()]) is None
    assert answer_handshake(query.replace(b"subscribe", b"unsubscribe"), ["grüße an alle".encode()]) is None
