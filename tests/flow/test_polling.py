"""Asking a partner: each page kept with its cursor, the watermark moved by complete polls only."""

import asyncio
import datetime as dt

import msgspec
import pytest

from stockwright.connectors.csv_drop import CONNECTOR as CSV_DROP
from stockwright.connectors.csv_drop import Sandbox as FilePartner
from stockwright.domain import budget as budgets
from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.flow.calls import promise_call, spare_call
from stockwright.flow.intake import Intake
from stockwright.flow.polling import MAX_PAGES, Poller
from stockwright.flow.recording import Recorder
from stockwright.flow.sparing import meter_of
from stockwright.sdk.connector import Opening
from stockwright.sdk.declaration import Limits
from stockwright.sdk.messages import Page, Payload
from stockwright.sdk.transports import HttpRequest, HttpResponse, InMemory
from stockwright.store import attempts, watermarks
from stockwright.store.connection import Pool
from stockwright.store.polls import hurry_poll, poll_states
from stockwright.store.session import session
from tests.flow.channels import until
from tests.flow.partners import events, order, rows, set_up

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


PLAN = Limits(
    batch_size=1,
    calls_per_s=1000,
    burst=1000,
    concurrency=1,
    timeout_s=1,
    longest_apply_delay_s=0,
)


class Partner:
    """A list of orders, given out `size` at a time; `faults` are raised first."""

    limits = Limits(
        batch_size=1,
        calls_per_s=1000,
        burst=1000,
        concurrency=1,
        timeout_s=1,
        longest_apply_delay_s=0,
    )

    def __init__(self, orders, size=2):
        self.orders = orders
        self.size = size
        self.faults = []
        self.asked = []
        self.acknowledged = []
        self.clock = NOON

    async def read(self, cursor):
        self.asked.append(cursor)
        self.clock += dt.timedelta(minutes=1)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, BaseException):
                raise fault
            await fault()
        start = int(cursor or 0)
        page = self.orders[start : start + self.size]
        end = start + len(page)
        return Page(
            payloads=tuple(page),
            next_cursor=str(end),
            started_at=self.clock,
            complete=end == len(self.orders),
        )

    async def acknowledge(self, page):
        self.acknowledged.append(page.next_cursor)


@pytest.fixture
def database(database_url):
    with set_up(database_url) as connection:
        yield connection


@pytest.fixture
def pool(database_url, database):
    with Pool(database_url, size=8) as pool:
        yield pool


@pytest.fixture
def poller(pool):
    return Poller(pool, worker="p1")


def orders(count):
    return [order(f"O{n}", ("shop-a", 1)) for n in range(count)]


def state(pool):
    with pool.connection() as connection:
        (found,) = poll_states(connection)
    return found


async def test_a_poll_keeps_every_page_and_goes_on_where_it_ended(poller, pool, database):
    partner = Partner(orders(5))
    assert await poller.poll("shop", partner) == (5, True, "")
    assert rows(database, "select count(*) from payload where state = 'received'") == [(5,)]
    assert partner.acknowledged == ["2", "4", "5"]
    partner.orders += orders(6)[5:]
    assert await poller.poll("shop", partner, now=True) == (1, True, "")
    assert partner.asked == ["", "2", "4", "5"]


async def test_the_watermark_is_the_start_of_the_last_complete_poll(poller, pool):
    partner = Partner(orders(5))
    await poller.poll("shop", partner)
    assert state(pool).watermark == NOON + dt.timedelta(minutes=1)
    await poller.poll("shop", partner, now=True)
    assert state(pool).watermark == NOON + dt.timedelta(minutes=4), "an empty poll counts"


async def test_a_poll_that_broke_off_moves_no_watermark(poller, pool, database):
    partner = Partner(orders(5))
    await poller.poll("shop", Partner([]))
    before = state(pool).watermark
    partner.faults = [lambda: asyncio.sleep(0), Transient("away")]
    assert await poller.poll("shop", partner, now=True) == (2, False, "away")
    assert (state(pool).watermark, state(pool).cursor) == (before, "2")
    assert state(pool).last_error == "away"
    assert await poller.poll("shop", partner, now=True) == (3, True, "")
    # The poll that completes began after the break: what it began before is not proven whole.
    assert state(pool).watermark == partner.clock - dt.timedelta(minutes=1)
    assert state(pool).last_error == ""


