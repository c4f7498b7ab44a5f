"""Meta's official SDK, unmodified, against the sandbox; run as its own process, since it lives on global state.

Arguments: the sandbox's Graph address, app id, app secret, access token, ad account id. Prints what it saw as JSON.
"""

import json
import sys
from typing import Any

from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi, FacebookResponse
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession


def run(graph: str, app_id: str, app_secret: str, token: str, account_id: str) -> dict[str, Any]:
    FacebookSession.GRAPH = graph
    api = FacebookAdsApi.init(app_id, app_secret, token, crash_log=False)
    account = AdAccount(account_id)
    seen: dict[str, Any] = {"account": account.api_get(fields=["name", "currency", "account_status"]).export_all_data()}
    campaigns = account.get_campaigns(fields=[Campaign.Field.name, Campaign.Field.status], params={"limit": 40})
    seen["campaigns"] = [[campaign["id"], campaign["name"]] for campaign in campaigns]
    seen["total"] = campaigns.total()
    seen["ad_accounts"] = [found["id"] for found in User("me").get_ad_accounts()]
    seen["batch"] = run_batch(api, seen["campaigns"])
    seen["errors"] = [failure(Campaign("123")), failure(account, ["colour"])]
    FacebookAdsApi.init(app_id, "wrong secret", token, crash_log=False)
    seen["errors"].append(failure(AdAccount(account_id)))
    return seen


def run_batch(api: FacebookAdsApi, campaigns: list[list[str]]) -> dict[str, Any]:
    """Fifty requests at a time, one of them wrong; what is not done comes back as another batch."""
    names: list[str] = []
    failures: list[int] = []
    ids = [found[0] for found in campaigns]
    ids[3] = "123"
    rounds = 0
    for start in range(0, len(ids), 50):
        batch = api.new_batch()
        for campaign_id in ids[start : start + 50]:
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


def error_code(answer: FacebookResponse) -> int:
    return int(answer.error().api_error_code())


def failure(node: Any, fields: list[str] | None = None) -> list[Any]:
    try:
        node.api_get(fields=fields or ["name"])
    except FacebookRequestError as error:
        return [error.http_status(), error.api_error_code(), error.api_error_subcode(), error.api_error_type()]
    return []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(*sys.argv[1:])))
