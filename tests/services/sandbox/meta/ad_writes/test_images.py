"""Images of an ad account."""

import base64
import hashlib

from tests.support.meta_writes import read, refusal, written
from tests.support.sandbox import SandboxProcess

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 20


def edge(sandbox: SandboxProcess) -> str:
    return f"{sandbox.accounts('ad_account')[0]['id']}/adimages"


def test_an_image_is_named_by_the_hash_of_its_bytes(sandbox: SandboxProcess) -> None:
    sent = base64.b64encode(JPEG).decode()
    image = written(sandbox, edge(sandbox), bytes=sent)["images"]["bytes"]
    digest = hashlib.md5(JPEG, usedforsecurity=False).hexdigest()
    assert image["hash"] == digest
    files = {"filename": ("a.jpg", JPEG, "image/jpeg")}
    assert written(sandbox, edge(sandbox), files=files)["images"]["a.jpg"]["hash"] == digest
    rows = read(sandbox, edge(sandbox), fields="hash,account_id,status")["data"]
    assert [row["hash"] for row in rows] == [digest]
    assert rows[0]["id"] == f"{rows[0]['account_id']}:{digest}"


def test_images_are_found_by_hash_and_deleted(sandbox: SandboxProcess) -> None:
    hashes = [
        written(sandbox, edge(sandbox), bytes=base64.b64encode(bytes([number])).decode())["images"]["bytes"]["hash"]
        for number in range(3)
    ]
    found = read(sandbox, edge(sandbox), hashes=f'["{hashes[1]}"]')["data"]
    assert [row["hash"] for row in found] == [hashes[1]]
    assert len(read(sandbox, edge(sandbox), limit="2")["data"]) == 2
    assert written(sandbox, edge(sandbox), method="DELETE", hash=hashes[0]) == {"success": True}
    assert refusal(sandbox, edge(sandbox), method="DELETE", hash=hashes[0])["code"] == 100


def test_what_is_no_image_is_refused(sandbox: SandboxProcess) -> None:
    assert refusal(sandbox, edge(sandbox))["code"] == 100
    assert refusal(sandbox, edge(sandbox), bytes="no base64!")["error_user_title"] == "Image can't be read"
    assert refusal(sandbox, edge(sandbox), files={"a": ("a.jpg", b"", "image/jpeg")})["code"] == 100
