"""Every page that the console has, by its own table of routes: a new page cannot be forgotten."""

import json
from collections.abc import Mapping, Sequence
from typing import Final, cast

from starlette.routing import Route

from stockwright.console import routes
from stockwright.console.door import SIGN_IN
from stockwright.console.reading import ConsoleServices
from stockwright.domain.network import System
from stockwright.flow.connecting import digest
from tests.console.people import Browser
from tests.console.seeding import HOT, Seed, seed_wholesaler
from tests.console.serving import Served
from tests.console.test_boards import demand, parked, work_items
from tests.console.test_policies import put_rules, try_out

NOT_PAGES: Final = frozenset({"/console/stream", "/parked/{id}/body"})
"""What answers a GET and is no page: events for scripts, bytes to be saved."""

REACHED_OTHERWISE: Final = frozenset({SIGN_IN, "/done/{deed}"})
"""Pages that only follow something that a person does; tests go there that way."""

NEEDING_MORE: Final[Mapping[str, Sequence[str]]] = {
    "/item": ("/item?sku=21212",),
    "/items": ("/items", "/items?q=nothing+is+called+so"),
    "/items/{sku:path}": (f"/items/{HOT}",),
    "/why": (
        f"/why?number=free&sku={HOT}",
        f"/why?number=available_to_sell&sku={HOT}&channel=webshop&listing={HOT}",
        f"/why?number=sent&sku={HOT}&channel=webshop&listing={HOT}",
    ),
    "/search": ("/search?q=O-", "/search?q="),
    "/trace": ("/trace?sequence=5",),
    "/work-items": ("/work-items", "/work-items?kind=shortage", "/work-items?kind=none"),
    "/publication": ("/publication?channel=webshop",),
    "/publications/{channel:path}": ("/publications/market-a",),
    "/connection": ("/connection?system=market-b",),
    "/connections/{system:path}": ("/connections/market-b",),
    "/connection-new": ("/connection-new", "/connection-new?connector=json_http"),
    "/subscription": ("/subscription?name=finance",),
    "/subscriptions/{name:path}": ("/subscriptions/finance",),
    "/policy": ("/policy?channel=webshop",),
    "/policies/{channel:path}": ("/policies/market-a",),
    "/policy-trials/{trial}": ("/policy-trials/1",),
    "/policy-trials/{trial}/effect": (f"/policy-trials/1/effect?channel=market-a&listing={HOT}",),
    "/work-items/{id}": ("/work-items/1",),
    "/parked/{id}": ("/parked/1",),
    "/api-log": ("/api-log", "/api-log?code=none"),
    "/api-log/{id}": ("/api-log/1", "/api-log/2"),
    "/reservation": ("/reservation?system=shop&order=O-1",),
}
"""Where the bare address is no page, or not all of it: addresses in the wholesaler's database."""


def templates() -> list[str]:
    """Path of every page for people, as the table of routes writes it."""
    # The routes are only read: nothing is asked of what they are served from.
    found = routes(cast(ConsoleServices, None), open_to_all=True)
    return sorted(
        route.path
        for route in found
        if isinstance(route, Route)
        and "GET" in (route.methods or ())
        and not route.path.endswith(".json")
        and route.path not in NOT_PAGES | REACHED_OTHERWISE
    )


def addresses(needing_more: Mapping[str, Sequence[str]] = NEEDING_MORE) -> list[str]:
    """At least one address of every page; `needing_more` knows a database's own codes."""
    return [one for path in templates() for one in needing_more.get(path, (path,))]


def plain_addresses() -> list[str]:
    """The pages that need no parameter: they are there while the database is still empty."""
    return [one for one in addresses() if one in templates()]


def seed_everything(seed: Seed) -> None:
    """A wholesaler with something on every list, and with texts as long as they come."""
    seed_wholesaler(seed)
    work_items(seed, 60, sku=HOT)
    parked(seed, 3)
    for number in range(1, 5):
        demand(seed, number, "open", 2, sku=HOT)
    seed._run("insert into change_log (actor, action, subject) values ('cli', 'user.add', 'ada')")
    call_row(seed, 422, "failed", param="lines[0].quantity")
    call_row(seed, 207, "refused", refused=1)
    seed._run("insert into app_user (name, role) values ('ada', 'admin'), ('bob', 'viewer')")
    for name in ("web shop", "warehouse"):
        seed._run(
            "insert into api_key (id, name, hash, scopes, revoked_at) values (%s, %s, %s,"
            " '{events:write,stock:read}', case when %s = 'warehouse' then now() end)",
            name.split()[0], name, name.encode(), name,
        )  # fmt: skip
    half_connected(seed)
    subscribed(seed)
    put_rules(seed, "market-a", {"sku": HOT, "cap": 3}, {"safety": 1}, reason="spring sale")


