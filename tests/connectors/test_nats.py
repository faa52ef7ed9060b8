"""The connector to NATS against the real server: restarts, kills, redelivery, poison."""

import datetime as dt
import json
from uuid import uuid4

import pytest
from nats.js.api import ConsumerConfig

from stockwright.connectors.nats import CONNECTOR
from stockwright.domain.errors import Misconfigured, Transient
from stockwright.domain.subscriptions import NewSubscription
from stockwright.flow import subscribing
from stockwright.flow.deliveries import Deliveries
from stockwright.flow.subscribing import Start
from stockwright.sdk.connector import Opening
from stockwright.sdk.guarded import GuardedHttp
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
from tests.connectors.nats_server import NatsServer
from tests.connectors.publishing import published, until_applied
from tests.connectors.queue_hub import CUT, MOST_BYTES, POISON, hub_over, receipt


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the module; a test that kills it starts it again."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def stream(server):
    """A stream of the test's own, with its subjects below its own name."""
    name = f"S{uuid4().hex[:8]}"
    await server.add_stream(name, f"{name}.>")
    return name


def connect(server, stream="", **more):
    given = {"servers": [server.url], "timeout_s": 10.0, "wait_s": 2.0, "ack_wait_s": 60.0}
    if stream:
        given |= {"stream": stream, "consumer": "stockwright"}
    settings = CONNECTOR.declaration.parse_settings({**given, **more}, resolve_secret)
    return CONNECTOR.open(Opening(system="wms"), settings)


_MAPS = CONNECTOR.open(
    Opening(system="wms"),
    CONNECTOR.declaration.parse_settings({"servers": ["nats://127.0.0.1:9"]}, resolve_secret),
)


@pytest.fixture
def hub(database_url):
    with hub_over(database_url, _MAPS) as hub:
        yield hub


# -------------------------------------------------------------------- in


async def test_messages_are_kept_recorded_in_order_and_settled(server, stream, hub):
    sent = [(f"{stream}.in", receipt(f"GR-{n}")) for n in range(25)]
    await server.send(*sent)
    connection = connect(server, stream, page_size=10)
    polled = await hub.poll(connection)
    assert (polled.payloads, polled.complete, polled.error) == (25, True, "")
    hub.work()
    assert hub.documents == [f"GR-{n}" for n in range(25)]
    await server.settles(stream, "stockwright")
    ((headers, body),) = hub.rows("select headers, body from payload order by id limit 1")
    assert headers == {"subject": f"{stream}.in", "place": f"{stream}:1"}
    assert bytes(body) == sent[0][1]
    assert (await hub.poll(connection)).payloads == 0
    await connection.close()


async def test_what_was_kept_but_not_settled_comes_again_and_counts_once(server, stream, hub):
    await server.send((f"{stream}.in", receipt("GR-1")), (f"{stream}.in", receipt("GR-2")))
    dying = connect(server, stream, ack_wait_s=1.0)

    async def dies(_page):
        raise Transient("killed before it could acknowledge")

    dying.acknowledge = dies
    assert (await hub.poll(dying)).error == "killed before it could acknowledge"
    await dying.close()
    hub.again()
    heir = connect(server, stream, ack_wait_s=1.0, wait_s=5.0)
    while await server.pending(stream, "stockwright") != (0, 0):
        await hub.poll(heir)
    await server.settles(stream, "stockwright")
    hub.work()
    assert hub.rows("select count(*) >= 4 from payload") == [(True,)]
    assert (hub.documents, hub.on_hand) == (["GR-1", "GR-2"], {"A": 10})
    await heir.close()


