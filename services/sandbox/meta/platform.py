"""Meta as the core sees it: one host, one world, one door for calls."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import orjson

from services.sandbox.calls import CallRow
from services.sandbox.clock import rfc3339
from services.sandbox.exchange import Answer, Call, Surroundings
from services.sandbox.faults import Target
from services.sandbox.meta import faulting
from services.sandbox.meta.assets import make_cast
from services.sandbox.meta.batch import MAX_SECONDS, Outer, read_items, run_batch
from services.sandbox.meta.briefs import Row
from services.sandbox.meta.budgets import app_bucket
from services.sandbox.meta.catalog import ACCOUNT_CHILDREN
from services.sandbox.meta.errors import GraphError, unknown_path
from services.sandbox.meta.first_tokens import make_tokens
from services.sandbox.meta.handling import Handler, redact, redact_text
from services.sandbox.meta.incoming import Incoming, header_token, read_call, wrap
from services.sandbox.meta.insights.truth import daily_rows, node_with_numbers
from services.sandbox.meta.operations import Request, split_version
from services.sandbox.meta.quota import Quotas, refusal
from services.sandbox.meta.table import TABLE
from services.sandbox.meta.tokens import describe_token
from services.sandbox.meta.turns import read_in_turns
from services.sandbox.meta.versions import CURRENT, RETIRED_FOR_MARKETING, SUPPORTED, serving_version
from services.sandbox.meta.world import Listing, Node, World
from services.sandbox.settings import Size

BATCH = "meta.batch"
_SAME = {
    "graph.threads.com": "graph.threads.net", "www.threads.com": "www.threads.net", "threads.com": "www.threads.net",
    "threads.net": "www.threads.net",
}  # fmt: skip
"""Hosts that are another name of one: "by either graph.threads.com or graph.threads.net" (O, threads/reference)."""


class MetaPlatform:
    """Every host of Meta's that an API client or a login calls."""

    name = "meta"
    hosts = (
        "graph.facebook.com", "graph-video.facebook.com", "rupload.facebook.com", "graph.instagram.com",
        "graph.threads.net", "api.instagram.com", "www.facebook.com", "www.instagram.com", "www.threads.net", *_SAME,
    )  # fmt: skip

    batch_seconds = MAX_SECONDS
    """How long a batch is worked on."""

    def __init__(self, around: Surroundings, seed: int, size: Size) -> None:
        self._around = around
        self._world = World(seed, size, around.clock)
        around.clock.on_move(self._settle)
        cast = make_cast(self._world)
        self._tokens = make_tokens(self._world, cast, around.clock)
        self._quotas = Quotas(around.clock)
        self._handler = Handler(around, self._world, self._tokens, self._quotas, TABLE)

    @property
    def limits_enforced(self) -> bool:
        return self._quotas.enforced

    @limits_enforced.setter
    def limits_enforced(self, enforced: bool) -> None:
        self._quotas.enforced = enforced

    def known_fault_args(self, kind: str) -> Mapping[str, tuple[str, ...] | None] | None:
        return faulting.FAULT_ARGS.get(kind)

    def _settle(self) -> None:
        """Do what the clock has made due: before anybody looks, and at once when it is moved."""
        self._world.agenda.settle(self._around.clock.now())

    def describe(self) -> dict[str, Any]:
        self._settle()
        now = self._around.clock.now()
        nodes = self._world.nodes
        return {
            "hosts": list(self.hosts),
            "api_versions": {
                "current": CURRENT,
                "supported": list(SUPPORTED),
                "retired": list(RETIRED_FOR_MARKETING),
            },
            "apps": [
                {
                    "id": app.id,
                    "name": app.name,
                    "secret": app.secret,
                    "tier": app.tier,
                    "webhook_secret": app.secret,
                    "requires_proof": app.requires_proof,
                }
                for app in self._tokens.apps.values()
            ],
            "tokens": [describe_token(token, nodes, now) for token in self._tokens.all()],
            "accounts": [self._describe_account(nodes[account]) for account in self._world.accounts],
        }

    async def children(self, kind: str, node_id: str, child: str, *, everything: bool) -> list[dict[str, Any]] | None:
        self._settle()
        node = self._world.nodes.get(node_id)
        edge = ACCOUNT_CHILDREN.get(kind, {}).get(child)
        if node is None or node.kind != kind or edge is None:
            return None
        return await read_in_turns(
            self._world, lambda: map(_describe_child, self._listed(node, edge, everything=everything).briefs())
        )

    async def metrics(
        self, kind: str, node_id: str, since: date, until: date, by: str | None
    ) -> list[dict[str, Any]] | None:
        self._settle()
        node = node_with_numbers(self._world, kind, node_id, by)
        if node is None:
            return None
        return await read_in_turns(self._world, lambda: daily_rows(self._world, node, since, until, by))

    async def answer(self, call: Call) -> Answer:
        self._settle()
        row = self._around.calls.begin(
            via=call.via,
            platform=self.name,
            method=call.method,
            host=call.host,
            path=redact_text(call.path),
            query=redact(call.query),
        )
        call = replace(call, host=_SAME.get(call.host, call.host))
        try:
            asked = read_call(call)
        except GraphError as error:
            answer = self._handler.render_error(error, None)
        else:
            answer = wrap(await self._answer(call, asked, row), asked.callback)
        row.status = None if answer.cut else answer.status
        return answer

    async def _answer(self, call: Call, asked: Incoming, row: CallRow) -> Answer:
        params = asked.params
        secret = params.get("access_token") or header_token(call.headers.get("authorization", ""))
        # POST is what the guide says; one of its samples is a GET (O, batch-requests).
        if asked.method in {"GET", "POST"} and "batch" in params:
            return await self._batch(call, row, asked, secret)
        request = Request(
            asked.method,
            call.path,
            params,
            call.query,
            secret,
            call.base_url,
            call.host,
            headers=call.headers,
            body=call.body,
            files=asked.files,
        )
        prepared = self._handler.prepare(request, row)
        await asyncio.sleep(faulting.delay_seconds(prepared.fault))
        return await self._handler.perform(prepared)

    async def _batch(self, call: Call, row: CallRow, asked: Incoming, secret: str | None) -> Answer:
        """A batch costs nothing itself: each of its items is a call (O)."""
        params = asked.params
        token = self._tokens.find(secret) if secret else None
        row.operation, row.token = BATCH, token.id if token else None
        target = Target(self.name, call.method, row.host, call.path, BATCH, row.token)
        fault = self._around.faults.find(target)
        row.fault = fault.id if fault else None
        await asyncio.sleep(faulting.delay_seconds(fault))
        if fault and fault.kind == "cut_before":
            return Answer(status=0, body=b"", cut=True)
        version, _ = split_version(call.path)
        try:
            if serving_version(version) is None:
                raise unknown_path(f"/{version}")
            if fault:
                buckets = (app_bucket(token.app),) if token else ()
                faulting.refuse(fault, token, buckets, self._quotas)
            outer_token = self._tokens.authenticate(secret, params, host=call.host)
            if self._quotas.is_full(app_bucket(outer_token.app)):
                raise refusal(app_bucket(outer_token.app))
            items = read_items(params["batch"])
        except GraphError as error:
            return faulting.spoil(self._handler.render_error(error, None), fault)
        results = await run_batch(
            self._handler,
            self._around,
            Outer(call, row, params, secret, version, asked.files),
            items,
            max_seconds=self.batch_seconds,
        )
        answer = Answer(200, orjson.dumps(results), [("facebook-api-version", serving_version(version) or CURRENT)])
        return faulting.spoil(answer, fault)

    def _describe_account(self, node: Node) -> dict[str, Any]:
        children = ACCOUNT_CHILDREN[node.kind]
        account: dict[str, Any] = {
            "type": node.kind,
            "id": node.id,
            "name": node.title,
            "parent": _pair(node.parent),
            "status": node.status,
            "created_at": rfc3339(node.created_at),
            "updated_at": rfc3339(node.updated_at),
            "children": {child: len(self._listed(node, edge, everything=False)) for child, edge in children.items()},
        }
        if node.kind == "ad_account":
            account |= {"currency": node.values["currency"], "timezone": node.values["timezone_name"]}
        if node.kind in {"page", "instagram", "threads"}:
            account["timezone"] = "UTC"
        if node.kind in {"instagram", "threads"}:
            account["username"] = node.values["username"]
        return account

    def _listed(self, node: Node, edge: str, *, everything: bool) -> Listing:
        return self._world.listed(node, edge) if everything else self._world.shown(node, edge)


def _describe_child(node: Row) -> dict[str, Any]:
    shown = {
        "id": node.id,
        "name": node.title,
        "status": node.status,
        "parent": _pair(node.parent),
        "created_at": rfc3339(node.created_at),
        "updated_at": rfc3339(node.updated_at),
    }
    totals = node.totals
    return shown if totals is None else {**shown, "totals": totals}


def _pair(parent: tuple[str, str] | None) -> dict[str, str] | None:
    return {"type": parent[0], "id": parent[1]} if parent else None
