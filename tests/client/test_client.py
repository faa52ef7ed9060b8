"""The client against the real server: every way of asking, and what comes back typed."""

import asyncio
from uuid import uuid4

import pytest

from stockwright.client import BlockingClient, Client, Misset, Refused, types
from stockwright.domain.events import Fact, RequestLine
from stockwright.domain.items import Component, Sku


@pytest.fixture
async def client(house):
    async with Client(house.web.url, house.key("admin").key) as client:
        yield client


def receipt(sku: str, quantity: int, document: str = "") -> Fact:
    return Fact(
        kind="receipt",
        system="erp",
        document=document or uuid4().hex,
        sku=sku,
        quantity=quantity,
        location="main",
    )


async def test_facts_are_recorded_one_by_one_and_each_is_answered(client, new_sku):
    sku = new_sku()
    alone = await client.post_events(receipt(sku, 3))
    assert isinstance(alone, types.ItemResult)
    assert (alone.code, alone.status) == ("recorded", 200)
    results = await client.record([receipt(sku, 4), receipt("nobody", 1), receipt(sku, 0)])
    assert [one.code for one in results] == ["recorded", "parked", "malformed"]
    assert [one.status for one in results] == [200, 202, 422]
    assert results[2].param == "quantity"


async def test_a_long_list_of_facts_is_split_and_the_results_stay_aligned(
    client, new_sku, monkeypatch
):
    monkeypatch.setattr("stockwright.client.client.MAX_FACTS", 3)
    sku = new_sku()
    facts = [receipt(sku, n) for n in range(8)]
    results = await client.record(facts)
    assert [one.code for one in results] == ["malformed", *["recorded"] * 7]


async def test_a_reservation_from_asking_to_releasing(client, house, new_sku):
    sku, order = new_sku(), uuid4().hex
    house.receive(sku, 5)
    ask = types.ReservationAsk(
        system="shop", channel="web", order=order, lines=[RequestLine(sku=sku, quantity=2)]
    )
    granted = await client.post_reservation(ask)
    assert (granted.code, granted.state) == ("granted", "open")
    again = await client.post_reservation(
        types.ReservationAsk(
            document=granted.document, system="shop", channel="web", order=order, lines=ask.lines
        )
    )
    assert (again.replay, again.sequence) == (True, granted.sequence)
    view = await client.get_reservation("shop", order)
    assert view.lines[0].sku == sku
    await client.post_transition("shop", order, "release", types.TransitionAsk())
    with pytest.raises(Refused) as refused:
        await client.post_transition("shop", order, "confirm", types.TransitionAsk())
    assert refused.value.reason == "closed"
    assert refused.value.problem.status == 409
    assert refused.value.problem.next


async def test_a_refusal_names_the_field_and_carries_the_ledgers_answer(client, house, new_sku):
    sku = new_sku()
    house.receive(sku, 1)
    ask = types.ReservationAsk(
        system="shop", channel="web", lines=[RequestLine(sku=sku, quantity=2)]
    )
    with pytest.raises(Refused) as refused:
        await client.post_reservation(ask)
    assert refused.value.reason == "insufficient"
    assert refused.value.problem.outcome["code"] == "insufficient"


async def test_availability_comes_explained(client, house, new_sku):
    sku = new_sku()
    house.receive(sku, 9)
    answer = await client.post_availability(types.AvailabilityAsk(skus=[sku], explain=True))
    (item,) = answer.items
    assert (item.on_hand, item.free) == (9, 9)
    assert item.explained["on_hand"].steps[0].running == 9


async def test_lists_are_walked_page_after_page(client, new_sku):
    codes = {new_sku() for _ in range(5)}
    found = [item.code async for item in client.list_items_items(limit=2)]
    assert codes <= set(found)
    assert found == sorted(found)
    assert all(isinstance(item, Sku) for item in (await client.list_items(limit=2)).items)


