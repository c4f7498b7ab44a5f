"""Test leads of a lead form: the way to see a lead arrive without an ad (O, marketing-api/guides/lead-ads/testing)."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.world import Moment, Node

_ANSWERS = {"EMAIL": "test@meta.com", "FULL_NAME": "<test lead: dummy data for full_name>"}
"""What a test lead says when nothing is given (T)."""


def _create(context: Context) -> object:
    """`field_data` as given, else an answer to each question of the form. One at a time for each form (T)."""
    form, now = context.named, context.around.clock.now()
    if next(_test_leads(context), None) is not None:
        raise bad_parameter("A test lead exists already for this form: delete it first")  # M
    lead_id = context.world.new_id("asset")
    moment = Moment.fromtimestamp(int(now.timestamp()), now.tzinfo)
    values = {
        "id": lead_id,
        "created_time": moment,
        "form_id": form.id,
        "field_data": _answers(context.params, form),
        "is_organic": False,
        "platform": "fb",
        "is_test": True,
    }
    lead = Node(lead_id, "lead", form.account, values, now, now, ("leadgen_form", form.id))
    context.world.create(lead, listed_in=(form,), edge="leads")
    return {"id": lead_id}


def _list(context: Context) -> object:
    return {"data": [context.reader.object(lead, context.params) for lead in _test_leads(context)]}


def _delete(context: Context) -> object:
    """Real answers cannot be deleted."""
    if not context.named.values.get("is_test"):
        raise bad_parameter("Only test leads can be deleted")  # M
    context.world.remove(context.named)
    return {"success": True}


def _test_leads(context: Context) -> Any:
    """They are at the head of the list: nothing else is made while the sandbox runs."""
    for lead in context.world.listed(context.named, "leads"):
        if not lead.values.get("is_test"):
            return
        yield lead


def _answers(params: Mapping[str, str], form: Node) -> list[dict[str, Any]]:
    text = params.get("field_data")
    if text is None:
        questions = form.values.get("questions") or []
        return [
            {"name": question["key"], "values": [_ANSWERS.get(question["type"], "<test lead>")]}
            for question in questions
        ]
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise bad_parameter("Param field_data must be an array.") from error
    if not isinstance(given, list) or not all(_is_answer(answer) for answer in given):
        raise bad_parameter("Param field_data must be an array of {name, values}.")
    return given


def _is_answer(answer: object) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("name"), str) and isinstance(answer.get("values"), list)


_SCOPES = ("leads_retrieval",)
OPERATIONS = (
    Operation("meta.leadgen_form.test_leads", "GET", "{leadgen_form}/test_leads", _list, scopes=_SCOPES),
    Operation("meta.leadgen_form.test_leads.create", "POST", "{leadgen_form}/test_leads", _create, scopes=_SCOPES),
    Operation("meta.lead.delete", "DELETE", "{lead}", _delete, scopes=_SCOPES),
)