def half_connected(seed: Seed) -> None:
    """A connection in shadow: some steps taken, one failed, items that wait, levels not sent."""
    fact = {"kind": "channel_order", "document": "O-1", "item": HOT, "quantity": 2}
    broken = {"payload": 1, "path": "$.data.lines[0].quantity", "reason": "is missing"}
    sample = {"events": 1, "failures": 1, "first": [fact], "broken": [broken]}
    told = {"settings": ("done", {}), "credentials": ("done", {}), "sample": ("failed", sample),
            "items": ("attention", {})}  # fmt: skip
    settings = digest(System(code="market-b", role="shop", connector="json_http"))
    waits = {"A-VERY-LONG-CODE-OF-A-PARTNER-001": "unknown", HOT: "unit_conflict"}
    seed._run(
        "insert into connecting (system, stage, actor, why)"
        " values ('market-b', 'shadow', 'user ada', 'a first look')"
    )
    for step, (state, detail) in told.items():
        seed._run(
            "insert into connecting_step (system, step, state, actor, note, detail, settings)"
            " values ('market-b', %s, %s, 'user ada', 'what was found, in a sentence', %s, %s)",
            step, state, json.dumps(detail), settings,
        )  # fmt: skip
    for code, state in waits.items():
        seed._run(
            "insert into partner_item (system, code, state, why) values ('market-b', %s, %s,"
            " 'it is bound to no SKU and it is no active listing of market-b')", code, state,
        )  # fmt: skip
    seed._run(
        "insert into shadow_level (channel, listing, version, desired)"
        " values ('market-b', %s, 1, 1234567)", HOT,
    )  # fmt: skip


def subscribed(seed: Seed) -> None:
    """A consumer that took one message and refused the next."""
    seed._run(
        "insert into subscription (name, via, url, batch, created_by) values ('finance', 'webhook',"
        " 'https://finance.example/a/rather/long/path/to/where/its/webhooks/go', 100, 'user ada')"
    )
    seed._run(
        "insert into subscription_progress (subscription, sequence, place, failures, failing_since,"
        " last_error) select id, 0, 0, 3, now(), 'it answered 503' from subscription"
    )
    seed._run(
        "insert into subscription_secret (subscription, secret) select id, '-' from subscription"
    )
    for outcome, error in (("taken", ""), ("failed", "it answered 503")):
        seed._run(
            "insert into subscription_attempt (subscription, took_ms, changes, outcome, error)"
            " select id, 1500, 100, %s, %s from subscription", outcome, error,
        )  # fmt: skip


def begin_trial(served: Served) -> None:
    """What only follows something that a person does: other rules, tried on the wholesaler."""
    try_out(Browser(served), "market-a", {"sku": HOT, "cap": "1"}, {"safety": "2"})


def call_row(seed: Seed, status: int, kept: str, *, param: str = "sku", refused: int = 0) -> None:
    """A call in the API log, with its fault, its body and an event that it recorded."""
    problem = {"detail": "Expected `int`, got `str`.", "title": "wrong", "next": "Correct it."}
    refusal = {"index": 1, "status": 422, "code": "malformed", "param": param, "detail": "No."}
    body = '[{"sku": "A"}, {"sku": "B"}]' if refused else '{"lines": [{"quantity": "many"}]}'
    seed._run(
        "insert into api_call (request_id, at, kept, method, route, address, status, caller,"
        " took_ms, bytes_in, bytes_out, items, refused, code, param, problem, refusals, sequences,"
        " body) values (%s, now(), %s, 'POST', '/v1/events', '/v1/events', %s, 'key web', 1.5, 40,"
        " 200, 2, %s, 'malformed', %s, %s, %s, '{5}', %s)",
        f"r-{status}", kept, status, refused, param,
        None if refused else json.dumps(problem), json.dumps([refusal] * refused), body,
    )  # fmt: skip
