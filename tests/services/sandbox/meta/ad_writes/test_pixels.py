"""Pixels of an ad account."""

from tests.support.meta_writes import ids, read, refusal, written
from tests.support.sandbox import SandboxProcess


def test_a_pixel_is_made_and_renamed(sandbox: SandboxProcess) -> None:
    act = sandbox.accounts("ad_account")[0]["id"]
    made = written(sandbox, f"{act}/adspixels", name="Shop")["id"]
    assert ids(read(sandbox, f"{act}/adspixels"))[0] == made
    assert written(sandbox, made, name="Store", enable_automatic_matching="true") == {"success": True}
    found = read(sandbox, made, fields="name,enable_automatic_matching,owner_ad_account")
    assert (found["name"], found["enable_automatic_matching"]) == ("Store", True)
    assert found["owner_ad_account"]["id"] == act


def test_a_pixel_needs_a_name_and_known_words(sandbox: SandboxProcess) -> None:
    act = sandbox.accounts("ad_account")[0]["id"]
    assert refusal(sandbox, f"{act}/adspixels")["code"] == 100
    made = written(sandbox, f"{act}/adspixels", name="Shop")["id"]
    assert "must be one of" in refusal(sandbox, made, data_use_setting="ALL")["message"]