@pytest.mark.parametrize(
    ("fault", "least_s", "most_s"),
    [
        (Transient("away"), 0, 2),
        (Misconfigured("token", "401"), 299, 301),
    ],
)
async def test_a_failed_poll_is_due_again_as_its_fault_says(
    poller, pool, database, fault, least_s, most_s
):
    partner = Partner([])
    partner.faults = [fault]
    assert (await poller.poll("shop", partner)).error == str(fault)
    wait = rows(database, "select extract(epoch from due_at - last_error_at) from poll_cursor")[0][
        0
    ]
    assert least_s <= wait <= most_s
    if least_s:
        assert await poller.poll("shop", partner) is None


async def test_a_connector_that_breaks_its_promise_is_a_failed_poll_and_no_more(poller, pool):
    partner = Partner([])
    partner.faults = [ZeroDivisionError("division by zero")]
    assert not (await poller.poll("shop", partner)).complete
    assert "ZeroDivisionError" in state(pool).last_error


async def test_a_poll_that_is_cancelled_leaves_the_connection_free(poller, pool):
    partner = Partner([])
    started = asyncio.Event()

    async def hang():
        started.set()
        await asyncio.Event().wait()

    partner.faults = [hang]
    poll = asyncio.create_task(poller.poll("shop", partner))
    await started.wait()
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    assert (await Poller(pool, worker="p2").poll("shop", partner)).complete


async def test_failures_in_a_row_are_tried_later_and_later_up_to_five_minutes(poller, database):
    waits = []
    for _ in range(12):
        partner = Partner([])
        partner.faults = [Transient("away")]
        await poller.poll("shop", partner, now=True)
        query = "select round(extract(epoch from due_at - last_error_at)) from poll_cursor"
        waits.append(int(rows(database, query)[0][0]))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


async def test_a_partner_that_is_away_for_weeks_is_asked_every_five_minutes(poller, database):
    partner = Partner([])
    await poller.poll("shop", partner, now=True)
    database.execute("update poll_cursor set failures = 5000")
    partner.faults = [Transient("away")]
    assert (await poller.poll("shop", partner, now=True)).error == "away"
    query = "select failures, round(extract(epoch from due_at - last_error_at)) from poll_cursor"
    assert rows(database, query) == [(5001, 300)]


async def test_a_wrong_setting_told_in_a_partners_broken_words_is_a_work_item(poller, database):
    partner = Partner([])
    partner.faults = [Misconfigured("queue", "no \x00 such \ud83d queue " + "x" * 5000)]
    assert "queue" in (await poller.poll("shop", partner, now=True)).error
    items = "select kind, substr(detail ->> 'message', 1, 18) from work_item"
    told = "no \ufffd such ? queue "
    assert rows(database, items) == [("connection_misconfigured", told)]
    assert rows(database, "select substr(last_error, 1, 18) from poll_cursor") == [(told,)]


async def test_a_wrong_setting_is_a_work_item_until_the_partner_is_read(poller, database):
    items = "select kind, system, detail ->> 'setting', seen, closed_at is null from work_item"
    partner = Partner([])
    partner.faults = [Misconfigured("queue", "there is none")] * 2 + [Transient("away")]
    for _ in range(3):
        await poller.poll("shop", partner, now=True)
    assert rows(database, items) == [("connection_misconfigured", "shop", "queue", 2, True)]
    await poller.poll("shop", partner, now=True)
    assert rows(database, items) == [("connection_misconfigured", "shop", "queue", 2, False)]


@pytest.fixture
def stops(pool, database):
    """Tells of failures by setting, and answers what is open then: what it stops, by setting."""

    def tell(work, *arguments):
        with session(pool) as connection:
            work(connection, "shop", *arguments)
        asked = "select detail ->> 'setting', detail -> 'stopped', closed_at is null"
        found = rows(database, f"{asked} from work_item order by id")
        return {setting: stopped for setting, stopped, is_open in found if is_open}

    return tell


def test_a_wrong_token_is_one_item_whatever_it_stops_and_ends_with_the_last_of_it(stops):
    wrong, right = attempts.open_misconfigured, attempts.close_misconfigured
    stops(wrong, "token", "401", "reading")
    stops(wrong, "token", "401", "sending")
    assert stops(wrong, "token", "401", "reading") == {"token": ["sending", "reading"]}
    assert stops(right, "reading") == {"token": ["sending"]}
    assert stops(right, "webhooks") == {"token": ["sending"]}
    assert stops(right, "sending") == {}
    assert stops(right, "sending") == {}


