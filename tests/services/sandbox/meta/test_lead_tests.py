"""Test leads: one for each form at a time, with what was given or an answer to every question."""

import json

import pytest

from tests.support.meta_webhooks import lead_forms
from tests.support.sandbox import GRAPH, SandboxProcess

pytestmark = pytest.mark.e2e


def test_a_test_lead_is_listed_until_it_is_deleted(sandbox: SandboxProcess) -> None:
    page, secret = sandbox.token_row("page_busy")["owner"]["id"], {"access_token": sandbox.token("page_busy")}
    form = lead_forms(sandbox, page)[0]
    path = f"/{GRAPH}/{form}/test_leads"
    given = [{"name": "email", "values": ["jo@mail.example"]}]
    lead = sandbox.client.post(path, data={**secret, "field_data": json.dumps(given)}).json()["id"]
    (row,) = sandbox.client.get(path, params=secret).json()["data"]
    assert (row["id"], row["field_data"]) == (lead, given)
    assert sandbox.get(f"{form}/leads", token="page_busy").json()["data"][0]["id"] == lead
    assert sandbox.client.post(path, data=secret).json()["error"]["code"] == 100
    assert sandbox.client.delete(f"/{GRAPH}/{lead}", params=secret).json() == {"success": True}
    assert sandbox.client.get(path, params=secret).json() == {"data": []}
    other = sandbox.client.post(path, data=secret).json()["id"]
    names = [answer["name"] for answer in sandbox.client.get(path, params=secret).json()["data"][0]["field_data"]]
    assert (other != lead, names) == (True, ["full_name", "email"])


def test_real_answers_stay_and_strangers_see_nothing(sandbox: SandboxProcess) -> None:
    page, secret = sandbox.token_row("page_busy")["owner"]["id"], {"access_token": sandbox.token("page_busy")}
    form = lead_forms(sandbox, page)[0]
    real = sandbox.get(f"{form}/leads", token="page_busy").json()["data"][0]["id"]
    assert sandbox.client.delete(f"/{GRAPH}/{real}", params=secret).json()["error"]["code"] == 100
    narrow = {"access_token": sandbox.token("user_narrow")}
    assert sandbox.client.post(f"/{GRAPH}/{form}/test_leads", data=narrow).json()["error"]["code"] == 10
    wrong = sandbox.client.post(f"/{GRAPH}/{form}/test_leads", data={**secret, "field_data": "[1]"})
    assert wrong.json()["error"]["code"] == 100
