"""Publishing: posts, photos, videos, reels, stories and comments of pages; containers of Instagram and Threads.

The model of a post everywhere: a draft or a container, perhaps scheduled, published, deleted. Read as stored copies
from 2024 to September 2026: https://developers.facebook.com/docs/ pages-api/posts, graph-api/photo-uploads,
graph-api/guides/upload, video-api/guides (publishing, reels-publishing), instagram-platform/content-publishing,
instagram-platform/instagram-graph-api/reference (ig-container, error-codes, ig-user/content_publishing_limit), threads.
"""

from services.sandbox.meta.publishing import (
    comments,
    instagram,
    likes,
    photos,
    posts,
    reels,
    stories,
    threads,
    uploads,
    videos,
)

OPERATIONS = (
    *posts.OPERATIONS,
    *photos.OPERATIONS,
    *videos.OPERATIONS,
    *reels.OPERATIONS,
    *stories.OPERATIONS,
    *uploads.OPERATIONS,
    *comments.OPERATIONS,
    *likes.OPERATIONS,
    *instagram.OPERATIONS,
    *threads.OPERATIONS,
)
