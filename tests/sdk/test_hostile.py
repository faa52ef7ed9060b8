"""The hostile partner does what it is told, on the wire."""

import random
from collections import Counter

import pytest
from aiohttp import web

from stockwright.sdk.hostile import Fault, Faults, HostilePartner, keeping, storm
from stockwright.sdk.transports import Http, HttpRequest, TooLarge, Unanswered


class Shop:
    """Shows one number; POST /set?n=... changes it."""

    def __init__(self):
        self.shown = 9
        self.faults = Faults(keep=keeping(self, "shown"))

    async def write(self, request):
        self.shown = int(request.query["n"])
        return web.Response(text="yes")

    async def read(self, request):
        return web.Response(text=str(self.shown))

    def partner(self):
        return HostilePartner(
            [web.post("/set", self.write), web.get("/shown", self.read)], self.faults
        )


@pytest.fixture
async def call():
    shop, http = Shop(), Http()
    async with shop.partner() as partner:

        async def one(method, path, timeout_s=5.0):
            request = HttpRequest(method=method, url=partner.url + path, timeout_s=timeout_s)
            return await http.send(request)

        yield shop, one
        await http.close()


@pytest.mark.parametrize(
    ("kind", "status", "shown"),
    [
        ("throttled", 429, 9),
        ("server_error", 500, 9),
        ("applied_then_error", 500, 2),
        ("unauthorized", 401, 9),
        ("malformed_request", 400, 9),
        ("redirected", 307, 9),
        ("garbage", 200, 9),
        ("applied_then_garbage", 200, 2),
        ("poisoned", 200, 9),
        ("swallowed", 200, 9),
        ("not_applied", 200, 9),
    ],
)
async def test_a_fault_spoils_one_call_and_leaves_what_it_says(call, kind, status, shown):
    shop, send = call
    shop.faults.plan(Fault(kind=kind, seconds=3))
    answer = await send("POST", "/set?n=2")
    assert (answer.status, shop.shown) == (status, shown)
    assert answer.headers.get("retry-after") == ("3" if kind == "throttled" else None)
    assert (await send("POST", "/set?n=5")).body == b"yes"
    assert shop.shown == 5


@pytest.mark.parametrize(
    ("kind", "error", "shown"),
    [
        ("dropped", Unanswered, 9),
        ("applied_then_dropped", Unanswered, 2),
        ("slow", Unanswered, 2),
        ("oversized", TooLarge, 9),
    ],
)
async def test_what_breaks_a_call_off_leaves_what_it_says(call, kind, error, shown):
    shop, send = call
    shop.faults.plan(Fault(kind=kind, seconds=3))
    with pytest.raises(error):
        await send("POST", "/set?n=2", timeout_s=1.5 if kind == "slow" else 5)
    assert shop.shown == shown


async def test_a_right_yes_that_was_not_kept_reads_like_any_other(call):
    shop, send = call
    shop.faults.plan(Fault(kind="not_applied"))
    assert (await send("POST", "/set?n=2")).body == b"yes"
    assert (await send("GET", "/shown")).body == b"9"


async def test_a_stale_read_gives_what_was_shown_before(call):
    shop, send = call
    shop.faults.remember = True
    assert (await send("GET", "/shown")).body == b"9"
    await send("POST", "/set?n=2")
    shop.faults.plan(Fault(kind="stale"))
    assert (await send("GET", "/shown")).body == b"9"
    assert (await send("GET", "/shown")).body == b"2"


async def test_a_lie_waits_for_a_call_that_it_can_spoil(call):
    """Neither a read nor a write of the number that is shown anyway can come to nothing."""
    shop, send = call
    lost, old = Fault(kind="not_applied"), Fault(kind="stale")
    shop.faults.plan(lost)
    await send("GET", "/shown")
    await send("POST", "/set?n=9")
    assert shop.faults.spoilt == []
    await send("POST", "/set?n=2")
    assert (shop.faults.spoilt, shop.shown) == ([lost], 9)
    shop.faults.remember = True
    shop.faults.plan(old)
    await send("POST", "/set?n=2")
    assert (await send("POST", "/set?n=2")).body == b"yes"
    assert shop.faults.spoilt == [lost]
    await send("GET", "/shown")
    shop.shown = 5
    assert (await send("GET", "/shown")).body == b"2"
    assert shop.faults.spoilt == [lost, old]


def test_a_lie_that_this_partner_cannot_tell_is_refused_when_it_is_planned():
    with pytest.raises(ValueError, match="keep="):
        Faults().plan(Fault(kind="not_applied"))


def test_a_storm_loses_nothing_repeats_some_and_comes_in_another_order():
    sent = list(range(50))
    told = storm(sent, random.Random(1))
    counts = Counter(told)
    assert set(counts) == set(sent)
    assert set(counts.values()) == {1, 2, 3}
    assert list(dict.fromkeys(told)) != sent
    assert told == storm(sent, random.Random(1))
