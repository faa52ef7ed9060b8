"""Each event keeps its way with times: received, recorded, projected, sent, acknowledged."""

import psycopg
import pytest

from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.flow.recording import Recorder
from stockwright.flow.tracing import trace
from stockwright.store.connection import Pool, connect
from tests.flow.channels import Shop, World, in_doubt, link, refuse


@pytest.fixture
def world(database_url):
    return World(database_url)


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=4) as pool:
        yield pool


@pytest.fixture
def projection(pool):
    return Projection(pool)


@pytest.fixture
def record(world, database_url):
    """Records items through the real ledger and answers their outcomes."""
    with Recorder(database_url) as recorder:
        yield lambda *items: recorder.submit(items).result(30)


@pytest.fixture
def follow(database_url):
    def ask(*arguments, **named):
        with connect(database_url) as connection:
            return trace(connection, *arguments, **named)

    return ask


def receipt(document, quantity=10, sku="SKU-000"):
    return Fact(
        kind="receipt",
        system="WMS",
        document=document,
        sku=sku,
        location="MAIN",
        quantity=quantity,
    )


def reaches(found):
    return [[one.reach for one in event.channels] for event in found.events]


async def test_an_event_is_followed_to_the_channels_acknowledgement(
    world, pool, projection, record, follow
):
    (outcome,) = record(receipt("GR-1"))
    publisher = Publisher(pool, Shop(), link())
    assert reaches(follow(outcome.sequence)) == [[]], "no level was computed yet"
    projection.step()
    assert reaches(follow(outcome.sequence)) == [["projected"]]
    await publisher.step()
    found = follow(outcome.sequence)
    assert found.found_by == "sequence"
    (event,) = found.events
    (channel,) = event.channels
    level = world.level()
    assert (event.kind, event.system, event.document, event.skus) == (
        "receipt",
        "WMS",
        "GR-1",
        ["SKU-000"],
    )
    assert (channel.reach, channel.value, channel.carried_value) == ("acknowledged", 10, 10)
    assert channel.version == channel.carried_version == level["version"]
    assert event.received_at <= event.recorded_at <= channel.projected_at
    assert channel.projected_at <= channel.sent_at <= channel.acknowledged_at
    taken_ms = (channel.acknowledged_at - event.received_at).total_seconds() * 1000
    assert channel.latency_ms == pytest.approx(taken_ms, abs=0.1)


async def test_an_event_that_changes_no_number_says_so(world, pool, projection, record, follow):
    world.policy("WEB", cap=10)
    record(receipt("GR-1", 50))
    projection.step()
    (second,) = record(receipt("GR-2", 50))
    assert reaches(follow(second.sequence)) == [["waiting"]]
    projection.step()
    assert reaches(follow(second.sequence)) == [["unchanged"]]
    world.run("update exposure_policy set cap = 70")
    (third,) = record(receipt("GR-3", 50))
    projection.step()
    assert reaches(follow(second.sequence)) == [["unchanged"]], "the later change is not its own"
    assert reaches(follow(third.sequence)) == [["projected"]]


async def test_events_of_one_projection_share_the_number_they_led_to(
    pool, projection, record, follow
):
    outcomes = record(receipt("GR-1", 4), receipt("GR-2", 5))
    projection.step()
    values = [follow(one.sequence).events[0].channels[0].value for one in outcomes]
    assert values == [9, 9]


async def test_what_went_out_with_a_later_change_names_the_version_that_carried_it(
    world, pool, projection, record, follow
):
    (first,) = record(receipt("GR-1", 4))
    projection.step()
    record(receipt("GR-2", 5))
    projection.step()
    await Publisher(pool, Shop(), link()).step()
    (channel,) = follow(first.sequence).events[0].channels
    assert (channel.value, channel.carried_value) == (4, 9)
    assert channel.version < channel.carried_version == world.level()["version"]


@pytest.mark.parametrize(
    ("behaviour", "reach", "detail"),
    [(in_doubt, "sent", "500"), (refuse("closed"), "refused", "closed")],
)
async def test_a_failed_send_is_shown_with_its_reason(
    pool, projection, record, follow, behaviour, reach, detail
):
    (outcome,) = record(receipt("GR-1"))
    projection.step()
    shop = Shop()
    shop.behave(behaviour)
    await Publisher(pool, shop, link()).step()
    (channel,) = follow(outcome.sequence).events[0].channels
    assert (channel.reach, channel.detail) == (reach, detail)
    assert channel.sent_at is not None
    assert channel.acknowledged_at is None


async def test_a_change_that_was_taken_back_before_it_was_sent_is_superseded(
    pool, projection, record, follow
):
    record(receipt("GR-1", 10))
    projection.step()
    publisher = Publisher(pool, Shop(), link())
    await publisher.step()
    more, less = receipt("GR-2", 5), receipt("ADJ-1", 1)
    less.kind, less.quantity = "adjustment", -5
    (outcome,) = record(more)
    projection.step()
    record(less)
    projection.step()
    assert await publisher.step() == 0
    assert reaches(follow(outcome.sequence)) == [["superseded"]]


def order(number):
    return [
        Request(
            kind="reserve",
            system="WEB",
            document=f"{number}-reserve",
            order=number,
            channel="WEB",
            lines=[RequestLine(sku="SKU-000", quantity=2)],
        ),
        Request(kind="confirm", system="WEB", document=f"{number}-confirm", order=number),
    ]


def test_an_order_is_found_with_all_that_changed_it(record, follow):
    record(receipt("GR-1"), *order("536365"))
    found = follow("536365")
    assert found.found_by == "document or order"
    assert [event.kind for event in found.events] == ["reserve", "confirm"]
    assert [event.order for event in found.events] == ["536365", "536365"]


def test_digits_are_a_document_first_and_a_sequence_number_only_where_there_is_none(record, follow):
    record(receipt("GR-1"), receipt("1"))
    assert [event.document for event in follow("1").events] == ["1"]
    assert [event.document for event in follow(1).events] == ["GR-1"]
    assert [event.document for event in follow("2").events] == ["1"]


@pytest.mark.parametrize("text", ["GR-", "GR-10", "gr-1", "", "999", "%", "9" * 30])
def test_what_the_ledger_does_not_have_is_found_by_nothing(record, follow, text):
    record(receipt("GR-1"))
    found = follow(text)
    assert (found.found_by, found.events) == ("nothing", [])


def test_a_document_with_bars_is_found_by_its_own_name(record, follow):
    record(receipt("A|B"), receipt("A"))
    assert [event.document for event in follow("A|B").events] == ["A|B"]
    assert [event.document for event in follow("A").events] == ["A"]


def test_every_system_that_told_of_a_document_is_asked(record, follow, database_url):
    names = ["WMS", "WMS-2", "A|B", "~"]
    with psycopg.connect(database_url) as connection:
        for name in names[1:]:
            connection.execute("insert into system (code, role) values (%s, 'wms')", [name])
        connection.execute("update master_revision set revision = revision + 1")
    told = [receipt("GR-1") for _ in names]
    for fact, name in zip(told, names, strict=True):
        fact.system = name
    record(*told, *order("536365"))
    assert [event.system for event in follow("GR-1").events] == names
    for name in names:
        assert [event.system for event in follow("GR-1", system=name).events] == [name]
