"""Ad objects made, changed, copied, deleted: campaigns, ad sets, ads, creatives, pixels, labels, images, videos.

Read as stored copies from 2024 to September 2026: https://developers.facebook.com/docs/marketing-api/ (reference/
ad-campaign-group, reference/ad-campaign, reference/adgroup, bidding/overview/billing-events,
bidding/guides/adset-budget-sharing, error-reference); parameters and words from Meta's Python SDK 26.0.3.
"""

from services.sandbox.meta.ad_writes import copies, creatives, images, labels, levels, pixels, videos

OPERATIONS = (
    *levels.OPERATIONS,
    *creatives.OPERATIONS,
    *pixels.OPERATIONS,
    *copies.OPERATIONS,
    *labels.OPERATIONS,
    *images.OPERATIONS,
    *videos.OPERATIONS,
)
