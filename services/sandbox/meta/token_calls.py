"""Calls about tokens: what one is, what it may do."""

from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.tokens import debug_data


def _debug(context: Context) -> object:
    inspected = context.params.get("input_token")
    if not inspected:
        raise bad_parameter("The parameter input_token is required.")
    found = context.tokens.find(inspected)
    if found and found.app.id != context.token.app.id:
        raise bad_parameter("The App_id in the input_token did not match the Viewing App")
    return {"data": debug_data(found, context.around.clock.now())}


def _permissions(context: Context) -> object:
    return {"data": [{"permission": scope, "status": "granted"} for scope in context.token.scopes]}


OPERATIONS = (
    Operation("meta.debug_token", "GET", "debug_token", _debug),
    Operation("meta.user.permissions", "GET", "{user}/permissions", _permissions),
)
