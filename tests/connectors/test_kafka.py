"""The connector to Kafka over its real protocol: groups, commits, redelivery, a frozen broker."""

import asyncio
import datetime as dt
import json
from contextlib import suppress
from uuid import uuid4

import pytest

from stockwright.connectors.kafka import CONNECTOR
from stockwright.domain.errors import Misconfigured, Rejected, Transient
from stockwright.sdk import queue_connection, queue_kafka
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import (
    Announcement,
    Applied,
    Delivered,
    DocumentLine,
    InDoubt,
    LevelToSend,
    Shipment,
)
from stockwright.sdk.queues import Away
from stockwright.sdk.secrets import Secret, resolve_secret
from tests.connectors.certificates import Certificates
from tests.connectors.kafka_broker import KafkaBroker
from tests.connectors.kafka_guard import KafkaGuard
from tests.connectors.publishing import published, until_applied
from tests.connectors.queue_hub import CUT, MOST_BYTES, POISON, hub_over, receipt

LEVEL = LevelToSend(channel="web", listing="L-1", quantity=7, version=3)


@pytest.fixture(scope="module")
def broker():
    broker = KafkaBroker()
    yield broker
    broker.kill()


@pytest.fixture(autouse=True)
def short_sessions(monkeypatch):
    """Who left, or is waited for, is so for seconds."""
    monkeypatch.setattr(queue_kafka, "_SESSION_S", 4.0)
    monkeypatch.setattr(queue_kafka, "_JOIN_S", 7.0)


@pytest.fixture
def topic():
    """A topic of the test's own."""
    return f"t{uuid4().hex[:8]}"


@pytest.fixture
async def connect(broker):
    """Connections that are closed again."""
    made = []

    def connect(topic="", **more):
        given = {
            "bootstrap_servers": [broker.address],
            "security": "PLAINTEXT",
            "timeout_s": 10.0,
            "wait_s": 0.3,
            "topic": topic,
        }
        settings = CONNECTOR.declaration.parse_settings({**given, **more}, resolve_secret)
        made.append(CONNECTOR.open(Opening(system="wms"), settings))
        return made[-1]

    yield connect
    for connection in made:
        await connection.close()


_MAPS = CONNECTOR.open(
    Opening(system="wms"),
    CONNECTOR.declaration.parse_settings({"bootstrap_servers": ["k:9092"]}, resolve_secret),
)


@pytest.fixture
def hub(database_url):
    with hub_over(database_url, _MAPS) as hub:
        yield hub


async def polled(hub, connection, messages):
    """Polls until so many messages came: a page may hold one partition's only, and a broker that
    was started a moment ago may not answer yet.
    """
    kept = 0
    for _ in range(60):
        found = await hub.poll(connection)
        if found.error:
            hub.again()  # else the next one is not due for a second
        kept += found.payloads
        if kept >= messages:
            break
    assert kept == messages, found.error


async def read(connection):
    """A page with something on it, once there is one."""
    async with asyncio.timeout(60):
        while True:
            with suppress(Transient):
                page = await connection.read("")
                if page.payloads:
                    return page


# -------------------------------------------------------------------- in


async def test_records_are_kept_in_the_order_of_their_key_and_committed(
    broker, topic, connect, hub
):
    sent = [(f"k{n % 3}", receipt(f"GR-{n}")) for n in range(25)]
    await broker.send(topic, *sent)
    connection = connect(topic, page_size=10)
    await polled(hub, connection, 25)
    hub.work()
    for key in range(3):
        of_key = [f"GR-{n}" for n in range(25) if n % 3 == key]
        assert [one for one in hub.documents if one in of_key] == of_key
    assert sorted(hub.documents) == sorted(f"GR-{n}" for n in range(25))
    assert await broker.committed(topic) == 25
    ((headers,),) = hub.rows("select headers from payload order by id limit 1")
    assert headers["place"].startswith(f"{topic}:")
    assert headers["subject"] in {"k0", "k1", "k2"}
    assert (await hub.poll(connection)).payloads == 0


async def test_what_was_kept_and_not_committed_comes_again_and_counts_once(
    broker, topic, connect, hub
):
    await broker.send(topic, ("k", receipt("GR-1")), ("k", receipt("GR-2")))
    dying = connect(topic)

    async def dies(_page):
        raise Transient("killed before it could commit")

    dying.acknowledge = dies
    assert (await hub.poll(dying)).error == "killed before it could commit"
    await dying.close()
    hub.again()
    await polled(hub, connect(topic), 2)
    hub.work()
    assert hub.rows("select count(*) > 2 from payload") == [(True,)]
    assert (hub.documents, hub.on_hand) == (["GR-1", "GR-2"], {"A": 10})
    assert await broker.committed(topic) == 2


