"""Labels, by which ad objects are found again."""

import json
from typing import Any

from tests.support.meta_writes import ids, read, refusal, write, written
from tests.support.sandbox import SandboxProcess

CAMPAIGN: dict[str, Any] = {"name": "n", "objective": "OUTCOME_SALES", "status": "PAUSED", "special_ad_categories": []}


def act(sandbox: SandboxProcess) -> str:
    return str(sandbox.accounts("ad_account")[0]["id"])


def find(sandbox: SandboxProcess, labels: list[str], **params: str) -> list[str]:
    return ids(read(sandbox, f"{act(sandbox)}/campaignsbylabels", ad_label_ids=json.dumps(labels), **params))


def test_what_was_made_under_a_label_is_found_by_it(sandbox: SandboxProcess) -> None:
    label = written(sandbox, f"{act(sandbox)}/adlabels", name="job-17")["id"]
    assert find(sandbox, [label]) == []
    first = written(sandbox, f"{act(sandbox)}/campaigns", **CAMPAIGN, adlabels=[{"id": label}])["id"]
    second = written(sandbox, f"{act(sandbox)}/campaigns", **CAMPAIGN, adlabels=[{"name": "job-17"}])["id"]
    assert sorted(find(sandbox, [label])) == sorted([first, second])
    assert ids(read(sandbox, f"{label}/campaigns")) == [second, first]
    shown = read(sandbox, first, fields="adlabels")["adlabels"]
    assert [(row["id"], row["name"]) for row in shown] == [(label, "job-17")]


def test_all_labels_or_any_of_them(sandbox: SandboxProcess) -> None:
    names = ({"name": "a"}, {"name": "b"})
    both = written(sandbox, f"{act(sandbox)}/campaigns", **CAMPAIGN, adlabels=list(names))["id"]
    one = written(sandbox, f"{act(sandbox)}/campaigns", **CAMPAIGN, adlabels=[names[0]])["id"]
    listed = {row["name"]: row["id"] for row in read(sandbox, f"{act(sandbox)}/adlabels")["data"]}
    labels = [listed["a"], listed["b"]]
    assert find(sandbox, labels, operator="ALL") == [both]
    assert sorted(find(sandbox, labels)) == sorted([both, one])
    assert find(sandbox, labels, operator="ALL", limit="1", fields="name") == [both]


def test_labels_are_added_replaced_renamed_and_deleted(sandbox: SandboxProcess) -> None:
    campaign = written(sandbox, f"{act(sandbox)}/campaigns", **CAMPAIGN, adlabels=[{"name": "a"}])["id"]
    assert written(sandbox, f"{campaign}/adlabels", adlabels=[{"name": "b"}]) == {"success": True}
    listed = {row["name"]: row["id"] for row in read(sandbox, campaign, fields="adlabels")["adlabels"]}
    assert set(listed) == {"a", "b"}
    written(sandbox, campaign, adlabels=[{"name": "c"}])
    assert [row["name"] for row in read(sandbox, campaign, fields="adlabels")["adlabels"]] == ["c"]
    assert find(sandbox, [listed["a"]]) == []
    assert written(sandbox, listed["a"], name="z") == {"success": True}
    label = read(sandbox, campaign, fields="adlabels")["adlabels"][0]["id"]
    assert written(sandbox, label, method="DELETE") == {"success": True}
    assert read(sandbox, campaign, fields="adlabels").get("adlabels") in (None, [])


def test_a_lost_answer_is_found_again_by_the_label(sandbox: SandboxProcess) -> None:
    label = written(sandbox, f"{act(sandbox)}/adlabels", name="key")["id"]
    sandbox.fault("truncated", {"method": "POST"}, times=1, args={"bytes": 5})
    write(sandbox, f"{act(sandbox)}/campaigns", **CAMPAIGN, adlabels=[{"id": label}])
    assert len(find(sandbox, [label])) == 1


def test_labels_that_are_none_are_refused_and_nothing_is_made(sandbox: SandboxProcess) -> None:
    before = sandbox.accounts("ad_account")[0]["children"]["campaigns"]
    many = [{"name": str(number)} for number in range(51)]
    none: list[list[Any]] = [[{"id": "1"}], [{}], ["x"], [{"name": ""}], many]
    for labels in none:
        assert refusal(sandbox, f"{act(sandbox)}/campaigns", **CAMPAIGN, adlabels=labels)["code"] == 100
    assert len(sandbox.children(sandbox.accounts("ad_account")[0], "campaigns")) == before
