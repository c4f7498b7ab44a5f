"""Meta's own SDK believes the sandbox."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.e2e
SESSION = Path(__file__).with_name("sdk_session.py")


def test_the_official_sdk_reads_pages_and_batches_unmodified(sandbox: SandboxProcess) -> None:
    token = sandbox.token_row("user_main")
    app = sandbox.app(token["app"])
    account = sandbox.accounts("ad_account")[0]
    # One item of the first batch is left undone, so that the SDK's own way to try again is seen to work.
    sandbox.fault("cut_before", {"item": 7}, times=1)
    arguments = [sandbox.graph_url, app["id"], app["secret"], token["access_token"], account["id"]]
    ran = subprocess.run(
        [sys.executable, str(SESSION), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    campaigns = sandbox.children(account, "campaigns")
    assert seen["account"]["name"] == account["name"]
    assert seen["campaigns"] == [[row["id"], row["name"]] for row in campaigns]
    assert seen["total"] == len(campaigns)
    assert set(seen["ad_accounts"]) == {row["id"] for row in token["sees"] if row["type"] == "ad_account"}
    wanted = sorted(row["name"] for position, row in enumerate(campaigns) if position != 3)
    assert seen["batch"] == {"names": wanted, "failures": [100], "rounds": 4}
    assert seen["errors"] == [
        [400, 100, 33, "GraphMethodException"],
        [400, 100, None, "OAuthException"],
        [400, 100, None, "GraphMethodException"],
    ]
    calls = sandbox.calls()
    assert [row["status"] for row in calls if row["operation"] == "meta.batch"] == [200] * 4
    assert len([row for row in calls if row["operation"] == "meta.ad_account.campaigns"]) == 4
