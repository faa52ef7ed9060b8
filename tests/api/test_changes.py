"""GET /v1/changes: pages, filters, long poll and the live feed."""

import http.client
import threading
import time
from contextlib import contextmanager

import msgspec
import pytest

from stockwright.flow.projection import Projection


def project(house) -> None:
    while Projection(house.services.worker_pool).step().marks:
        pass


def changes(house, query: str = "", **more):
    answer = house.admin.get(f"/v1/changes?{query}", **more)
    assert answer.status == 200, answer
    return answer.json


def now(house) -> str:
    return str(changes(house, "start=now")["next_cursor"])


def listed(house, new_sku) -> str:
    sku = new_sku()
    body = {"components": [{"sku": sku, "quantity": 1}]}
    assert house.admin.put(f"/v1/listings/web/{sku}", body).status == 201
    project(house)
    return str(sku)


def test_an_event_and_the_level_it_changes_come_in_order(house, new_sku):
    sku = listed(house, new_sku)
    cursor = now(house)
    house.receive(sku, 5)
    project(house)
    event, level = changes(house, f"cursor={cursor}")["items"]
    assert (event["type"], event["kind"], event["event"]["sku"]) == ("event", "receipt", sku)
    (move,) = event["moves"]
    assert (move["sku"], move["to_account"], move["quantity"]) == (sku, "sellable", 5)
    assert (level["type"], level["channel"], level["listing"]) == ("level", "web", sku)
    assert (level["value"], level["sequence"]) == (5, event["sequence"])
    again = changes(house, f"cursor={event['cursor']}")["items"]
    assert again == [level]


def test_the_whole_feed_in_small_pages_skips_and_repeats_nothing(house, new_sku):
    sku = listed(house, new_sku)
    for _ in range(3):
        house.receive(sku, 1)
        project(house)
    cursor, found = "", []
    while page := changes(house, f"limit=2&cursor={cursor}"):
        if not page["items"]:
            break
        found += page["items"]
        cursor = page["next_cursor"]
    events = [one["sequence"] for one in found if one["type"] == "event"]
    levels = [one["position"] for one in found if one["type"] == "level"]
    assert events == [row[0] for row in house.sql("select sequence from event order by 1")]
    assert levels == [
        row[0] for row in house.sql("select position from level_change order by position")
    ]


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("kinds=level", ["level"]),
        ("kinds=receipt", ["event"]),
        ("kinds=shipment", []),
        ("kinds=shipment&kinds=level", ["level"]),
        ("locations=main", ["event"]),
        ("locations=second", []),
        ("channels=web", ["level"]),
        ("channels=none", []),
        ("systems=erp", ["event"]),
        ("systems=shop", ["level"]),
        ("skus={sku}", ["event", "level"]),
        ("skus=A", []),
    ],
)
def test_filters_let_through_what_they_name(house, new_sku, query, kinds):
    sku = listed(house, new_sku)
    cursor = now(house)
    house.receive(sku, 5)
    project(house)
    page = changes(house, f"cursor={cursor}&{query.format(sku=sku)}")
    assert [one["type"] for one in page["items"]] == kinds
    assert changes(house, f"cursor={page['next_cursor']}")["items"] == []


def test_a_long_poll_ends_with_the_change_it_waits_for(house, new_sku):
    sku = new_sku()
    cursor = now(house)
    timer = threading.Timer(0.3, house.receive, (sku, 1))
    timer.start()
    began = time.monotonic()
    page = changes(house, f"cursor={cursor}&wait_s=20&skus={sku}")
    took_s = time.monotonic() - began
    timer.join()
    assert [one["kind"] for one in page["items"]] == ["receipt"]
    assert 0.25 < took_s < 10


def test_a_long_poll_without_a_change_ends_when_its_time_is_over(house):
    cursor = now(house)
    began = time.monotonic()
    page = changes(house, f"cursor={cursor}&wait_s=0.4&skus=nobody")
    assert page["items"] == []
    assert time.monotonic() - began >= 0.4


@contextmanager
def live(house, query: str = "", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", house.web.port, timeout=20)
    told = {"accept": "text/event-stream", "authorization": f"Bearer {house.admin.key}"}
    connection.request("GET", f"/v1/changes?{query}", headers=told | headers)
    answer = connection.getresponse()
    try:
        assert answer.status == 200
        assert answer.getheader("content-type") == "text/event-stream"
        yield answer
    finally:
        answer.close()
        connection.close()


def frame(answer) -> dict[str, str]:
    """The next frame with data."""
    while True:
        told: dict[str, str] = {}
        while (line := answer.readline().decode().rstrip("\n")) != "":
            name, _, value = line.partition(": ")
            told[name] = value
        if "data" in told:
            return told


def test_the_live_feed_goes_on_after_the_last_event_id(house, new_sku):
    sku = new_sku()
    with live(house, f"start=now&skus={sku}") as stream:
        assert stream.readline() == b"retry: 2000\n"
        house.receive(sku, 1)
        first = frame(stream)
        assert first["event"] == "event"
        assert msgspec.json.decode(first["data"])["event"]["quantity"] == 1
    house.receive(sku, 2)
    with live(house, f"start=now&skus={sku}", **{"last-event-id": first["id"]}) as stream:
        assert msgspec.json.decode(frame(stream)["data"])["event"]["quantity"] == 2


def test_a_follower_who_leaves_is_let_go(house):
    with live(house, "start=now"):
        assert house.web.door._streams == 1
    deadline = time.monotonic() + 10
    while house.web.door._streams and time.monotonic() < deadline:
        time.sleep(0.02)
    assert house.web.door._streams == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=what", "cursor"),
        ("cursor=Wy0xLC0xXQ", "cursor"),
        ("wait_s=61", "wait_s"),
        ("wait_s=nan", "wait_s"),
        ("limit=0", "limit"),
        ("start=later", "start"),
        ("kinds=a%00b", "kinds"),
        ("kind=receipt", "kind"),
    ],
)
def test_a_bad_question_names_its_field(house, query, field):
    answer = house.admin.get(f"/v1/changes?{query}")
    assert (answer.status, answer.json["param"]) == (422, field), answer


def test_it_needs_the_scope_to_read_stock(house):
    assert house.client("master:read").get("/v1/changes").status == 403
