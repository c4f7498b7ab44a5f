"""What Meta says when a page, an Instagram account or a Threads profile cannot publish something.

Instagram's codes, subcodes and words O (instagram-platform/instagram-graph-api/reference/error-codes, June 2026); the
page's T where a source is given, else M; those of Threads T or M.
"""

from services.sandbox.meta.errors import GraphError, bad_parameter


def refused(code: int, message: str, subcode: int | None = None, title: str = "", text: str = "") -> GraphError:
    return GraphError(400, code, message, subcode=subcode, transient=False, title=title or None, text=text or None)


def page_token_needed() -> GraphError:
    """190/2069032 (T); that only a page's token publishes as the page is O (pages-api/posts)."""
    text = "A Page access token is required for this call for the new Pages experience."
    return refused(190, f"(#190) {text}", 2069032, "User Access Token Is Not Supported", text)


def nothing_to_post() -> GraphError:
    """Words M."""
    return bad_parameter("Missing message or attachment")


def too_long(most: int) -> GraphError:
    """The limit of 63206 characters T, the words M."""
    return bad_parameter(f"Param message must be at most {most} characters long.")


def wrong_schedule() -> GraphError:
    """Words T (several clients quote them); outside 10 minutes to 30 days (O)."""
    return bad_parameter("The specified scheduled publish time is invalid.")


def scheduled_though_published() -> GraphError:
    """Words M."""
    return bad_parameter("You cannot specify a scheduled publish time on a published post.")


def duplicate_post() -> GraphError:
    """506 (O, graph-api/guides/error-handling); words T."""
    text = "This status update is identical to the last one you posted. Try posting something different."
    return refused(506, "(#506) Duplicate status message", None, "Duplicate Status Update", text)


def unreachable_link() -> GraphError:
    """1609005 (O, graph-api/guides/error-handling); words M."""
    return refused(1609005, "(#1609005) The link could not be scraped.", None, "Error Posting Link", "Check the link.")


def not_our_post() -> GraphError:
    """That an app edits its own posts only is O (pages-api/posts); code and words M."""
    return GraphError(403, 200, "(#200) You can only edit posts that were made by your app.")


def no_image(name: str = "image") -> GraphError:
    """324 and its words M."""
    return refused(324, f"(#324) Missing or invalid {name} file", 2069019, "Invalid file", "Upload a valid file.")


def image_too_big() -> GraphError:
    """1366046: over 4 MB (T)."""
    return refused(1, "(#1) Your photo is too big.", 1366046, "Can't Read Files", "Photos may be up to 4MB.")


def photo_posted_already() -> GraphError:
    """1366051 (T); words M."""
    return refused(100, "(#100) Photos are already posted.", 1366051, "Already Posted", "Upload the photos again.")


def unknown_photo(photo_id: str) -> GraphError:
    return bad_parameter(f"attached_media: object {photo_id[:60]} is not a photo of this Page")


def wrong_offset(start: int) -> GraphError:
    """OffsetInvalidError (O, video-api/guides/reels-publishing, as `debug_info`); code and status M."""
    text = f"The offset is invalid: {start} bytes have been received."
    return refused(6000, f"(#6000) OffsetInvalidError: {text}", 1363037, "Upload failed", text)


def unknown_video(video_id: str) -> GraphError:
    return bad_parameter(f"Param video_id: {video_id[:60]} is not an unfinished video of this Page")


def upload_unfinished() -> GraphError:
    """ProcessingFailedError stands in the guide (O); words M."""
    return refused(6000, "(#6000) The video file has not been uploaded yet.", 1363040, "Upload failed")


def too_many_reels(most: int) -> GraphError:
    """30 reels by API per page and 24 hours (O); code M."""
    return refused(368, f"(#368) A Page can publish {most} reels in 24 hours.", 1390008)


def media_unreachable(uri: str) -> GraphError:
    text = f"The media could not be fetched from this uri: {uri[:500]}"
    return refused(9004, "Only photo or video can be accepted as media type.", 2207052, "Media download failed", text)