def test_what_fails_for_another_setting_by_now_is_an_item_of_that_one(stops, database):
    wrong, right = attempts.open_misconfigured, attempts.close_misconfigured
    stops(wrong, "token", "401", "reading")
    stops(wrong, "token", "401", "sending")
    both = {"token": ["sending"], "base_url": ["reading"]}
    assert stops(wrong, "base_url", "404", "reading") == both
    assert stops(wrong, "base_url", "404", "sending") == {"base_url": ["reading", "sending"]}
    told = rows(database, "select closed_by, closed_why from work_item where closed_at is not null")
    assert told == [("connections", "it fails for another setting")]
    database.execute("update work_item set detail = detail - 'stopped' where closed_at is null")
    assert stops(right, "reading") == {}, "of a version before"


async def test_a_connection_is_asked_by_one_worker_at_a_time(poller, pool):
    second = Poller(pool, worker="p2")
    partner = Partner([])
    meanwhile = []

    async def look():
        meanwhile.append(await second.poll("shop", Partner(orders(1)), now=True))

    partner.faults = [look]
    assert (await poller.poll("shop", partner)).complete
    assert meanwhile == [None]


async def test_a_worker_whose_lease_ran_out_keeps_nothing_of_its_page(pool, database):
    slow = Poller(pool, worker="slow", spare_s=-1.001)
    heir = Poller(pool, worker="heir")
    partner = Partner(orders(2))

    async def overtaken():
        assert (await heir.poll("shop", Partner(orders(2)), now=True)).payloads == 2

    partner.faults = [overtaken]
    assert (await slow.poll("shop", partner)).error == "another worker polls shop by now"
    assert rows(database, "select count(*) from payload") == [(2,)]
    assert partner.acknowledged == []


async def test_a_partner_without_an_end_is_left_after_a_bounded_number_of_pages(poller, pool):
    partner = Partner(orders(3 * MAX_PAGES), size=1)
    found = await poller.poll("shop", partner)
    assert (found.payloads, found.complete) == (MAX_PAGES, False)
    assert state(pool).watermark is None
    # It goes on at once, and the whole counts as one poll.
    await poller.poll("shop", partner)
    await poller.poll("shop", partner)
    assert state(pool).watermark == NOON + dt.timedelta(minutes=1)


async def test_pages_are_asked_for_no_faster_than_the_partner_s_plan(poller, monkeypatch):
    waits = []
    partner = Partner(orders(6), size=1)
    partner.limits = msgspec.structs.replace(PLAN, calls_per_s=0.001, burst=2)
    to_keep_the_lease_s = (partner.limits.timeout_s + 1_000 + 20) / 2

    async def note(seconds):
        if seconds == to_keep_the_lease_s:
            await asyncio.Event().wait()
        waits.append(seconds)

    monkeypatch.setattr("stockwright.flow.polling.asyncio.sleep", note)
    assert (await poller.poll("shop", partner)).complete
    assert [round(wait / 1000) for wait in waits] == [1, 2, 3, 4]


class Talkative(Partner):
    """Needs a call of its own for each order it lists."""

    def __init__(self, orders):
        super().__init__(orders, size=len(orders))
        self.calls = 0

        async def answer(_request):
            self.calls += 1
            return HttpResponse(status=200)

        self.http = InMemory(answer)

    async def read(self, cursor):
        page = await super().read(cursor)
        for _ in page.payloads:
            await self.http.send(HttpRequest(method="GET", url="http://shop.example/"))
        return page