async def test_poison_is_parked_once_and_holds_up_nobody(broker, topic, connect, hub):
    await broker.send(topic, *(("k", body) for body in POISON), ("k", receipt("GR-1")))
    await polled(hub, connect(topic, max_body_bytes=MOST_BYTES), 6)
    hub.work()
    assert (hub.documents, len(hub.parked), hub.parked[4]) == (["GR-1"], 5, CUT)
    assert await broker.committed(topic) == 6


async def test_who_reads_no_more_leaves_its_partitions_to_who_reads(
    broker, topic, connect, hub, monkeypatch
):
    monkeypatch.setattr(queue_connection, "IDLE_S", 2.0)
    idle = connect(topic)
    await broker.send(topic, ("k", receipt("GR-1")))
    await polled(hub, idle, 1)
    assert idle._queue._consumer is not None
    async with asyncio.timeout(60):
        while idle._queue._consumer is not None:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.05)
    await broker.send(topic, *((f"k{n}", receipt(f"GR-{n}")) for n in range(2, 8)))
    # This broker lets nobody in beside a member: the idle one has left.
    await polled(hub, connect(topic), 6)
    hub.work()
    assert sorted(hub.documents) == [f"GR-{n}" for n in range(1, 8)]


async def test_a_frozen_cluster_is_told_and_nothing_is_lost_by_it(broker, topic, connect, hub):
    await broker.send(topic, ("k", receipt("GR-1")), ("k", receipt("GR-2")))
    connection = connect(topic, page_size=1, timeout_s=1.0)
    page = await read(connection)
    broker.freeze()
    try:
        await connection.acknowledge(page)
        with pytest.raises(Transient):
            await connection.read("")
    finally:
        broker.thaw()
    hub.again()
    while "GR-2" not in hub.documents:
        await hub.poll(connection)
        hub.again()
        hub.work()
    assert set(hub.documents) <= {"GR-1", "GR-2"}
    assert await broker.committed(topic) == 2


async def test_a_commit_of_who_left_the_group_moves_nobody_back(broker, topic, connect):
    await broker.send(topic, ("k", b"{}"), ("k", b"{}"))
    queue = connect(topic)._queue
    taken = []
    while not taken:
        taken = await queue.take(1, 1.0)
    await queue.rest()
    with pytest.raises(Transient, match="left the group"):
        await queue.settle(taken)
    again = []
    while not again:
        again = await queue.take(1, 1.0)
    assert again[0].place == taken[0].place


# -------------------------------------------------------------------- out


async def test_levels_and_documents_are_stored_with_their_subjects_as_keys(broker, topic, connect):
    connection = connect(
        out_topic=topic,
        levels_subject="levels.{channel}.{listing}",
        documents_subject="documents.{kind}",
    )
    levels = [LEVEL, LevelToSend(channel="web", listing="L.2", quantity=0, version=4)]
    assert await connection.publish(levels) == [Applied(), Applied()]
    shipment = Shipment(
        key="ship-1",
        order="SO-1",
        lines=(DocumentLine(line="1", quantity=2),),
        shipped_at=dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
    )
    told = await connection.submit(shipment)
    assert isinstance(told, Delivered)
    assert told.reference.startswith(f"{topic}:")
    stored = {record.key.decode(): record for record in await broker.stored(topic)}
    assert set(stored) == {"levels.web.L-1", "levels.web.L%2E2", "documents.shipment"}
    first = stored["levels.web.L-1"]
    assert json.loads(first.value) == {
        "channel": "web", "listing": "L-1", "quantity": 7, "version": 3,
    }  # fmt: skip
    assert dict(first.headers)["id"] == b"wms/web/L-1//3"


async def test_a_frozen_cluster_leaves_a_level_in_doubt_and_takes_the_next(broker, topic, connect):
    connection = connect(out_topic=topic, levels_subject="levels", timeout_s=1.0)
    await until_applied(connection, LEVEL)
    broker.freeze()
    try:
        assert isinstance(await published(connection, LEVEL), InDoubt | Away)
    finally:
        broker.thaw()
    await until_applied(connection, LEVEL)
    stored = await broker.stored(topic)
    assert len({(record.key, record.value) for record in stored}) == 1


async def test_a_producer_that_could_not_start_is_made_anew(broker, topic, connect):
    connection = connect(out_topic=topic, levels_subject="levels", timeout_s=0.5)
    broker.freeze()
    try:
        for _ in range(2):
            assert isinstance(await published(connection, LEVEL), InDoubt | Away)
            assert connection._queue._producer is None
    finally:
        broker.thaw()
    await until_applied(connection, LEVEL)


async def test_a_cluster_that_is_gone_claims_nothing_and_holds_up_no_end(connect):
    gone = KafkaBroker()
    connection = connect(
        "in",
        bootstrap_servers=[gone.address],
        out_topic="out",
        levels_subject="levels",
        timeout_s=0.5,
    )
    await until_applied(connection, LEVEL)
    with suppress(Transient):  # whether it joins the group in so little time
        await connection.read("")
    gone.kill()
    assert isinstance(await published(connection, LEVEL), InDoubt | Away)
    with pytest.raises(Transient):
        await connection.read("")
    with pytest.raises(Transient):
        await connection.announce([Announcement(id="1", subject="a", body=b"{}")])
    async with asyncio.timeout(60):
        await connection.close()
    assert not [task for task in asyncio.all_tasks() if "aiokafka" in repr(task.get_coro())]


