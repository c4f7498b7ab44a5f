"""Every operation of Meta that the sandbox covers, written out: adding an area is a line here."""

from services.sandbox.meta import (
    ad_writes,
    engagement,
    lead_tests,
    linked,
    oauth,
    objects,
    pictures,
    publishing,
    token_calls,
    unserved,
    whatsapp_messages,
)
from services.sandbox.meta.insights import ads, instagram, instagram_media, pages, threads, videos
from services.sandbox.meta.operations import Table
from services.sandbox.meta.webhooks import calls as webhook_calls

TABLE = Table(
    (
        *objects.OPERATIONS,
        *pictures.OPERATIONS,
        *engagement.OPERATIONS,
        *linked.OPERATIONS,
        *token_calls.OPERATIONS,
        *oauth.OPERATIONS,
        *webhook_calls.OPERATIONS,
        *lead_tests.OPERATIONS,
        *whatsapp_messages.OPERATIONS,
        *ads.OPERATIONS,
        *pages.OPERATIONS,
        *videos.OPERATIONS,
        *instagram.OPERATIONS,
        *instagram_media.OPERATIONS,
        *threads.OPERATIONS,
        *unserved.OPERATIONS,
        *ad_writes.OPERATIONS,
        *publishing.OPERATIONS,
    )
)
