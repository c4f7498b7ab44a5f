"""Meta's webhooks: who wants to hear of what (`book.py`, `calls.py`), what a write tells (`events.py`, `hub.py`), how
it is spelled, signed and sent (`sending.py`).

Read as stored copies: graph-api/webhooks/getting-started with its pages for pages, Instagram, lead ads and ad
accounts, graph-api/reference/app/subscriptions, marketing-api/ads-webhooks (effective-status, in-process-ad-objects,
with-issues), business-messaging/whatsapp/webhooks, threads/webhooks.
"""