async def test_a_worker_killed_during_its_acknowledgements_loses_and_doubles_nothing(
    server, stream, hub
):
    await server.send(*((f"{stream}.in", receipt(f"GR-{n}")) for n in range(20)))
    connection = connect(server, stream, page_size=10, ack_wait_s=1.0)
    queue = connection._queue

    async def half(taken):
        for one in taken[: len(taken) // 2]:
            await one.receipt.ack()
        await queue._client.flush()
        await queue.close()
        raise Transient("killed in the middle of it")

    settle, queue.settle = queue.settle, half
    await hub.poll(connection)
    await connection.close()
    queue.settle = settle
    heir = connect(server, stream, page_size=10, ack_wait_s=1.0, wait_s=3.0)
    while await server.pending(stream, "stockwright") != (0, 0):
        await hub.poll(heir, worker="heir")
    hub.work()
    assert sorted(hub.documents) == sorted(f"GR-{n}" for n in range(20))
    assert hub.on_hand == {"A": 100}
    await heir.close()


async def test_what_could_not_be_kept_is_handed_over_again_in_order(server, stream, hub):
    await server.send(*((f"{stream}.in", receipt(f"GR-{n}")) for n in range(3)))
    connection = connect(server, stream)
    hub.rows("alter table payload add constraint away check (door <> 'poll')")
    try:
        failed = await hub.poll(connection)
        assert failed.error
        assert hub.rows("select count(*) from payload") == [(0,)]
    finally:
        hub.rows("alter table payload drop constraint away")
    hub.again()
    assert (await hub.poll(connection)).payloads == 3
    hub.work()
    assert hub.documents == ["GR-0", "GR-1", "GR-2"]
    await server.settles(stream, "stockwright")
    await connection.close()


async def test_a_server_that_restarts_in_the_middle_goes_on_where_it_was(server, stream, hub):
    await server.send(*((f"{stream}.in", receipt(f"GR-{n}")) for n in range(6)))
    connection = connect(server, stream, page_size=3, ack_wait_s=1.0, timeout_s=3.0)
    page = await connection.read("")
    assert len(page.payloads) == 3
    server.kill()
    await connection.acknowledge(page)
    with pytest.raises(Transient):
        await connection.read("")
    server.start()
    while await server.pending(stream, "stockwright") != (0, 0):
        hub.again()
        await hub.poll(connection)
    hub.work()
    assert sorted(hub.documents) == [f"GR-{n}" for n in range(6)]
    assert hub.on_hand == {"A": 30}
    await connection.close()


async def test_poison_is_parked_once_and_holds_up_nobody(server, stream, hub):
    await server.send(*((f"{stream}.in", body) for body in (*POISON, receipt("GR-1"))))
    connection = connect(server, stream, max_body_bytes=MOST_BYTES)
    assert (await hub.poll(connection)).payloads == 6
    hub.work()
    assert (hub.documents, len(hub.parked), hub.parked[4]) == (["GR-1"], 5, CUT)
    await server.settles(stream, "stockwright")
    assert (await hub.poll(connection)).payloads == 0
    await connection.close()


async def test_messages_of_one_subject_wait_behind_a_parked_one(server, stream, hub):
    await server.send(
        (f"{stream}.a", receipt("GR-1", sku="unbound")),
        (f"{stream}.a", receipt("GR-2")),
        (f"{stream}.b", receipt("GR-3")),
    )
    connection = connect(server, stream, raw_key="subject")
    await hub.poll(connection)
    hub.work()
    assert hub.documents == ["GR-3"]
    await connection.close()


# -------------------------------------------------------------------- out


async def test_levels_and_documents_are_stored_under_their_subjects_once(server, stream):
    connection = connect(
        server,
        levels_subject=f"{stream}.levels.{{channel}}.{{listing}}",
        documents_subject=f"{stream}.documents.{{kind}}",
    )
    levels = [
        LevelToSend(channel="web", listing="L.1", quantity=7, version=3),
        LevelToSend(channel="web", listing="L-2", quantity=0, version=4, location="MAIN"),
    ]
    for _ in range(2):
        assert await connection.publish(levels) == [Applied(), Applied()]
    shipment = Shipment(
        key="ship-1",
        order="SO-1",
        lines=(DocumentLine(line="1", quantity=2),),
        shipped_at=dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
    )
    for _ in range(2):
        assert await connection.submit(shipment) == Delivered(reference=f"{stream}:3")
    first, second, third = await server.stored(stream)
    assert first[0] == f"{stream}.levels.web.L%2E1"
    assert json.loads(first[1]) == {
        "channel": "web", "listing": "L.1", "quantity": 7, "version": 3,
    }  # fmt: skip
    assert json.loads(second[1])["location"] == "MAIN"
    assert (third[0], json.loads(third[1])["order"]) == (f"{stream}.documents.shipment", "SO-1")
    await connection.close()


async def test_what_nobody_stores_is_told_to_an_operator(server, stream):
    nowhere = connect(server, levels_subject="nobody.listens")
    level = LevelToSend(channel="web", listing="L", quantity=1, version=1)
    with pytest.raises(Misconfigured, match="no stream takes the subject nobody.listens"):
        await nowhere.publish([level])
    await nowhere.close()
    unsaid = connect(server)
    for call, setting in (
        (unsaid.publish([level]), "levels_subject"),
        (unsaid.submit(None), "documents_subject"),
    ):
        with pytest.raises(Misconfigured) as told:
            await call
        assert told.value.setting == setting
    missing = connect(server, "NOSUCHSTREAM")
    with pytest.raises(Misconfigured, match="no stream NOSUCHSTREAM"):
        await missing.read("")
    await missing.close()


async def test_a_consumer_that_would_lose_messages_is_refused(server, stream):
    client = await server.client()
    limited = ConsumerConfig(durable_name="limited", ack_policy="explicit", max_deliver=3)
    await client.jetstream().add_consumer(stream, limited)
    await client.close()
    connection = connect(server, stream, consumer="limited")
    with pytest.raises(Misconfigured, match="the consumer limited would lose messages"):
        await connection.read("")
    await connection.close()


async def test_a_server_that_is_away_claims_nothing(server, stream):
    connection = connect(server, levels_subject=f"{stream}.out", timeout_s=1.0)
    level = LevelToSend(channel="web", listing="L", quantity=1, version=1)
    assert await connection.publish([level]) == [Applied()]
    server.kill()
    try:
        assert isinstance(await published(connection, level), InDoubt | Away)
        assert isinstance(await published(connection, level), Away)
    finally:
        server.start()
    await until_applied(connection, level)
    assert len(await server.stored(stream)) == 1
    await connection.close()


async def test_a_wrong_password_is_told_as_the_password(tmp_path):
    guarded = NatsServer(tmp_path, "--user", "u", "--pass", "right")
    guarded.start()
    try:
        wrong = connect(guarded, levels_subject="a", user="u", password=Secret("no"))
        with pytest.raises(Misconfigured) as told:
            await wrong.publish([LevelToSend(channel="c", listing="L", quantity=1, version=1)])
        assert told.value.setting == "password"
    finally:
        guarded.kill()


async def test_wrong_credentials_are_told_to_an_operator(tmp_path):
    guarded = NatsServer(tmp_path, "--auth", "the-right-one")
    guarded.start()
    try:
        wrong = connect(guarded, levels_subject="a", token=Secret("another"))
        with pytest.raises(Misconfigured) as told:
            await wrong.publish([LevelToSend(channel="c", listing="L", quantity=1, version=1)])
        assert told.value.setting == "token"
        assert "another" not in str(told.value)
        await wrong.close()
    finally:
        guarded.kill()


@pytest.mark.parametrize(
    ("subjects", "wrong"),
    [
        ({"levels_subject": "{S}.levels.{{channel}}.{{listing}}"}, ""),
        ({"levels_subject": "{S}x.levels.{{channel}}"}, "levels_subject"),
        ({"levels_subject": "{S}.l", "documents_subject": "papers.{{kind}}"}, "documents_subject"),
        ({"levels_subject": "{S}.l", "documents_subject": "{S}.papers"}, ""),
        ({}, ""),
    ],
)
async def test_the_server_is_asked_whether_a_stream_takes_what_is_sent_and_sent_nothing(
    server, stream, subjects, wrong
):
    sink = connect(server, **{name: text.format(S=stream) for name, text in subjects.items()})
    if wrong:
        with pytest.raises(Misconfigured, match="no stream takes the subject .*: create") as told:
            await sink.check()
        assert told.value.setting == wrong
    else:
        assert await sink.check()
    assert await server.stored(stream) == []
    await sink.close()


async def test_who_only_consumes_has_nothing_to_ask_for(server, stream):
    source = connect(server, stream)
    assert not await source.check()
    assert source._queue._client is None


GUARDED = """
authorization {
  users = [{user: u, password: p, permissions: {publish: ["stock.>", "$JS.API.STREAM.INFO.*"]}}]
}
"""
WITHOUT = "accounts { HUB: {users: [{user: u, password: p}]} }\n"


@pytest.fixture
def configured(tmp_path):
    """Starts a server of the test's own with a configuration."""
    servers = []

    def start(text):
        (tmp_path / "nats.conf").write_text(text)
        servers.append(NatsServer(tmp_path / "stored", "-c", str(tmp_path / "nats.conf")))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


async def test_a_user_who_may_not_ask_for_streams_is_not_held_up_by_that(configured):
    sink = connect(
        configured(GUARDED), levels_subject="stock.levels", user="u", password=Secret("p"),
        timeout_s=1.0,
    )  # fmt: skip
    assert not await sink.check()
    await sink.close()


async def test_a_server_without_jetstream_for_us_is_told(configured):
    sink = connect(configured(WITHOUT), levels_subject="stock", user="u", password=Secret("p"))
    with pytest.raises(Misconfigured, match="no JetStream for us") as told:
        await sink.check()
    assert told.value.setting == "servers"
    await sink.close()


async def test_a_server_that_does_not_answer_is_no_answer(configured):
    away = NatsServer(configured("").folder)
    sink = connect(away, levels_subject="stock", timeout_s=1.0)
    with pytest.raises(Transient):
        await sink.check()


async def test_a_subscription_is_told_through_the_queue_and_a_replay_is_not_dropped(
    server, stream, hub
):
    await server.send((f"{stream}.in", receipt("GR-1")), (f"{stream}.in", receipt("GR-2", "B")))
    source = connect(server, stream, subject=f"{stream}.in")
    await hub.poll(source)
    hub.work()
    await source.close()
    bus = connect(server)
    new = NewSubscription(
        name="plan", via="queue", system="bus", subject=f"{stream}.told.{{kind}}.{{system}}"
    )
    subscribing.add(hub.pool, new, Start("start"), actor="test", allowed=(), queues={"bus": True})
    deliveries = Deliveries(
        hub.pool, {"bus": bus}, GuardedHttp(()), worker="w", source="urn:test", timeout_s=30.0
    )
    assert await deliveries.step() == 2
    told = [one for one in await server.stored(stream) if ".told." in one[0]]
    assert [one[0] for one in told] == [f"{stream}.told.receipt.wms"] * 2
    assert [json.loads(one[1])["id"] for one in told] == ["event-1", "event-2"]
    # A crash after the broker stored them: the same once more, and the broker drops it.
    hub.rows("update subscription_progress set sequence = 0")
    assert await deliveries.step() == 2
    assert len(await server.stored(stream)) == 4
    subscribing.replay(hub.pool, "plan", Start(sequence=2), actor="test")
    assert await deliveries.step() == 1
    assert json.loads((await server.stored(stream))[-1][1])["id"] == "event-2"
    await deliveries.close()
    await bus.close()


async def test_a_subscription_made_again_under_its_name_is_not_taken_for_the_one_before(
    server, stream, hub
):
    """To change its filters or its subject one deletes it and adds it again; the broker knew the
    ids and dropped what the new one told, which counted as taken.
    """
    await server.send((f"{stream}.in", receipt("GR-1")))
    source = connect(server, stream, subject=f"{stream}.in")
    await hub.poll(source)
    hub.work()
    await source.close()
    bus = connect(server)
    deliveries = Deliveries(
        hub.pool, {"bus": bus}, GuardedHttp(()), worker="w", source="urn:test", timeout_s=30.0
    )
    for subject in ("before", "after"):
        new = NewSubscription(
            name="plan", via="queue", system="bus", subject=f"{stream}.told.{subject}"
        )
        start, queues = Start("start"), {"bus": True}
        subscribing.add(hub.pool, new, start, actor="test", allowed=(), queues=queues)
        assert await deliveries.step() == 1
        with hub.pool.connection() as connection:
            subscribing.delete(connection, "plan", actor="test")
    told = [one[0] for one in await server.stored(stream) if ".told." in one[0]]
    assert told == [f"{stream}.told.before", f"{stream}.told.after"]
    await deliveries.close()
    await bus.close()


async def test_announcements_fail_as_a_whole_where_the_broker_is_away(server):
    away = NatsServer(server.folder)
    connection = connect(away, timeout_s=1.0)
    with pytest.raises(Transient):
        await connection.announce([Announcement(id="1", subject="a", body=b"{}")])
    await connection.close()


def test_stream_and_consumer_go_together():
    given = {"servers": ["nats://nats:4222"], "stream": "S"}
    (problem,) = CONNECTOR.declaration.problems(given)
    assert "go together" in problem.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("levels_subject", "a..b"),
        ("levels_subject", "a.{sku}"),
        ("levels_subject", "a.>"),
        ("servers", []),
        ("servers", ["nats://ann:pw@nats:4222"]),
        ("raw_key", "order"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(name, value):
    given = {"servers": ["nats://nats:4222"], name: value}
    assert [one.field.partition("[")[0] for one in CONNECTOR.declaration.problems(given)] == [name]
