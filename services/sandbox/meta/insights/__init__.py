"""Insights of Meta's world: of ads at once and as jobs, of pages and posts, Instagram and Threads.

Every number is one of `statistics.rows`, or follows from it. Documents (read as stored copies of 2025 and 2026):
- ads: https://developers.facebook.com/docs/marketing-api/insights with breakdowns, best-practices, error-codes, and
  https://developers.facebook.com/documentation/ads-commerce/marketing-api/reference/adgroup/insights (v25.0)
- pages and posts: https://developers.facebook.com/docs/graph-api/reference/insights
- Instagram: https://developers.facebook.com/docs/instagram-platform/insights and its api-reference
- Threads: https://developers.facebook.com/docs/threads/insights
"""
