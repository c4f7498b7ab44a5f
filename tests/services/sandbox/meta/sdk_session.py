"""Meta's official SDK, unmodified, through the sandbox's proxy: a process of its own, since it lives on global state.

It is told nothing of the sandbox but HTTPS_PROXY and REQUESTS_CA_BUNDLE. Reads what it needs as JSON on stdin, prints
what it saw as JSON on stdout, a key per scenario.
"""

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adcreative import AdCreative
from facebook_business.adobjects.adreportrun import AdReportRun
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.advideo import AdVideo
from facebook_business.adobjects.application import Application
from facebook_business.adobjects.business import Business
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.lead import Lead
from facebook_business.adobjects.leadgenform import LeadgenForm
from facebook_business.adobjects.page import Page
from facebook_business.adobjects.user import User
from facebook_business.adobjects.whatsappbusinessaccount import WhatsAppBusinessAccount
from facebook_business.api import FacebookAdsApi, FacebookResponse
from facebook_business.exceptions import FacebookRequestError

VIDEO_BYTES = 1_200_000
POLL_SECONDS = 0.1
JOB_SECONDS = 30.0
INSIGHT_FIELDS = ("campaign_id", "impressions", "clicks", "spend", "date_start")


class Session:
    """One user of the SDK. `given`: ids, secrets and tokens by the names that are used below."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given

    @property
    def account(self) -> AdAccount:
        """Bound to whoever is signed in."""
        return AdAccount(self.given["account"])

    def sign_in(self, secret: str | None, token: str) -> FacebookAdsApi:
        api: FacebookAdsApi = FacebookAdsApi.init(self.given["app_id"], secret, token, crash_log=False)
        return api

    def run(self) -> dict[str, Any]:
        api = self.sign_in(self.given["app_secret"], self.given["token"])
        campaigns = self.cursors()
        return {
            "cursors": campaigns,
            "assets": self.assets(),
            "batch": self.batch(api, campaigns["ids"]),
            "insights": self.insights(),
            "job": self.job(),
            "created": self.create(),
            "video": self.video(),
            "errors": self.errors(api),
            "proofs": self.proofs(),
            "page": self.page(),
            "webhooks": self.subscribe(),
        }

    def cursors(self) -> dict[str, Any]:
        """More than one page of a list, fetched as the caller walks on."""
        shown = self.account.api_get(fields=["name", "currency", "account_status"]).export_all_data()
        fields = [Campaign.Field.name, Campaign.Field.status]
        campaigns = self.account.get_campaigns(fields=fields, params={"limit": 40})
        found = [(campaign["id"], campaign["name"]) for campaign in campaigns]
        return {
            "account": shown,
            "ids": [one for one, _ in found],
            "names": [name for _, name in found],
            "total": campaigns.total(),
        }

    def assets(self) -> dict[str, list[str]]:
        me, business = User("me"), Business(self.given["business"])
        listed = {
            "ad_accounts": me.get_ad_accounts(),
            "pages": me.get_accounts(fields=["name"], params={"limit": 1}),
            "businesses": me.get_businesses(),
            "owned_ad_accounts": business.get_owned_ad_accounts(),
            "owned_pages": business.get_owned_pages(),
            "pixels": self.account.get_ads_pixels(),
        }
        return {name: [row["id"] for row in rows] for name, rows in listed.items()}

    def batch(self, api: FacebookAdsApi, ids: list[str]) -> dict[str, Any]:
        """More than fifty requests, one of them wrong; what is not done comes back as another batch."""
        names: list[str] = []
        failures: list[int] = []
        asked = list(ids)
        asked[3] = "123"
        rounds = 0
        for start in range(0, len(asked), 50):
            batch = api.new_batch()
            for campaign_id in asked[start : start + 50]:
                Campaign(campaign_id).api_get(
                    fields=["name"],
                    batch=batch,
                    success=lambda answer: names.append(answer.json()["name"]),
                    failure=lambda answer: failures.append(error_code(answer)),
                )
            while batch is not None:
                rounds += 1
                batch = batch.execute()
        return {"names": sorted(names), "failures": failures, "rounds": rounds}

    def insights(self) -> list[dict[str, Any]]:
        rows = self.account.get_insights(fields=list(INSIGHT_FIELDS), params={**self._range(), "limit": 60})
        return [dict(row.export_all_data()) for row in rows]

    def job(self) -> dict[str, Any]:
        """The same as a report job, asked for until it is ready."""
        run = self.account.get_insights(fields=list(INSIGHT_FIELDS), params=self._range(), is_async=True)
        states: list[str] = []
        deadline = time.monotonic() + JOB_SECONDS
        while not states or states[-1] != "Job Completed":
            if time.monotonic() > deadline:
                raise TimeoutError(f"the job is still {states[-1]}")
            run = run.api_get()
            states.append(run[AdReportRun.Field.async_status])
            time.sleep(POLL_SECONDS)
        rows = [dict(row.export_all_data()) for row in run.get_result(params={"limit": 70})]
        return {"percent": run[AdReportRun.Field.async_percent_completion], "last": states[-1], "rows": rows}

    def create(self) -> dict[str, Any]:
        """Campaign, ad set, creative and ad, each on top of the last; then changed, read back and deleted."""
        campaign = self.account.create_campaign(
            params={
                Campaign.Field.name: "From the SDK",
                Campaign.Field.objective: Campaign.Objective.outcome_traffic,
                Campaign.Field.status: Campaign.Status.paused,
                Campaign.Field.special_ad_categories: [],
                Campaign.Field.is_adset_budget_sharing_enabled: False,
            }
        )
        adset = self.account.create_ad_set(
            params={
                AdSet.Field.name: "Set",
                AdSet.Field.campaign_id: campaign["id"],
                AdSet.Field.daily_budget: 1000,
                AdSet.Field.billing_event: AdSet.BillingEvent.impressions,
                AdSet.Field.optimization_goal: AdSet.OptimizationGoal.link_clicks,
                AdSet.Field.bid_strategy: AdSet.BidStrategy.lowest_cost_without_cap,
                AdSet.Field.targeting: {"geo_locations": {"countries": ["SE"]}},
                AdSet.Field.status: AdSet.Status.paused,
            }
        )
        story = {"page_id": self.given["page"], "link_data": {"link": "https://example.com", "message": "Look"}}
        creative = self.account.create_ad_creative(
            params={AdCreative.Field.name: "Creative", AdCreative.Field.object_story_spec: story}
        )
        ad = self.account.create_ad(
            params={
                Ad.Field.name: "Ad",
                Ad.Field.adset_id: adset["id"],
                Ad.Field.creative: {"creative_id": creative["id"]},
                Ad.Field.status: Ad.Status.paused,
            }
        )
        campaign.api_update(params={Campaign.Field.name: "Renamed"})
        read = Ad(ad["id"]).api_get(fields=["name", "adset_id", "campaign_id", "effective_status"]).export_all_data()
        renamed = Campaign(campaign["id"]).api_get(fields=["name", "status"]).export_all_data()
        Campaign(campaign["id"]).api_delete()
        ids = {"campaign": campaign["id"], "adset": adset["id"], "creative": creative["id"], "ad": ad["id"]}
        return {"ids": ids, "ad": read, "campaign": renamed}

    def video(self) -> dict[str, Any]:
        """In chunks, by the SDK's own way to upload."""
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "a.mp4"
            clip.write_bytes(bytes(VIDEO_BYTES))
            video = AdVideo(parent_id=self.given["account"])
            video[AdVideo.Field.filepath] = str(clip)
            video.remote_create()
        shown = AdVideo(video["id"]).api_get(fields=["title", "status"])
        return {"id": video["id"], "title": shown["title"]}

    def errors(self, api: FacebookAdsApi) -> dict[str, Any]:
        """Status, code, subcode, type and whether it passes, as the SDK's own exception tells them."""
        failures = {
            "unknown id": lambda: Campaign("123").api_get(fields=["name"]),
            "unknown field": lambda: self.account.api_get(fields=["colour"]),
            "nothing given": lambda: self.account.create_campaign(params={}),
            "too many items": lambda: too_many(api, self.given["account"]),
            "throttled": lambda: Campaign(self.given["throttled"]).api_get(fields=["name"]),
        }
        return {name: failure(act) for name, act in failures.items()}

    def proofs(self) -> list[list[Any]]:
        """With another secret, and without one for an app that wants a proof with each call."""
        self.sign_in("wrong secret", self.given["token"])
        wrong = failure(lambda: AdAccount(self.given["account"]).api_get(fields=["name"]))
        self.sign_in(None, self.given["strict_token"])
        return [wrong, failure(lambda: User("me").api_get(fields=["name"]))]

    def page(self) -> dict[str, Any]:
        """A page's post, with the page's own token."""
        self.sign_in(self.given["app_secret"], self.given["page_token"])
        post = Page(self.given["page"]).create_feed(params={"message": "Said by the SDK"})
        newest = next(iter(Page(self.given["page"]).get_posts(fields=["message"], params={"limit": 2})))
        return {"id": post["id"], "newest": newest["id"], "message": newest["message"]}

    def subscribe(self) -> dict[str, Any]:
        """Both layers of a webhook, a lead that makes one, and all of it taken back."""
        given = self.given
        app = Application(given["app_id"], api=self.sign_in(given["app_secret"], given["app_token"]))
        wish = {"callback_url": given["callback_url"], "verify_token": given["verify_token"], "include_values": True}
        app.create_subscription(params={"object": "page", "fields": ["leadgen"], **wish})
        subscribed = [row["object"] for row in app.get_subscriptions()]
        self.sign_in(given["app_secret"], given["page_token"])
        page = Page(given["page"])
        page.create_subscribed_app(params={"subscribed_fields": ["leadgen"]})
        installed = [row["id"] for row in page.get_subscribed_apps()]
        form = LeadgenForm(page.get_lead_gen_forms()[0]["id"])
        lead = form.create_test_lead()["id"]
        listed = [row["id"] for row in form.get_test_leads()]
        Lead(lead).api_delete()
        page.delete_subscribed_apps()
        token = self._of_system_user()
        app = Application(given["app_id"], api=self.sign_in(given["app_secret"], given["app_token"]))
        app.delete_subscriptions(params={"object": "page"})
        left = len(app.get_subscriptions())
        return {
            "subscribed": subscribed, "installed": installed, "lead": lead, "listed": listed, "left": left, **token,
        }  # fmt: skip

    def _of_system_user(self) -> dict[str, Any]:
        """Accounts that a business has, and a token for its own robot."""
        given = self.given
        self.sign_in(given["app_secret"], given["token"])
        messages = WhatsAppBusinessAccount(given["whatsapp"])
        for account, params in ((self.account, {"app_id": given["app_id"]}), (messages, {})):
            account.create_subscribed_app(params=params)
        rows = [len(account.get_subscribed_apps()) for account in (self.account, messages)]
        for account, params in ((self.account, {"app_id": given["app_id"]}), (messages, {})):
            account.delete_subscribed_apps(params=params)
        wish = {"system_user_id": given["system_user"], "scope": ["ads_read"]}
        made = Business(given["business"]).create_system_user_access_token(params=wish)
        self.sign_in(given["app_secret"], made["access_token"])
        granted = [row["permission"] for row in User("me").get_permissions()]
        return {"apps": rows, "granted": granted}

    def _range(self) -> dict[str, Any]:
        return {
            "level": "campaign",
            "time_range": {"since": self.given["since"], "until": self.given["until"]},
            "time_increment": 1,
        }


def too_many(api: FacebookAdsApi, account: str) -> None:
    batch = api.new_batch()
    for _ in range(51):
        batch.add("GET", (account,))
    batch.execute()


def error_code(answer: FacebookResponse) -> int:
    return int(answer.error().api_error_code())


def failure(act: Any) -> list[Any]:
    try:
        act()
    except FacebookRequestError as error:
        told = [error.http_status(), error.api_error_code(), error.api_error_subcode(), error.api_error_type()]
        return [*told, error.api_transient_error()]
    return []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(Session(json.load(sys.stdin)).run()))