async def test_every_call_of_a_page_is_within_the_plan_and_leaves_one_for_levels(
    pool, poller, monkeypatch
):
    partner = Talkative(orders(6))
    partner.limits = msgspec.structs.replace(PLAN, calls_per_s=50.0, burst=3)
    spare = []

    def noted(connection, system, limits):
        wait_s = spare_call(connection, system, limits)
        now, budget = attempts.lock_connection(connection, system)
        budgets.refill(budget, now, limits.calls_per_s, limits.burst)
        spare.append((wait_s, budget.tokens))
        return wait_s

    monkeypatch.setattr("stockwright.flow.sparing.spare_call", noted)
    began = asyncio.get_running_loop().time()
    assert (await poller.poll("shop", partner)).complete
    assert partner.calls == 6
    taken = [tokens for wait_s, tokens in spare if wait_s == 0.0]
    assert len(taken) == 5, "the first one the poll took before it asked"
    assert min(taken) >= 1.0, "a level may go at any time"
    assert asyncio.get_running_loop().time() - began >= 3 / 50.0, "three more than the burst"


async def test_a_poll_does_not_starve_behind_levels(pool, poller, monkeypatch):
    """Levels take each call as it is earned; after a while the poll has its turn all the same."""
    partner = Talkative(orders(2))
    partner.limits = msgspec.structs.replace(PLAN, calls_per_s=50.0, burst=3)
    monkeypatch.setattr("stockwright.flow.sparing.PATIENCE_S", 0.05)
    monkeypatch.setattr("stockwright.flow.sparing.spare_call", lambda *_: 0.01)
    assert (await poller.poll("shop", partner)).complete
    assert partner.calls == 2


async def test_calls_of_a_poll_side_by_side_have_their_turns_one_after_the_other(pool, monkeypatch):
    """Each was promised one at the same time, and a zero waited until all of them were earned."""
    plan = msgspec.structs.replace(PLAN, calls_per_s=50.0, burst=1)
    owed = []

    def noted(connection, system, limits):
        owed.append(promise_call(connection, system, limits))
        return owed[-1]

    with session(pool) as connection:
        attempts.ensure_connection(connection, "shop", plan.burst)
    monkeypatch.setattr("stockwright.flow.sparing.PATIENCE_S", 0.0)
    monkeypatch.setattr("stockwright.flow.sparing.promise_call", noted)
    meter = meter_of(pool, "shop", object(), plan)
    await asyncio.gather(*(meter.count() for _ in range(7)))
    assert len(owed) == 6
    assert max(owed) <= 1 / plan.calls_per_s


async def test_a_poll_that_waits_for_its_turn_keeps_its_lease(pool, database, monkeypatch):
    turn = asyncio.Event()

    async def waits_for_its_turn(*_told):
        await turn.wait()

    monkeypatch.setattr(Poller, "_keep_pace", waits_for_its_turn)
    partner = Partner(orders(2), size=2)
    polling = asyncio.create_task(Poller(pool, worker="p1", spare_s=1.0).poll("shop", partner))
    await until_its_lease_is_longer(database)
    assert partner.asked == []
    turn.set()
    assert (await polling).complete


async def until_its_lease_is_longer(database):
    """Waits until the lease of the poll that began ends later than it did."""
    lease = "select lease_until from poll_cursor where lease_until is not null"
    await until(lambda: rows(database, lease))
    ends = rows(database, lease)
    await until(lambda: rows(database, lease) > ends)


async def test_a_connection_with_plans_of_its_own_waits_for_no_call(pool, poller, monkeypatch):
    partner = Talkative(orders(6))
    partner.paces_itself = True
    monkeypatch.setattr("stockwright.flow.sparing.spare_call", pytest.fail)
    assert (await poller.poll("shop", partner)).complete


async def test_files_are_recorded_once_however_often_they_are_dropped(
    pool, database_url, database, tmp_path
):
    async with FilePartner(tmp_path) as partner:
        await partner.start()
        settings = CSV_DROP.declaration.parse_settings({**partner.settings(), "stable_s": 0}, str)
        connection = CSV_DROP.open(Opening(system="shop"), settings)
        poller = Poller(pool, worker="p1")
        header = ["order", "line", "sku", "quantity"]
        file = [
            header,
            ["O1", "1", "shop-a", "2"],
            ["O1", "2", "shop-b", "x"],
            ["O2", "1", "shop-b", "1"],
        ]
        with Recorder(database_url) as recorder:
            intake = Intake(pool, recorder, {"shop": connection}, worker="w1")
            for name in ("orders-1.csv", "orders-1.csv", "orders-1-again.csv"):
                partner.drop(name, file)
                assert (await poller.poll("shop", connection, now=True)).payloads == 1
                assert intake.step().items == 2
            partner.drop("orders-2.csv", [["order", "sku"], ["O3", "shop-a"]])
            await poller.poll("shop", connection, now=True)
            assert intake.step() == (0, 0, 0, 0)
    assert events(database) == [("channel_order", "O1", "1"), ("channel_order", "O2", "1")]
    parked = rows(database, "select path, reason from payload where state = 'parked' order by id")
    assert parked[0] == ("line 3, column quantity", "is 'x', not a whole number")
    assert parked[-1][0] == "line 1"
    assert "lacks the columns quantity" in parked[-1][1]