def wrong_image_format(found: str) -> GraphError:
    text = f"The image format {found} is not supported. Supported formats are: JPEG."
    return refused(36001, "The image format is not supported.", 2207005, "Image format not supported", text)


def caption_too_long(length: int, most: int) -> GraphError:
    text = (
        f"The submitted image's caption was {length} characters long. The maximum number of characters permitted for a "
        f"caption is {most}. Please submit media with a shorter caption."
    )
    return refused(36004, "The caption was too long.", 2207010, "Caption too long", text)


def too_many_tags(most: int) -> GraphError:
    return refused(100, f"Cannot use more than {most} tags per created media.", 2207040)


def tag_without_place() -> GraphError:
    text = "Product tag positions are required for photo media."
    return refused(100, text, 2207036, "Invalid product tags", text)


def tag_with_place() -> GraphError:
    text = "Product tag positions should not be specified for video media."
    return refused(100, text, 2207035, "Invalid product tags", text)


def unknown_product() -> GraphError:
    text = (
        "We couldn't add all of your product tags. The product ID may be incorrect, the product may be deleted, or you "
        "may not have permission to tag the product."
    )
    return refused(100, text, 2207037, "Invalid product tags", text)


def unknown_media_type(given: str) -> GraphError:
    text = f"The media type {given[:60]} is unknown."
    return refused(100, text, 2207023, "Unknown media type", text)


def not_a_carousel() -> GraphError:
    text = (
        "Your post won't work as a carousel. Carousels need at least 2 photos/videos and no more than 10 photos/videos."
    )
    return refused(100, text, 2207028, "Carousel not possible", text)


def wrong_thumbnail() -> GraphError:
    text = "Thumbnail offset must be greater than or equal to 0 and less than video duration, i.e. 90000"
    return refused(1, text, 2207057, "Invalid thumbnail offset", text)


def container_not_ready() -> GraphError:
    """9007/2207027; message T, words O."""
    text = "The media is not ready for publishing, please wait for a moment"
    return refused(9007, "Media ID is not available", 2207027, "Cannot publish", text)


def container_expired(container_id: str) -> GraphError:
    text = f"The media builder with creation id = {container_id[:60]} does not exist or has been expired."
    return refused(24, "The requested resource does not exist", 2207008, "Media builder not found", text)


def container_failed() -> GraphError:
    text = "Create media fail, please try to re-create media"
    return refused(-1, text, 2207032, "Create media fail", text)


def media_not_found(media_id: str) -> GraphError:
    text = f"The media with {media_id[:60]} cannot be found"
    return refused(24, "The requested resource does not exist", 2207006, "Media not found", text)


def instagram_quota_used() -> GraphError:
    text = "You reached maximum number of posts that is allowed to be published by Content Publishing API."
    return refused(9, "Application request limit reached", 2207042, "Maximum number of posts", text)


def threads_media_not_found(media_id: str) -> GraphError:
    """24/4279009 (T: pull request 466 of nopara73/LongevityWorldCup)."""
    text = f"The media with id {media_id[:60]} cannot be found."
    return refused(24, "The requested resource does not exist", 4279009, "Media Not Found", text)


def too_many_links(most: int) -> GraphError:
    """THREADS_API__LINK_LIMIT_EXCEEDED (O, threads/posts); code M."""
    text = f"A post may hold at most {most} links."
    return refused(100, "THREADS_API__LINK_LIMIT_EXCEEDED", None, "Too many links", text)


def threads_text_too_long(most: int) -> GraphError:
    """The limit O, the words M."""
    return bad_parameter(f"Param text must be at most {most} characters long.")


def threads_quota_used(what: str) -> GraphError:
    """The quotas O, code and words M: as Instagram's."""
    return refused(
        9, "Application request limit reached", None, "Limit reached", f"You have reached the limit of {what}."
    )
