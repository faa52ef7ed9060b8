"""Subscriptions are delivered in order, at least once, to consumers that fail in every way."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import jsonschema
import psycopg
import pytest
from aiohttp import web
from prometheus_client import Counter

from stockwright import telemetry
from stockwright.domain.errors import Rejected, Transient
from stockwright.domain.events import Fact
from stockwright.domain.proxies import networks
from stockwright.domain.subscriptions import Filters, NewSubscription
from stockwright.flow import envelopes, subscribing
from stockwright.flow.deliveries import Deliveries
from stockwright.flow.projection import Projection
from stockwright.flow.recording import Recorder
from stockwright.flow.subscribing import Start
from stockwright.sdk.guarded import GuardedHttp
from stockwright.store import subscriptions as store
from stockwright.store.connection import Pool
from tests.flow.conftest import MASTER
from tests.flow.consumer import Consumer

LOOPBACK = networks(["127.0.0.0/8"])
_HERE = Path(__file__).parents[1] / "schemas"
FOLDER = Path(os.environ.get("STOCKWRIGHT_SCHEMAS", _HERE)) / "cloudevents"
SCHEMA = json.loads((FOLDER / "cloudevents.json").read_text())
LISTED = """
insert into listing (channel, code) values ('web', 'L-A');
insert into listing_component values ('web', 'L-A', 'A', 1);
update master_revision set revision = revision + 1;
"""
EMPTY = """
truncate event, entry, identity, batch, balance, level, level_change, dirty, payload,
         document_owner, document_line, demand_line, claim, transition, observation, work_item,
         subscription, subscription_secret, subscription_progress, change_log
         restart identity cascade;
