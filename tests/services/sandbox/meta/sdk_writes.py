"""What Meta's official SDK can write, one call after the other; started and told as `sdk_session.py` is."""

import base64
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adcreative import AdCreative
from facebook_business.adobjects.adlabel import AdLabel
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.adspixel import AdsPixel
from facebook_business.adobjects.advideo import AdVideo
from facebook_business.adobjects.comment import Comment
from facebook_business.adobjects.igmedia import IGMedia
from facebook_business.adobjects.iguser import IGUser
from facebook_business.adobjects.page import Page
from facebook_business.adobjects.pagepost import PagePost
from facebook_business.adobjects.photo import Photo
from facebook_business.api import FacebookAdsApi

IMAGE, VIDEO = "https://example.com/a.jpg", "https://example.com/a.mp4"
POLL_SECONDS = 0.2
POLLS = 100
AD_SET = {
    "name": "Set",
    "daily_budget": 1000,
    "billing_event": AdSet.BillingEvent.impressions,
    "optimization_goal": AdSet.OptimizationGoal.reach,
    "targeting": {"geo_locations": {"countries": ["US"]}},
    "status": AdSet.Status.paused,
}


def write_ads(account: AdAccount, page: str) -> dict[str, Any]:
    """Labels, images, videos and pixels; copies; each kind changed and deleted."""
    label = account.create_ad_label(params={"name": "sdk"})["id"]
    campaign = account.create_campaign(
        params={
            "name": "Labelled",
            "objective": "OUTCOME_TRAFFIC",
            "status": "PAUSED",
            "special_ad_categories": [],
            "adlabels": [{"id": label}],
        }
    )
    found = account.get_campaigns_by_labels(fields=["name"], params={"ad_label_ids": [label], "operator": "ALL"})
    adset = account.create_ad_set(params={**AD_SET, "campaign_id": campaign["id"]})["id"]
    picture = base64.b64encode(b"an image").decode()
    image = account.create_ad_image(params={"bytes": picture})["hash"]
    story = {"page_id": page, "link_data": {"link": "https://example.com", "image_hash": image}}
    creative = account.create_ad_creative(params={"name": "Creative", "object_story_spec": story})["id"]
    ad = account.create_ad(params={"name": "Ad", "adset_id": adset, "creative": {"creative_id": creative}})["id"]
    AdSet(adset).api_update(params={"daily_budget": 2000})
    Ad(ad).api_update(params={"status": "PAUSED"})
    AdCreative(creative).api_update(params={"name": "Renamed"})
    copies = campaign.create_copy(params={"deep_copy": True})["ad_object_ids"]
    AdSet(adset).create_copy()
    Ad(ad).create_copy()
    pixel = account.create_ads_pixel(params={"name": "Pixel"})["id"]
    AdsPixel(pixel).api_update(params={"name": "Renamed"})
    video = account.create_ad_video(params={"file_url": VIDEO})["id"]
    images = [row["hash"] for row in account.get_ad_images(fields=["hash"])]
    account.delete_ad_images(params={"hash": image})
    AdVideo(video).api_delete()
    budget = AdSet(adset).api_get(fields=["daily_budget"])["daily_budget"]
    for made in (Ad(ad), AdSet(adset), AdCreative(creative), AdLabel(label)):
        made.api_delete()
    return {
        "campaign": campaign["id"], "by_label": [row["id"] for row in found], "images": images, "image": image,
        "copied": sorted(row["ad_object_type"] for row in copies), "budget": budget, "adset": adset,
    }  # fmt: skip


def write_page(page: Page) -> dict[str, Any]:
    """Photos, a post of two of them, a video, comments and likes; changed and deleted."""
    photos = [page.create_photo(params={"url": IMAGE, "published": False})["id"] for _ in range(2)]
    attached = [{"media_fbid": photo} for photo in photos]
    post = PagePost(page.create_feed(params={"message": "Two photos", "attached_media": attached})["id"])
    comment = Comment(post.create_comment(params={"message": "First"})["id"])
    reply = comment.create_comment(params={"message": "Second"})["id"]
    for liked in (post, comment):
        liked.create_like()
        liked.delete_likes()
    comment.api_update(params={"message": "Changed"})
    post.api_update(params={"message": "Changed"})
    shown = post.api_get(fields=["message"]).export_all_data()
    single = page.create_photo(params={"url": IMAGE})["id"]
    video = AdVideo(page.create_video(params={"file_url": VIDEO})["id"])
    video.api_update(params={"title": "Titled"})
    video.api_delete()
    Photo(single).api_delete()
    Comment(reply).api_delete()
    later = page.create_feed(params={"message": "Later", "published": False, "scheduled_publish_time": "+1 hour"})
    scheduled = [row["id"] for row in page.get_scheduled_posts()]
    PagePost(later["id"]).api_delete()
    return {"post": post["id"], "shown": shown, "scheduled": scheduled, "later": later["id"]}


def write_instagram(user: IGUser, api: FacebookAdsApi) -> dict[str, Any]:
    """A container until it is ready, its publication, a comment."""
    container = user.create_media(params={"image_url": IMAGE, "caption": "By the SDK"})["id"]
    states: list[str] = []
    for _ in range(POLLS):
        states.append(api.call("GET", (container,), {"fields": "status_code"}).json()["status_code"])
        if states[-1] != "IN_PROGRESS":
            break
        time.sleep(POLL_SECONDS)
    media = IGMedia(user.create_media_publish(params={"creation_id": container})["id"])
    comment = media.create_comment(params={"message": "Thanks"})["id"]
    media.api_update(params={"comment_enabled": False})
    limit = user.get_content_publishing_limit(fields=["quota_usage"])[0]["quota_usage"]
    newest = next(iter(user.get_media(fields=["caption"], params={"limit": 1})))
    told = {"id": media["id"], "comment": comment, "used": limit, "last": states[-1]}
    return {**told, "newest": newest["id"], "caption": newest["caption"]}


def write(given: Mapping[str, str]) -> dict[str, Any]:
    """First signed in as a person, then as the page."""
    FacebookAdsApi.init(given["app_id"], given["app_secret"], given["token"], crash_log=False)
    ads = write_ads(AdAccount(given["account"]), given["page"])
    api = FacebookAdsApi.init(given["app_id"], given["app_secret"], given["page_token"], crash_log=False)
    return {
        "ads": ads,
        "page": write_page(Page(given["page"])),
        "instagram": write_instagram(IGUser(given["instagram"]), api),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(write(json.load(sys.stdin))))
