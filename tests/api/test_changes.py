"""GET /v1/changes: one order, nothing skipped, filters, long poll, server-sent events."""

import http.client
import threading
import time
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from stockwright.api import gate, sending
from stockwright.api.paging import cursor_of
from stockwright.api.server import WebServer
from stockwright.app import open_services
from stockwright.app.services import FOLLOWERS
from stockwright.domain.items import Component, Listing
from stockwright.flow.projection import Projection
from stockwright.store import access, feed, levels, master, sessions, users
from stockwright.store.feed import Position
from tests.api.conftest import Answer, House, config_for
from tests.proof.stage import wait_until


def project(house) -> None:
    projection = Projection(house.services.worker_pool)
    while projection.step().marks:
        pass


@pytest.fixture
def listed(house, new_sku):
    """A SKU that the channel web lists under its own code."""
    sku = new_sku()
    with house.services.pool.connection() as connection:
        listing = Listing(channel="web", code=sku, components=(Component(sku=sku),))
        master.save_one(connection, "listings", listing)
    project(house)
    return sku


def now(house) -> str:
    return str(house.admin.get("/v1/changes?begin=now").json["cursor"])


def after(house, cursor: str, query: str = "") -> list[dict[str, Any]]:
    found = []
    while True:
        answer = house.admin.get(f"/v1/changes?cursor={cursor}&{query}")
        if answer.status == 429:  # a writer takes long, and we are told to come again
            continue
        page = answer.json
        found += page["items"]
        cursor = page["cursor"]
        if page["caught_up"]:
            return found


def brief(items: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (one["change"], one.get("kind") or one["listing"], one.get("value", one.get("outcome")))
        for one in items
    ]


def test_an_event_and_the_level_it_leads_to_come_in_order(house, listed):
    start = now(house)
    house.receive(listed, 7)
    project(house)
    event, level = after(house, start)
    assert (event["change"], event["kind"], event["outcome"]) == ("event", "receipt", "recorded")
    assert event["body"]["sku"] == listed
    (move,) = event["moves"]
    assert (move["from_account"], move["to_account"], move["to_location"], move["quantity"]) == (
        "supplier", "sellable", "main", 7,
    )  # fmt: skip
    assert (level["change"], level["channel"], level["system"]) == ("level", "web", "shop")
    assert (level["listing"], level["value"], level["skus"]) == (listed, 7, [listed])
    assert level["sequence"] == event["sequence"]


def test_the_order_is_the_same_however_the_feed_is_read(house, listed):
    start = now(house)
    for units in range(1, 9):
        house.receive(listed, units)
        if units % 3:
            project(house)
    at_once = after(house, start, "limit=1000")
    assert len(at_once) >= 12
    for limit in (1, 2, 5):
        assert after(house, start, f"limit={limit}") == at_once


@contextmanager
def held_open(house, listing: str, value: int):
    """A projection that has written a change of a level and is not committed yet."""
    with psycopg.connect(house.services.url) as connection:
        (level,) = levels.lock_levels(connection, [("web", listing)], [])
        level.desired, level.version = value, level.version + 1
        levels.write_desired(connection, [level], [level.sequence], rules=0)
        yield connection


def test_a_change_that_is_committed_late_is_never_skipped(house, listed):
    """A reader whose cursor has passed the number of an open transaction would never see it."""
    house.receive(listed, 3)
    project(house)
    start = now(house)
    heard: list[dict[str, Any]] = []
    with held_open(house, listed, 99) as late:
        house.receive(listed, 4)  # a later event, committed before the level is
        reader = threading.Thread(target=lambda: heard.extend(after(house, start)))
        reader.start()
        time.sleep(0.2)
        late.commit()
        reader.join()
    told = brief(heard + after(house, now(house)))
    assert ("level", listed, 99) in told
    assert ("event", "receipt", "recorded") in told


def test_a_reader_that_goes_on_while_changes_commit_late_hears_each_once(house, listed):
    house.receive(listed, 3)
    project(house)
    cursor, heard, stop = now(house), [], threading.Event()

    def follow() -> None:
        nonlocal cursor
        while not stop.is_set():
            page = house.admin.get(f"/v1/changes?cursor={cursor}&kind=level&limit=3")
            if page.status == 200:
                heard.extend(one["value"] for one in page.json["items"])
                cursor = page.json["cursor"]

    reader = threading.Thread(target=follow)
    reader.start()
    try:
        for value in range(1_000, 1_020):
            with held_open(house, listed, value) as late:
                house.receive(listed, 1)
                time.sleep(0.01)
                late.commit()
    finally:
        stop.set()
        reader.join()
    heard += [one["value"] for one in after(house, cursor, "kind=level")]
    assert [value for value in heard if value >= 1_000] == list(range(1_000, 1_020))


def test_where_a_writer_freezes_the_reader_is_told_to_come_again(house, listed):
    house.receive(listed, 3)
    project(house)
    with held_open(house, listed, 50) as frozen:
        answer = house.admin.get("/v1/changes")
        assert answer.status == 429
        assert "retry-after" in answer.headers
        frozen.rollback()
    assert house.admin.get("/v1/changes").status == 200