async def test_what_is_too_large_is_refused_by_itself(topic, connect):
    connection = connect(out_topic=topic)
    with pytest.raises(Rejected, match="takes no message of 34000000 bytes"):
        await connection.announce(
            [Announcement(id="1", subject="a", body=b"x" * 34_000_000)],
        )
    await connection.announce([Announcement(id="2", subject="a", body=b"{}")])


async def test_the_cluster_is_asked_for_the_topic_that_is_sent_to_and_makes_none(
    broker, topic, connect
):
    """This broker makes a topic that is asked for by its name, as a cluster may be set up to."""
    sink = connect(out_topic=topic, levels_subject="levels.{listing}")
    for _ in range(2):
        with pytest.raises(Misconfigured, match=f"has no topic {topic}") as told:
            await sink.check()
        assert told.value.setting == "out_topic"
    await broker.send(topic, ("k", b"{}"))
    assert await sink.check()
    assert len(await broker.stored(topic)) == 1
    assert not await connect("in").check(), "it only consumes"
    with pytest.raises(Misconfigured, match="say to which topic"):
        await connect(levels_subject="levels").check()


async def test_a_cluster_that_is_away_when_it_is_asked_is_told(broker, topic, connect):
    sink = connect(out_topic=topic, timeout_s=0.5)
    broker.freeze()
    try:
        with pytest.raises(Transient):
            await sink.check()
    finally:
        broker.thaw()


# -------------------------------------------------------------------- TLS, user and password


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def guard(broker, certificates, request):
    """The broker behind a door of the security that a test asks for."""
    security = request.param
    known = ("ann", "s3cret") if security.startswith("SASL") else ("", "")
    guard = KafkaGuard(broker.address, *known)
    guard.security = security
    async with guard.open(certificates if security.endswith("SSL") else None):
        yield guard


def behind(guard, **more):
    return {
        "bootstrap_servers": [guard.address], "security": guard.security, "user": "ann",
        "password": Secret("s3cret"), "timeout_s": 5.0, **more,
    }  # fmt: skip


@pytest.mark.parametrize("guard", ["SSL", "SASL_SSL", "SASL_PLAINTEXT"], indirect=True)
async def test_records_and_levels_go_by_tls_and_with_a_password(
    broker, topic, connect, hub, guard, certificates, monkeypatch
):
    """An authority of one's own is trusted as the machine trusts any."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    await broker.send(topic, ("k", receipt("GR-1")), ("k", receipt("GR-2")))
    out = f"{topic}-out"
    await broker.send(out, ("k", b"{}"))
    connection = connect(topic, **behind(guard, out_topic=out, levels_subject="levels"))
    await polled(hub, connection, 2)
    hub.work()
    assert hub.documents == ["GR-1", "GR-2"]
    assert await broker.committed(topic) == 2
    assert await connection.check()
    assert await connection.publish([LEVEL]) == [Applied()]
    assert {record.key for record in await broker.stored(out)} == {b"k", b"levels"}
    assert (guard.let_in > 0, guard.kept_out) == (guard.security != "SSL", 0)


@pytest.mark.parametrize("guard", ["SASL_SSL", "SASL_PLAINTEXT"], indirect=True)
async def test_a_wrong_password_lets_nobody_in_and_is_told(
    topic, connect, guard, certificates, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    given = behind(guard, out_topic=topic, levels_subject="levels", password=Secret("wr0ng"))
    stranger = connect(topic, **given)
    for ask in (stranger.check, lambda: stranger.read(""), lambda: stranger.publish([LEVEL])):
        with pytest.raises(Misconfigured, match="refused our credentials") as told:
            await ask()
        assert told.value.setting == "password"
        assert "wr0ng" not in str(told.value)
    assert (guard.let_in, guard.kept_out > 0) == (0, True)


@pytest.mark.parametrize("guard", ["SSL"], indirect=True)
async def test_a_cluster_that_nobody_vouches_for_is_not_spoken_to(topic, connect, guard):
    stranger = connect(topic, **behind(guard, out_topic=topic, levels_subject="levels"))
    with pytest.raises(Transient, match="CERTIFICATE_VERIFY_FAILED"):
        await stranger.check()
    with pytest.raises(Transient, match="CERTIFICATE_VERIFY_FAILED"):
        await stranger.read("")


async def test_an_out_topic_that_is_not_set_is_told(connect):
    with pytest.raises(Misconfigured) as told:
        await connect(levels_subject="levels").publish([LEVEL])
    assert told.value.setting == "out_topic"
