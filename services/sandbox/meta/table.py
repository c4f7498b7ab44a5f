"""Every operation of Meta that the sandbox covers, written out: adding an area is a line here."""

from services.sandbox.meta import oauth, objects, token_calls
from services.sandbox.meta.operations import Table

TABLE = Table((*objects.OPERATIONS, *token_calls.OPERATIONS, *oauth.OPERATIONS))