def test_filters_let_pass_what_names_all_they_ask_for(house, listed, new_sku):
    other = new_sku()
    start = now(house)
    house.receive(listed, 5)
    house.receive(other, 6, location="second")
    ask = {"system": "shop", "channel": "web", "order": uuid4().hex}
    ask["lines"] = [{"sku": listed, "quantity": 2, "location": "main"}]
    assert house.admin.post("/v1/reservations", ask).status == 201
    project(house)
    kinds = lambda query: [one.get("kind", "level") for one in after(house, start, query)]  # noqa: E731
    assert kinds(f"sku={other}") == ["receipt"]
    assert kinds(f"sku={listed}") == ["receipt", "reserve", "level"]
    assert kinds("location=second") == ["receipt"]
    assert kinds("kind=level") == ["level"]
    assert kinds("kind=reserve&kind=receipt") == ["receipt", "receipt", "reserve"]
    assert kinds("channel=web") == ["reserve", "level"]
    assert kinds("system=erp") == ["receipt", "receipt"]
    assert kinds(f"system=erp&sku={listed}") == ["receipt"]


def test_a_filter_that_lets_nothing_pass_still_moves_the_cursor(house, listed):
    start = now(house)
    house.receive(listed, 5)
    page = house.admin.get(f"/v1/changes?cursor={start}&sku=nobody").json
    assert page["items"] == []
    assert page["caught_up"]
    assert page["cursor"] != start


def test_a_long_poll_answers_when_something_comes(house, listed):
    start, answers = now(house), []
    url = f"/v1/changes?cursor={start}&wait_s=30&kind=receipt"
    waiting = threading.Thread(target=lambda: answers.append(house.admin.get(url)))
    waiting.start()
    wait_until(lambda: house.services.bell._waiting, "it waits")
    house.receive(listed, 5)
    waiting.join(20)
    assert not waiting.is_alive(), "it waited for its time to be over"
    (answer,) = answers
    assert [one["body"]["sku"] for one in answer.json["items"]] == [listed]


def test_a_long_poll_ends_with_its_time(house):
    began = time.perf_counter()
    answer = house.admin.get(f"/v1/changes?cursor={now(house)}&wait_s=0.4")
    assert answer.json["items"] == []
    assert 0.3 < time.perf_counter() - began < 20


