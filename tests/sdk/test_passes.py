"""A poll of what changed, over a list that changes while it is read."""

import datetime as dt
import random

import msgspec
import pytest

from stockwright.domain.errors import Throttled, Transient
from stockwright.sdk import passes
from stockwright.sdk.passes import Cursor

BEGIN = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
SIZE = 3


def text(seconds):
    return (BEGIN + dt.timedelta(seconds=seconds)).isoformat()


def earlier(last):
    return (dt.datetime.fromisoformat(last) - dt.timedelta(seconds=2)).isoformat()


class Listing:
    """Things with a number, the second of their last change, and a state."""

    def __init__(self):
        self.now = 0
        self.things = {}
        self.heard = {}
        self.refuse = False

    def change(self, number):
        state = self.things.get(number, {"state": 0})["state"] + 1
        self.things[number] = {"n": number, "at": text(self.now), "state": state}

    async def message(self, row):
        if self.refuse:
            raise Throttled("too many", 1.0)
        return msgspec.json.encode(row.fields)

    async def read(self, cursor):
        rows = [one for one in self.things.values() if one["at"] >= cursor.since]
        rows.sort(key=lambda one: (one["at"], one["n"]))
        some = rows[(cursor.page - 1) * SIZE :][:SIZE]
        found = await passes.tell(
            cursor,
            [passes.row_of(msgspec.Raw(msgspec.json.encode(one)), "n", "at", str) for one in some],
            self.message,
            more=len(some) == SIZE,
            within_s=1.0,
            earlier=earlier,
        )
        for one in map(msgspec.json.decode, found.messages):
            assert self.heard.get(one["n"], 0) <= one["state"], "an older state came later"
            self.heard[one["n"]] = one["state"]
        text_of_it = msgspec.json.encode(found.cursor).decode()
        return found, passes.cursor_of(text_of_it, Cursor, Cursor(""))


@pytest.mark.parametrize("seed", range(20))
async def test_every_last_state_is_told_however_the_list_moves_between_pages(seed):
    chance = random.Random(seed)
    listing, cursor = Listing(), passes.cursor_of("", Cursor, Cursor(text(-10)))
    for _ in range(40):
        for _ in range(chance.randint(0, 4)):
            listing.change(chance.randint(1, 12))
        listing.now += chance.choice((0, 0, 1, 5))
        _, cursor = await listing.read(cursor)
    await until_complete(listing, cursor)
    assert listing.heard == {number: one["state"] for number, one in listing.things.items()}


@pytest.mark.parametrize("seed", range(20))
async def test_a_quiet_partner_is_asked_for_nothing_twice(seed):
    """Though every pass begins a little earlier than the last one ended."""
    chance = random.Random(seed)
    listing = Listing()
    for number in range(12):
        listing.now += chance.choice((0, 0, 1))
        listing.change(number)
    first, cursor = await until_complete(listing, Cursor(text(-10)))
    assert sorted(first) == sorted(listing.things)
    assert (await until_complete(listing, cursor))[0] == []


async def until_complete(listing, cursor):
    """What is told until there is no more, by its numbers, and the cursor then."""
    told = []
    for _ in range(100):
        found, cursor = await listing.read(cursor)
        told += [msgspec.json.decode(body)["n"] for body in found.messages]
        if found.complete:
            return told, cursor
    raise AssertionError("the poll comes to no end")


async def test_a_partner_that_wants_silence_is_told_as_such_and_the_rest_is_listed_again():
    listing = Listing()
    for number in (1, 2):
        listing.change(number)
    listing.refuse = True
    with pytest.raises(Throttled):
        await listing.read(Cursor(text(-10)))
    listing.refuse = False
    found, _ = await listing.read(Cursor(text(-10)))
    assert (len(found.messages), found.complete) == (2, True)


def test_what_is_no_cursor_and_no_row_is_refused():
    with pytest.raises(Transient, match="cursor"):
        passes.cursor_of("{}", Cursor, Cursor(""))
    with pytest.raises(Transient, match="cannot be read"):
        passes.row_of(msgspec.Raw(b'{"n": "x", "at": ""}'), "n", "at", str)