alter sequence level_change_position restart;
update ledger_head set sequence = 0;
"""


class Hub:
    """A ledger that things happen in, and the workers that tell of them."""

    def __init__(self, url: str, pool: Pool) -> None:
        self.url = url
        self.pool = pool
        self.told = 0

    def receive(self, *skus: str, location: str = "EAST") -> None:
        """Goods come in: one event each."""
        with Recorder(self.url) as recorder:
            facts = []
            for sku in skus:
                self.told += 1
                facts.append(
                    Fact(
                        kind="receipt",
                        system="wms",
                        document=f"GR-{self.told}",
                        sku=sku,
                        quantity=1,
                        location=location,
                    )
                )
            outcomes = recorder.submit(facts).result(60)
            assert {one.code for one in outcomes} == {"recorded"}

    def project(self) -> None:
        projection = Projection(self.pool)
        while projection.step().marks:
            pass

    def subscribe(self, consumer: Consumer, name: str = "plan", **more) -> str:
        """Subscribes the consumer from the start on; its secret."""
        start = more.pop("start", Start(begin="start"))
        new = NewSubscription(name=name, via="webhook", url=consumer.url, **more)
        made = subscribing.add(self.pool, new, start, actor="test", allowed=LOOPBACK, queues={})
        assert made is not None
        return made.secret

    @asynccontextmanager
    async def worker(self, **more):
        settings = {
            "worker": "w", "source": "urn:test", "timeout_s": 30.0, "lease_s": 90.0,
            "chance": lambda: 0.0, **more,
        }  # fmt: skip
        allowed = settings.pop("allowed", LOOPBACK)
        deliveries = Deliveries(self.pool, {}, GuardedHttp(allowed), **settings)
        try:
            yield deliveries
        finally:
            await deliveries.close()

    def one(self, name: str = "plan") -> store.Subscription:
        with self.pool.connection() as connection:
            return subscribing.found(connection, name)

    def do(self, deed, name: str = "plan", **more):
        with self.pool.connection() as connection:
            return deed(connection, name, actor="test", **more)

    def hurry(self) -> None:
        """The wait for the next try is over."""
        self.sql("update subscription_progress set due_at = clock_timestamp()")

    def sql(self, query: str):
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(query)
            return found.fetchall() if found.description else None


@pytest.fixture(scope="module")
def house(cluster, template):
    """One database for all of this module, for making one takes longer than most of its tests."""
    name = f"deliveries_{uuid4().hex[:12]}"
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as admin:
        admin.execute(f"create database {name} template {template} strategy wal_log")
        with Pool(cluster.url_of(name), size=8) as pool:
            with pool.connection() as connection:
                connection.execute(MASTER)
                connection.execute(LISTED)
            yield Hub(cluster.url_of(name), pool)
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def hub(house):
    """The house before anything happened in it."""
    house.sql(EMPTY)
    house.told = 0
    return house


@pytest.fixture
def long_waits(monkeypatch):
    """Nothing becomes due again while a test looks, however slow the machine is."""
    monkeypatch.setattr("stockwright.domain.subscriptions.FIRST_RETRY_S", 1_000.0)


def numbers(consumer: Consumer) -> list[int]:
    return [int(one.partition("-")[2]) for one in consumer.ids]


async def test_events_and_levels_come_in_order_signed_and_as_cloudevents(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        secret = hub.subscribe(consumer)
        hub.receive("A", "B")
        hub.project()
        assert await worker.step() == 3
        (message,) = consumer.heard
        assert message.headers["content-type"] == "application/cloudevents-batch+json"
        assert message.proven_by(secret)
        assert consumer.ids == ["event-1", "event-2", "level-1"]
        for event in message.events:
            jsonschema.validate(event, SCHEMA)
        first, _, level = message.events
        assert (first["type"], first["source"]) == ("stockwright.receipt", "urn:test")
        assert first["data"]["body"]["document"] == first["subject"] == "GR-1"
        assert (level["type"], level["subject"]) == ("stockwright.level", "web/L-A")
        assert level["data"]["value"] == 1
        assert await worker.step() == 0
        assert (hub.one().state, hub.one().behind, hub.one().delivered) == ("active", 0, 3)


async def test_a_message_of_one_change_has_that_changes_id(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer, batch=1)
        hub.receive("A", "B")
        assert await worker.step() == 2
        assert [one.id for one in consumer.heard] == ["event-1", "event-2"]
        assert consumer.heard[0].headers["content-type"] == "application/cloudevents+json"


async def test_a_message_holds_no_more_changes_than_the_batch(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer, batch=2)
        hub.receive(*"ABABA")
        assert await worker.step() == 5
        assert [len(one.events) for one in consumer.heard] == [2, 2, 1]
        assert numbers(consumer) == [1, 2, 3, 4, 5]


async def test_a_message_is_not_filled_beyond_its_bytes(hub, monkeypatch):
    monkeypatch.setattr(envelopes, "MAX_BYTES", 2_000)
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer)
        hub.receive(*"ABABABA")
        assert await worker.step() == 7
        assert numbers(consumer) == [1, 2, 3, 4, 5, 6, 7]
        assert len(consumer.heard) > 2
        assert all(len(one.body) < 3_000 for one in consumer.heard)


async def test_what_a_failing_consumer_did_not_take_comes_again_unchanged(hub):
    """Also where more has happened meanwhile: the same id is the same changes."""
    async with Consumer() as consumer, hub.worker() as worker:
        secret = hub.subscribe(consumer)
        hub.receive("A")
        consumer.answers = [500, 503]
        for failures in (1, 2):
            assert await worker.step() == 0
            one = hub.one()
            assert (one.state, one.failures, one.position.sequence) == ("failing", failures, 0)
            assert one.last_error.startswith("it answered 50")
            hub.receive("B")
            hub.hurry()
        assert await worker.step() == 3
        first, second, third, rest = consumer.heard
        assert first.id == second.id == third.id
        assert first.body == second.body == third.body
        assert third.proven_by(secret)
        assert [event["id"] for event in rest.events] == ["event-2", "event-3"]
        assert (hub.one().state, hub.one().failures, hub.one().last_error) == ("active", 0, "")


async def test_the_waits_between_tries_grow_and_heed_what_the_consumer_asks(hub, long_waits):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer)
        hub.receive("A")
        waits = []
        for answer in (500, 500, web.Response(status=429, headers={"Retry-After": "3400"})):
            consumer.answers = [answer]
            await worker.step()
            ((wait_s,),) = hub.sql(
                "select extract(epoch from due_at - clock_timestamp())::float8"
                " from subscription_progress"
            )
            waits.append(wait_s)
            assert await worker.step() == 0, "it is not due"
            hub.hurry()
        assert waits == [
            pytest.approx(750, abs=60), pytest.approx(1_500, abs=60), pytest.approx(3_400, abs=60),
        ]  # fmt: skip
        assert len(consumer.heard) == 3


async def test_a_consumer_that_is_gone_is_paused_at_once(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer)
        hub.receive("A")
        consumer.answers = [410]
        await worker.step()
        hub.hurry()
        assert await worker.step() == 0
        one = hub.one()
        assert (one.state, one.paused_by) == ("paused", "subscriptions")
        assert one.paused_why == (
            "the consumer is gone: it answered 410: it takes nothing any more"
        )
        items = (
            "select subject, closed_at is null from work_item where kind = 'subscription_stopped'"
        )
        assert hub.sql(items) == [("plan: gone", True)]
        assert hub.do(subscribing.resume, why="they moved back")
        assert hub.sql(items) == [("plan: gone", False)]
        assert await worker.step() == 1
        assert [one.id for one in consumer.heard] == [consumer.heard[0].id] * 2
        actions = hub.sql("select actor, action from change_log order by id")
        assert actions == [
            ("test", "subscription.create"),
            ("subscriptions", "subscription.pause"),
            ("test", "subscription.resume"),
        ]


async def test_a_consumer_that_fails_for_too_long_is_paused_with_one_work_item(hub):
    async with Consumer() as consumer, hub.worker(patience_s=3_600) as worker:
        hub.subscribe(consumer)
        hub.receive("A")
        consumer.default = 500
        await worker.step()
        assert hub.one().state == "failing"
        hub.sql("update subscription_progress set failing_since = now() - interval '61 minutes'")
        for _ in range(2):
            hub.hurry()
            await worker.step()
        assert hub.one().state == "paused"
        assert len(consumer.heard) == 2
        assert hub.sql("select subject, seen from work_item") == [("plan: failing", 1)]


async def test_a_slow_consumer_holds_up_only_itself(hub):
    async with Consumer() as slow, Consumer() as quick, hub.worker() as worker:
        hub.subscribe(slow, "slow")
        hub.subscribe(quick, "quick")
        hub.receive("A")
        answers = asyncio.Event()
        slow.before_answer = answers.wait
        done = asyncio.create_task(worker.step())
        await slow.wait_for(1)
        await quick.wait_for(1)
        assert hub.one("slow").last_error == "", "it is still waited for"
        answers.set()
        assert await done == 2


async def test_a_consumer_that_does_not_answer_in_time_has_failed(hub):
    async with Consumer() as consumer, hub.worker(timeout_s=0.3) as worker:
        hub.subscribe(consumer)
        hub.receive("A")
        consumer.before_answer = lambda: asyncio.sleep(60)
        assert await worker.step() == 0
        assert hub.one().last_error.endswith("did not answer within 0.3 s")


async def test_two_workers_never_deliver_one_subscription_at_once(hub):
    async with Consumer() as consumer, hub.worker() as one, hub.worker() as other:
        hub.subscribe(consumer, batch=1)
        hub.receive(*"ABABABAB")
        consumer.before_answer = lambda: asyncio.sleep(0.01)
        taken = await asyncio.gather(one.step(), other.step(), one.step(), other.step())
        assert sorted(taken) == [0, 0, 0, 8]
        assert consumer.most_under_way == 1
        assert numbers(consumer) == list(range(1, 9))


async def test_a_worker_killed_between_delivery_and_position_repeats_the_message(hub):
    """Killed while the consumer has the message in hand: nobody knows that it was taken."""
    async with Consumer() as consumer, hub.worker() as heir:
        secret = hub.subscribe(consumer)
        hub.receive("A")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.flow.delivery_worker", hub.url, "120"), env=os.environ
        )

        async def kill() -> None:
            consumer.before_answer = None
            process.send_signal(signal.SIGKILL)
            await process.wait()

        consumer.before_answer = kill
        await consumer.wait_for(1, timeout_s=60)
        await process.wait()
        hub.receive("B")
        assert await heir.step() == 0, "the lease of the dead one still runs"
        hub.sql("update subscription_progress set lease_until = clock_timestamp() - interval '1 s'")
        assert await heir.step() == 2
        first, again, more = consumer.heard
        assert (first.id, first.body) == (again.id, again.body)
        assert again.proven_by(secret)
        assert [event["id"] for event in more.events] == ["event-2"]


async def test_a_worker_that_lost_its_lease_moves_nothing(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer)
        hub.receive("A")

        async def overtaken() -> None:
            await asyncio.to_thread(
                hub.sql, "update subscription_progress set leased_by = 'somebody else'"
            )

        consumer.before_answer = overtaken
        assert await worker.step() == 1
        assert hub.one().position.sequence == 0


@pytest.mark.parametrize(
    ("filters", "passed"),
    [
        (Filters(changes="levels"), ["level-1", "level-2"]),
        (Filters(changes="events"), ["event-1", "event-2", "event-3"]),
        (Filters(skus=("B",)), ["event-2"]),
        (Filters(skus=("A",), kinds=("receipt",)), ["event-1", "event-3"]),
        (Filters(locations=("WEST",)), ["event-3"]),
        (Filters(channels=("web",)), ["level-1", "level-2"]),
        (Filters(systems=("wms",), kinds=("level",)), []),
        (Filters(kinds=("shipment",)), []),
    ],
)
async def test_filters_let_pass_what_was_asked_for(hub, filters, passed):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer, filters=filters)
        hub.receive("A", "B")
        hub.project()
        hub.receive("A", location="WEST")
        hub.project()
        assert await worker.step() == len(passed)
        assert consumer.ids == passed
        assert hub.one().behind == 0, "what did not pass is left behind too"


async def test_a_consumer_told_one_by_one_is_led_past_what_its_filter_holds_back(hub):
    """Where nothing passed on the way to the end, each turn broke off, and the position stood."""
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer, batch=1, filters=Filters(skus=("B",)))
        hub.receive(*"BAA")
        assert await worker.step() == 1
        assert (consumer.ids, hub.one().behind) == (["event-1"], 0)
        hub.receive("A", "B")
        assert await worker.step() == 1
        assert (consumer.ids[1:], hub.one().behind) == (["event-5"], 0)


async def test_a_replay_tells_all_again_under_the_same_ids(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer, start=Start(begin="now"))
        hub.receive(*"AAAA")
        await worker.step()
        subscribing.replay(hub.pool, "plan", Start(sequence=3), actor="test")
        await worker.step()
        assert numbers(consumer) == [1, 2, 3, 4, 3, 4]
        cursor = consumer.events[0]["cursor"]
        subscribing.replay(hub.pool, "plan", Start(cursor=cursor), actor="test")
        await worker.step()
        assert numbers(consumer)[6:] == [2, 3, 4]
        subscribing.replay(hub.pool, "plan", Start(begin="now"), actor="test")
        assert await worker.step() == 0


async def test_a_replay_during_a_call_is_not_undone_by_its_answer(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer)
        hub.receive(*"AA")

        async def replay() -> None:
            consumer.before_answer = None
            await asyncio.to_thread(
                subscribing.replay, hub.pool, "plan", Start(begin="start"), actor="test"
            )

        consumer.before_answer = replay
        await worker.step()
        assert hub.one().position.sequence == 0
        await worker.step()
        assert numbers(consumer) == [1, 2, 1, 2]


async def test_a_pause_ends_the_turn_and_keeps_the_position(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer, batch=1)
        hub.receive(*"AAA")

        async def pause() -> None:
            consumer.before_answer = None
            await asyncio.to_thread(hub.do, subscribing.pause, why="audit")

        consumer.before_answer = pause
        await worker.step()
        assert await worker.step() == 0
        assert numbers(consumer) == [1]
        assert not hub.do(subscribing.pause, why="again")
        hub.do(subscribing.resume, why="done")
        await worker.step()
        assert numbers(consumer) == [1, 2, 3]


async def test_while_a_secret_is_replaced_both_prove_a_message(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        old = hub.subscribe(consumer)
        made = hub.do(subscribing.rotate)
        assert made.secret not in repr(made)
        hub.receive("A")
        await worker.step()
        assert consumer.heard[0].proven_by(old)
        assert consumer.heard[0].proven_by(made.secret)
        assert [one.expires_at is None for one in hub.one().secrets] == [False, True]
        newest = hub.do(subscribing.rotate, overlap_s=0).secret
        hub.receive("A")
        await worker.step()
        assert consumer.heard[1].proven_by(newest)
        assert len(consumer.heard[1].headers["webhook-signature"].split()) == 1


async def test_an_answer_without_end_and_a_redirect_are_failures(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer)
        hub.receive("A")
        consumer.answers = [
            web.Response(body=b"x" * 70_000),
            web.Response(status=302, headers={"Location": consumer.url}),
        ]
        await worker.step()
        assert "answered more than 65536 bytes" in hub.one().last_error
        hub.hurry()
        await worker.step()
        assert "redirects are not followed" in hub.one().last_error
        assert len(consumer.heard) == 2


async def test_a_name_that_leads_into_our_own_network_is_not_called(hub):
    async with Consumer() as consumer, hub.worker(allowed=networks(["10.0.0.0/8"])) as worker:
        hub.subscribe(consumer)
        named = consumer.url.replace("127.0.0.1", "localhost")
        for url in (named, consumer.url, named.replace("http:", "https:")):
            hub.sql(f"update subscription set url = '{url}'")
            hub.receive("A")
            hub.hurry()
            await worker.step()
            assert "`subscriptions.allowed_networks` names no network" in hub.one().last_error
        assert consumer.heard == []


async def test_messages_are_counted_by_subscription_and_outcome(hub):
    def count(outcome: str) -> float:
        metric: Counter = telemetry.DELIVERIES.labels("counted", outcome)
        return float(metric._value.get())

    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer, "counted")
        hub.receive("A")
        with hub.pool.connection() as connection:
            behind, age_s = store.lags(connection)["counted"]
        assert (behind, 0 < age_s < 60) == (1, True)
        consumer.answers = [500]
        await worker.step()
        hub.hurry()
        await worker.step()
        assert (count("failed"), count("taken")) == (1, 1)
        with hub.pool.connection() as connection:
            assert store.lags(connection)["counted"] == (0, 0.0)


async def test_a_cursor_behind_the_end_is_refused(hub):
    with pytest.raises(Rejected) as refused:
        hub.subscribe(Consumer(), start=Start(cursor="Wzk5LDBd"))
    assert refused.value.field in ("url", "cursor")


async def test_what_became_of_each_message_is_kept_and_names_no_key_of_the_consumers(hub):
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer)
        consumer.answers = [503]
        hub.receive("A", "B")
        await worker.step()
        hub.hurry()
        await worker.step()
    with hub.pool.connection() as connection:
        kept = store.attempts(connection, hub.one().id)
    told = [(one.outcome, one.changes, one.error) for one in kept]
    assert told == [("taken", 2, ""), ("failed", 2, "it answered 503")]


async def test_why_a_consumer_cannot_be_reached_names_no_key_of_its_address(hub):
    class Telling:
        """Fails as a transport may that quotes what it called."""

        async def send(self, request):
            raise Transient(f"cannot reach {request.url}: no route")

        async def close(self) -> None:
            """Holds nothing."""

    away = "http://127.0.0.1:1/h?of-theirs"
    new = NewSubscription(name="plan", via="webhook", url=away)
    start = Start(begin="start")
    subscribing.add(hub.pool, new, start, actor="test", allowed=LOOPBACK, queues={})
    hub.receive("A")
    worker = Deliveries(hub.pool, {}, Telling(), worker="w", source="urn:test")
    await worker.step()
    await worker.close()
    with hub.pool.connection() as connection:
        (tried,) = store.attempts(connection, hub.one().id)
    assert tried.error == hub.one().last_error == "cannot reach http://127.0.0.1:1/h?...: no route"


@pytest.mark.parametrize(
    "headers",
    [
        {"location": "http://["},
        {"retry-after": "Thu, 01 Jan 99999999999 00:00:00 GMT"},
        {"retry-after": "1e999"},
    ],
)
async def test_an_answer_with_headers_of_nonsense_is_a_failure_and_waits_like_any(
    hub, long_waits, headers
):
    """Else the consumer would be called again at once, and for ever."""
    async with Consumer() as consumer, hub.worker() as worker:
        hub.subscribe(consumer)
        hub.receive("A")
        consumer.answers = [web.Response(status=503, headers=headers)]
        await worker.step()
        assert hub.one().failures == 1
        await worker.step()
        assert len(consumer.heard) == 1
        hub.hurry()
        await worker.step()
        assert hub.one().failures == 0
