"""Two clients that neither Meta nor we have written, unmodified, through the sandbox's proxy; a process of its own.

`python-facebook-api` for pages, Instagram and Threads; `pywa` for WhatsApp; the argument says which. They are told
nothing of the sandbox but the proxy and the authority. Reads what it needs as JSON on stdin, prints what it saw.
"""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import requests
from pyfacebook import FacebookApi, FacebookError, GraphAPI, IGBusinessApi, ThreadsGraphAPI
from pywa.client import WhatsApp
from pywa.errors import WhatsAppError
from pywa.types.message_status import MessageStatus
from pywa.utils import webhook_updates_validator

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 30.0
VERSION = "v25.0"


def use_python_facebook_api(given: Mapping[str, str]) -> dict[str, Any]:
    app = {"app_id": given["app_id"], "app_secret": given["app_secret"], "version": VERSION}
    return {
        "login": login(GraphAPI(oauth_flow=True, **app)),
        "tokens": tokens(GraphAPI(access_token=given["token"], **app), given),
        "page": page(GraphAPI(access_token=given["page_token"], **app), given["page"]),
        "posts": page_posts(FacebookApi(access_token=given["page_token"], **app), given["page"]),
        "instagram": instagram(app, given),
        "threads": threads(ThreadsGraphAPI(app_id=None, app_secret=None, access_token=given["threads_token"])),
    }


def login(api: Any) -> dict[str, Any]:
    """From the dialog to a token of sixty days; a plain GET stands for the person's browser."""
    back = {"redirect_uri": "https://app.example/back"}
    address, _ = api.get_authorization_url(scope=["public_profile", "pages_show_list"], **back)
    answer = requests.get(address, allow_redirects=False, timeout=PATIENCE_SECONDS)
    short = api.exchange_user_access_token(response=answer.headers["location"], **back)
    longer = api.exchange_long_lived_user_access_token(short["access_token"])
    return {"short": short["expires_in"], "longer": longer["expires_in"], "app": api.get_app_token()["access_token"]}


def tokens(api: Any, given: Mapping[str, str]) -> dict[str, Any]:
    return {
        "scopes": api.debug_token(given["token"])["data"]["scopes"],
        "longer": api.exchange_long_lived_user_access_token(given["token"])["token_type"],
        "pages": sorted(row["id"] for row in api.get_full_connections("me", "accounts", count=10, limit=1)["data"]),
    }


def page(api: Any, page_id: str) -> dict[str, Any]:
    """A post now, one for later, a photo that is not shown, and the numbers of the page."""
    post = api.post_object(page_id, connection="feed", data={"message": "Said by a client"})
    later = {"message": "Later", "published": "false", "scheduled_publish_time": str(int(time.time()) + 3600)}
    planned = api.post_object(page_id, connection="feed", data=later)
    api.post_object(page_id, connection="photos", data={"url": "https://example.com/a.jpg", "published": "false"})
    scheduled = api.get_connection(page_id, "scheduled_posts", fields="message")["data"]
    numbers = api.get_connection(page_id, "insights", metric="page_post_engagements", period="day")["data"]
    deleted = api.delete_object(post["id"])
    return {
        "post": post["id"],
        "planned": planned["id"],
        "scheduled": [row["id"] for row in scheduled],
        "metric": numbers[0]["name"],
        "deleted": deleted,
    }


def page_posts(api: Any, page_id: str) -> list[str]:
    return [post.id for post in api.page.get_posts(object_id=page_id, count=None, limit=50).data]


def instagram(app: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Any]:
    """The profile, all of its media, and a picture published by way of its container."""
    profile = given["instagram"]
    api = IGBusinessApi(access_token=given["token"], instagram_business_id=profile, **app)
    media = [found.id for found in api.user.get_media(count=None, limit=30).data]
    graph = GraphAPI(access_token=given["token"], **app)
    draft = {"image_url": "https://example.com/a.jpg", "caption": "Shown by a client"}
    container = graph.post_object(profile, connection="media", data=draft)["id"]
    wait_for(lambda: graph.get_object(container, fields="status_code")["status_code"], "FINISHED")
    published = graph.post_object(profile, connection="media_publish", data={"creation_id": container})["id"]
    return {
        "username": api.user.get_info().username,
        "media": media,
        "published": published,
        "caption": graph.get_object(published, fields="caption")["caption"],
        "quota_used": api.user.get_content_publishing_limit().data[0].quota_usage,
        "metric": api.user.get_insights(metric="reach", period="day").data[0].name,
    }


def threads(api: Any) -> dict[str, Any]:
    container = api.post_object("me", connection="threads", data={"media_type": "TEXT", "text": "Thought by a client"})
    post = api.post_object("me", connection="threads_publish", data={"creation_id": container["id"]})
    newest = api.get_connection("me", "threads", fields="id,text", limit=5)["data"][0]
    failure: list[Any] = []
    try:
        api.get_object("123", fields="id")
    except FacebookError as error:
        failure = [error.code, error.type]
    return {
        "username": api.get_object("me", fields="username")["username"],
        "post": post["id"],
        "newest": newest,
        "deleted": api.delete_object(post["id"])["success"],
        "failure": failure,
    }


def use_pywa(given: Mapping[str, str]) -> dict[str, Any]:
    client = WhatsApp(phone_id=given["phone"], token=given["token"], waba_id=given["account"])
    there = {"callback_url": given["callback_url"], "verify_token": given["verify_token"]}
    app_id = int(given["app_id"])
    app_token = client.get_app_access_token(app_id=app_id, app_secret=given["app_secret"])
    client.set_app_callback_url(app_id=app_id, app_access_token=app_token, fields=("messages",), **there)
    client.override_waba_callback_url(**there)
    sent = client.send_message(to="16505551234", text="Written by a client")
    failure: list[Any] = []
    try:
        WhatsApp(phone_id="123", token=given["token"]).send_message(to="16505551234", text="From nobody")
    except WhatsAppError as error:
        failure = [error.code]
    return {"sent": sent.id, "name": client.get_business_phone_number().verified_name, "failure": failure}


def read_with_pywa(given: Mapping[str, str]) -> dict[str, Any]:
    """A delivery as a subscriber with this client reads it."""
    body = given["body"].encode()
    genuine = webhook_updates_validator(given["app_secret"], body, given["signature"])
    told = MessageStatus.from_update(WhatsApp(phone_id=given["phone"], token=given["token"]), json.loads(body))
    return {"genuine": genuine, "id": told.id, "status": told.status.value, "person": told.from_user.wa_id}


def wait_for(state: Any, wanted: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (now := state()) != wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {now}")
        time.sleep(POLL_SECONDS)


CLIENTS = {
    "python-facebook-api": use_python_facebook_api,
    "pywa": use_pywa,
    "pywa reads": read_with_pywa,
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(CLIENTS[sys.argv[1]](json.load(sys.stdin))))
