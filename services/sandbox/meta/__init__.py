"""Meta's Graph and Marketing API, as its documents describe it.

Host: graph.facebook.com. Covers reads: objects, edges with cursors, field expansion, `ids=`, batches, debug_token.
Anything else answers 501 and says so.

A fact taken from Meta carries a mark: O official documentation, S Meta's own SDK, T third parties, M from memory and
unverified. Read as stored copies from 2024 to September 2026:
- batch, field expansion, paging, rate limits, errors, versions: https://developers.facebook.com/docs/graph-api/
  (batch-requests, guides/field-expansion, results, overview/rate-limiting, guides/error-handling, changelog/versions)
- ad objects: https://developers.facebook.com/docs/marketing-api/reference/ad-account
- URLs, proof, cursors, field names: https://github.com/facebook/facebook-python-business-sdk 26.0
- appsecret_proof errors: issue 528 of that repository; code 2500 for `me`: issue 135 of jgorset/facepy
- limits of Marketing API tiers: https://developers.facebook.com/docs/marketing-apis/rate-limiting
"""