async def test_stock_comes_in_pages_and_in_one_stream(client, house, new_sku):
    skus = [new_sku() for _ in range(3)]
    for sku in skus:
        house.receive(sku, 4)
    paged = [row async for row in client.get_stock_items(sku=skus, limit=1)]
    streamed = [row async for row in client.get_stock_lines(sku=skus)]
    assert paged == streamed
    assert [row.sellable for row in streamed] == [4, 4, 4]
    raw = b"".join([part async for part in client.get_stock_parts(sku=skus, accept="text/csv")])
    assert raw.startswith(b"sku,location,lot")


async def test_the_master_goes_out_and_in_again(client, new_sku):
    sku = new_sku()
    saved = await client.put_kit(sku, types.KitBody(components=[Component(sku="A", quantity=2)]))
    assert saved.saved == "new"
    whole = await client.export_master()
    answer = await client.import_master(whole)
    assert sum(report.new + report.changed + report.refused for report in answer.reports) == 0
    table = await client.export_kind("kits", accept="text/csv")
    (report,) = (await client.import_kind("kits", table, media="text/csv")).reports
    assert report.unchanged == report.rows


async def test_changes_are_followed_from_a_cursor(client, house, new_sku):
    sku = new_sku()
    start = (await client.get_changes(begin="now")).cursor

    async def follow() -> tuple[types.ChangesPage, str]:
        async for page in client.changes(start, sku=[sku]):
            return page, page.cursor
        raise AssertionError("a feed has no end")

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.1)
    await client.record([receipt(sku, 3)])
    page, cursor = await asyncio.wait_for(following, 20)
    (event,) = page.items
    assert isinstance(event, types.EventChange)
    assert (event.kind, event.moves[0].quantity) == ("receipt", 3)
    assert (await client.get_changes(cursor=cursor, sku=[sku])).items == []


async def test_codes_with_slashes_and_umlauts_find_their_address(client):
    assert (await client.get_item("with/slash")).code == "with/slash"
    assert (await client.get_item("Größe 42")).code == "Größe 42"


async def test_a_wrong_key_is_refused_at_once(house):
    async with Client(house.web.url, "sw_aaaaaaaaaa_" + "A" * 43) as stranger:
        with pytest.raises(Refused) as refused:
            await stranger.list_items()
    assert refused.value.reason == "wrong_key"


async def test_work_is_read_decided_and_noted(client, house):
    ((number,),) = house.sql(
        "INSERT INTO work_item (kind, subject) VALUES ('recount', %s) RETURNING id", uuid4().hex
    )
    assert number in [one.id async for one in client.get_work_items_items(kind="recount")]
    given = await client.assign_work_item(number, types.AssignAsk(assigned_to="Ada"))
    assert given.assigned_to == "Ada"
    closed = await client.close_work_item(number, types.CloseAsk(why="counted"))
    assert closed.closed_why == "counted"
    (noted, *_) = (await client.get_audit(subject=str(number))).items
    assert noted.action == "work_item.close"
    facets = await client.get_work_item_facets(state="closed", kind="recount")
    assert facets.total >= 1


def test_the_blocking_client_does_the_same_without_await(house, new_sku):
    sku = new_sku()
    with BlockingClient(house.web.url, house.key("admin").key) as client:
        assert [one.code for one in client.record([receipt(sku, 3)])] == ["recorded"]
        assert [row.sellable for row in client.get_stock_lines(sku=[sku])] == [3]
        assert [row.sellable for row in client.get_stock_items(sku=[sku])] == [3]
        pages = client.changes(sku=[sku])
        assert len(next(pages).items) == 1
        pages.close()
        with pytest.raises(Refused):
            client.get_item("nobody")
    client.close()


def test_what_an_operator_must_change_is_told_apart():
    from stockwright.client.errors import failure_of

    problem = types.Problem(
        type="urn:stockwright:problem:misconfigured",
        title="",
        status=503,
        detail="x",
        param="server.host",
    )
    failure = failure_of(problem, 1.0)
    assert isinstance(failure, Misset)
    assert failure.setting == "server.host"