def test_a_page_s_payloads_and_its_cursor_stand_or_fall_together(pool, database):
    class Torn(Partner):
        async def read(self, cursor):
            page = await super().read(cursor)
            return Page(
                payloads=(*page.payloads, Payload(body=b"x", headers={"a": "\x00"})),
                next_cursor="bad\x00cursor",
                started_at=page.started_at,
                complete=True,
            )

    found = asyncio.run(Poller(pool, worker="p").poll("shop", Torn(orders(1))))
    assert not found.complete
    assert rows(database, "select count(*) from payload") == [(0,)]
    assert rows(database, "select cursor from poll_cursor") == [("",)]


async def test_a_worker_whose_clock_is_ahead_claims_to_know_no_orders_to_come(
    poller, pool, database
):
    partner = Partner(orders(3))
    await poller.poll("shop", partner)
    partner.clock = dt.datetime(2036, 1, 1, tzinfo=dt.UTC)
    await poller.poll("shop", partner, now=True)
    (now,) = rows(database, "select clock_timestamp()")[0]
    watermark = state(pool).watermark
    assert NOON < watermark <= now


async def test_a_watermark_from_a_time_when_the_clock_was_ahead_is_given_up(poller, pool, database):
    partner = Partner(orders(3))
    await poller.poll("shop", partner)
    database.execute("update poll_cursor set watermark = '2036-01-01Z'")
    await poller.poll("shop", partner, now=True)
    assert state(pool).watermark == partner.clock


@pytest.mark.parametrize("wait_s", [float("inf"), 1e300, float("nan")])
async def test_a_partner_that_asks_never_to_be_polled_again_is_polled_within_the_hour(
    poller, pool, database, wait_s
):
    partner = Partner(orders(1))
    partner.faults = [Throttled("not \x00 now \ud800", wait_s)]
    assert await poller.poll("shop", partner) == (0, False, "")
    (late,) = rows(database, "select due_at > clock_timestamp() + '61 min' from poll_cursor")[0]
    assert not late


async def test_a_page_that_takes_longer_than_the_lease_is_not_taken_over(pool, database):
    poller, other = Poller(pool, worker="p1", spare_s=1.0), Poller(pool, worker="p2")
    end = asyncio.Event()

    async def take_long():
        await end.wait()

    partner = Partner(orders(1))
    partner.faults = [take_long]
    polling = asyncio.create_task(poller.poll("shop", partner))
    await until_its_lease_is_longer(database)
    assert await other.poll("shop", Partner([]), now=True) is None
    end.set()
    assert await polling == (1, True, "")


async def test_a_poll_whose_turn_has_not_come_is_put_off_and_has_not_failed(poller, pool, database):
    partner = Partner(orders(5))
    await poller.poll("shop", Partner([]))
    partner.faults = [lambda: asyncio.sleep(0), Throttled("the plan is used up", 90)]
    assert await poller.poll("shop", partner, now=True) == (2, False, "")
    held = state(pool)
    assert (held.failures, held.last_error, held.cursor) == (0, "", "2")
    (wait_s,) = rows(
        database, "select extract(epoch from due_at - clock_timestamp()) from poll_cursor"
    )[0]
    assert 85 <= wait_s <= 90
    database.execute("update poll_cursor set last_success_at = last_success_at - interval '1 h'")
    with pool.connection() as connection:
        assert not watermarks.ask_for_orders(connection, "shop", 1.0), "its turn has not come"
        hurry_poll(connection, "shop")
    assert await poller.poll("shop", partner) is None
    assert await poller.poll("shop", partner, now=True) == (3, True, "")
    database.execute("update poll_cursor set last_success_at = last_success_at - interval '1 h'")
    with pool.connection() as connection:
        assert watermarks.ask_for_orders(connection, "shop", 1.0)
