"""Every operation of Meta that the sandbox covers, written out: adding an area is a line here."""

from services.sandbox.meta import engagement, linked, oauth, objects, pictures, token_calls
from services.sandbox.meta.operations import Table

TABLE = Table(
    (
        *objects.OPERATIONS,
        *pictures.OPERATIONS,
        *engagement.OPERATIONS,
        *linked.OPERATIONS,
        *token_calls.OPERATIONS,
        *oauth.OPERATIONS,
    )
)