class Stream:
    """An open stream of server-sent events."""

    def __init__(self, house, query: str = "", key: str = "", **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", house.web.port, timeout=20)
        sent = {"accept": "text/event-stream"}
        if "cookie" not in headers:
            sent["authorization"] = f"Bearer {key or house.admin.key}"
        self.connection.request("GET", f"/v1/changes?{query}", headers={**sent, **headers})
        self.answer = self.connection.getresponse()

    def frames(self, count: int) -> list[dict[str, str]]:
        """The next events that carry data."""
        found: list[dict[str, str]] = []
        while len(found) < count:
            frame: dict[str, str] = {}
            while line := self._line():
                name, _, value = line.partition(": ")
                frame[name] = value
            if "data" in frame:
                found.append(frame)
        return found

    def _line(self) -> str:
        line = self.answer.readline().decode()
        assert line, "the stream has ended"
        return line.rstrip("\n")


def test_a_stream_tells_events_and_levels_and_resumes_where_it_broke_off(house, listed):
    stream = Stream(house, f"begin=now&sku={listed}")
    assert stream.answer.getheader("content-type") == "text/event-stream"
    house.receive(listed, 5)
    house.receive(listed, 6)
    first, second = stream.frames(2)
    assert [first["event"], second["event"]] == ["event", "event"]
    assert msgspec.json.decode(first["data"])["body"]["quantity"] == 5
    project(house)
    (level,) = stream.frames(1)
    assert (level["event"], msgspec.json.decode(level["data"])["value"]) == ("level", 11)
    stream.connection.close()
    again = Stream(house, f"sku={listed}", **{"last-event-id": first["id"]})
    assert again.frames(2) == [second, level]
    again.connection.close()


def test_a_stream_ends_once_its_key_is_revoked(house, listed, monkeypatch):
    """It went on for ever, long after every other call with the key was refused."""
    monkeypatch.setattr(sending, "ASKED_EVERY_S", 0.0)
    monkeypatch.setattr(gate, "REMEMBERED_S", 0.0)
    made = house.key("stock:read")
    stream = Stream(house, f"begin=now&sku={listed}", key=made.key)
    house.receive(listed, 5)
    assert stream.frames(1)
    with house.services.pool.connection() as connection:
        access.revoke_key(connection, made.id)
    house.receive(listed, 6)
    assert b'"quantity":6' not in stream.answer.read()
    stream.connection.close()


def test_a_stream_of_a_session_ends_with_it(house, listed, monkeypatch, cheap_passwords):
    """Disabled, signed out, or another role by now: who may still listen comes again."""
    monkeypatch.setattr(sending, "ASKED_EVERY_S", 0.0)
    with house.services.pool.connection() as connection:
        users.add_user(connection, "listener", "operator", "blue lamp under stairs")
        attempt = sessions.begin_attempt(connection, "listener", "::1")
        token = sessions.sign_in(connection, attempt, address="::1")
        connection.execute("update console_session set seen_at = seen_at - interval '30 minutes'")
    assert token is not None
    named = {
        "cookie": f"stockwright_session={token}",
        "x-stockwright-session": sessions.form_token_of(token),
    }
    seen = "select extract(epoch from clock_timestamp() - seen_at) from console_session"
    stream = Stream(house, f"begin=now&sku={listed}", **named)
    with house.services.pool.connection() as connection:
        connection.execute("update console_session set seen_at = seen_at - interval '30 minutes'")
    house.receive(listed, 5)
    assert stream.frames(1)
    assert house.sql(seen)[0][0] > 1700, "to listen is no use of a session"
    with house.services.pool.connection() as connection:
        users.set_role(connection, "listener", "viewer")
    house.receive(listed, 6)
    assert b'"quantity":6' not in stream.answer.read()
    stream.connection.close()


@pytest.mark.parametrize("ahead", [Position(10**9, 0), Position(0, 10**9)])
def test_a_cursor_behind_the_end_is_refused_and_not_taken_for_the_end(house, listed, ahead):
    """After a restore it named what had not happened yet; what then happened was passed over."""
    house.receive(listed, 1)
    for accept in ("application/json", "text/event-stream"):
        answer = house.admin.get(
            f"/v1/changes?wait_s=20&cursor={cursor_of(ahead)}", headers={"accept": accept}
        )
        assert (answer.status, answer.json["param"]) == (422, "cursor")
        assert "restored" in answer.json["detail"]


def test_those_who_follow_for_ever_leave_room_for_answers_that_end(house, monkeypatch):
    """Two hundred idle followers kept everybody from exports and the state of stock."""
    monkeypatch.setattr(sending, "MAX_ENDLESS", 1)
    stream = Stream(house, "begin=now")
    try:
        answer = house.admin.get("/v1/changes", headers={"accept": "text/event-stream"})
        assert (answer.status, answer.json["type"].rpartition(":")[2]) == (429, "busy")
        assert house.admin.get("/v1/export/skus").status == 200
    finally:
        stream.connection.close()
        stream.answer.close()


def test_those_who_follow_wait_behind_each_other_and_nobody_behind_them(house, listed):
    """Hundreds of followers woke at once, and every read waited until all of them had read."""
    cursor = now(house)
    asleep = threading.Event()
    try:
        for _ in range(FOLLOWERS):
            house.services.followers.submit(asleep.wait, 20)
        answers: list[Answer] = []
        waiting = threading.Thread(
            target=lambda: answers.append(house.admin.get(f"/v1/changes?cursor={cursor}"))
        )
        waiting.start()
        assert house.admin.get(f"/v1/items/{listed}").status == 200
        assert answers == []
    finally:
        asleep.set()
    waiting.join()
    assert [answer.status for answer in answers] == [200]


def test_a_client_that_goes_is_noticed(house):
    streams = house.web.door.streams
    wait_until(lambda: streams.open == 0, "the clients of other tests are gone")
    stream = Stream(house, "begin=now")
    assert streams.open == 1
    stream.connection.close()
    stream.answer.close()
    wait_until(lambda: streams.open == 0, "it is noticed")


@pytest.mark.parametrize(
    ("query", "field"),
    [("kind=nothing", "kind[0]"), ("wait_s=31", "wait_s"), ("cursor=zzz", "cursor")],
)
def test_a_wrong_query_names_its_field(house, query, field):
    answer = house.admin.get(f"/v1/changes?{query}")
    assert (answer.status, answer.json["param"]) == (422, field)


def test_levels_stand_behind_the_event_that_was_the_last_when_they_were_told(house, listed):
    house.receive(listed, 3)
    project(house)
    with house.services.pool.connection() as connection:
        start = feed.ends(connection)
    house.receive(listed, 4)
    project(house)
    house.receive(listed, 5)
    with house.services.pool.connection() as connection:
        upto = feed.ends(connection)
        found, end = feed.changes(connection, start, upto, 100)
    assert end == upto
    order = [type(one).__name__ for one in found]
    assert order == ["EventChange", "LevelChange", "EventChange"]
    assert found[0].after(start) == Position(start.sequence + 1, start.place)


def test_streams_and_long_polls_do_not_hold_up_the_end_of_the_server(database_url):
    """Else every restart would wait for the last of its followers."""
    with open_services(config_for(database_url), ["api"]) as services:
        web = WebServer(services, host="127.0.0.1", port=0)
        web.start()
        house = House(services, web)
        stream = Stream(house, "begin=now")
        waiting = threading.Thread(target=lambda: house.admin.get("/v1/changes?wait_s=30"))
        waiting.start()
        wait_until(lambda: len(services.bell._waiting) == 2, "both wait")
        began = time.perf_counter()
        web.stop()
        waiting.join()
        assert time.perf_counter() - began < 20, "neither was waited for"
        assert b"still here" in stream.answer.read()
        stream.connection.close()
