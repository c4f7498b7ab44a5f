"""Meta's Graph and Marketing API, as its documents describe it.

What it covers, host by host, is listed in `coverage.toml`. Anything else answers 501 and says so. What Meta took away
in 2026 and its guides still describe is answered: docs/decisions/0028.

A fact taken from Meta carries a mark: O official documentation, S Meta's own SDK, T third parties, M from memory and
unverified. Read as stored copies from 2024 to September 2026:
- batch, field expansion, paging, rate limits, errors, versions: https://developers.facebook.com/docs/graph-api/
  (batch-requests, guides/field-expansion, results, overview/rate-limiting, guides/error-handling, changelog/versions)
- introspection, debug messages: docs/graph-api/overview, docs/graph-api/guides/debugging; what went in 2026:
  docs/graph-api/changelog/version26.0 as six repositories quote it, restfb issue 1692 among them
- ad objects: https://developers.facebook.com/docs/marketing-api/reference/ad-account
- Instagram: https://developers.facebook.com/docs/instagram-platform/ ; Threads: https://developers.facebook.com/docs/threads/
  and https://github.com/fbsamples/threads_api ; WhatsApp numbers: https://github.com/facebook/openapi
- URLs, proof, cursors, field names: https://github.com/facebook/facebook-python-business-sdk 26.0
- appsecret_proof errors: issue 528 of that repository; code 2500 for `me`: issue 135 of jgorset/facepy
- limits of Marketing API tiers: https://developers.facebook.com/docs/marketing-apis/rate-limiting
"""
