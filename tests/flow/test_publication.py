"""What channels show is brought to what they should show, whatever the partner does."""

import asyncio

import msgspec

from stockwright.flow import choosing
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.sdk.declaration import Patience
from stockwright.sdk.messages import Applied, InDoubt, Retry
from tests.flow.channels import (
    FAST,
    Shop,
    World,
    applied_but_500,
    crash,
    half,
    honest,
    in_doubt,
    link,
    refuse,
    set_stock,
)

LONG_DOUBT = msgspec.structs.replace(FAST, longest_apply_delay_s=60.0)


async def test_a_call_holds_no_more_levels_than_one_transaction_bears(
    world, projection, pool, shop, monkeypatch
):
    monkeypatch.setattr(choosing, "MOST_LEVELS", 2)
    publisher = Publisher(pool, shop, link(limits=msgspec.structs.replace(FAST, batch_size=10**6)))
    set_stock(world, projection, SKU_000=3, SKU_001=4, SKU_002=5)
    await publisher.step()
    await publisher.step()
    assert sorted(len(call) for call in shop.calls) == [1, 2]


async def test_a_level_is_sent_once_and_settled(world, projection, publisher, shop):
    set_stock(world, projection, SKU_000=10)
    assert await publisher.step() == 1
    assert await publisher.step() == 0
    assert shop.sent == [("SKU-000", 10)]
    level = world.level()
    assert (level["state"], level["acknowledged"]) == ("settled", 10)
    assert level["acknowledged_version"] == level["version"] == shop.versions["SKU-000"]
    assert world.rows("select version, value, outcome from attempt") == [
        (level["version"], 10, "acknowledged")
    ]


async def test_a_thousand_changes_of_one_number_become_one_call(world, projection, publisher, shop):
    for units in range(30):
        set_stock(world, projection, SKU_000=units)
    await publisher.step()
    assert shop.sent == [("SKU-000", 29)]
    assert world.rows("select count(*) from level_change") == [(30,)]


async def test_a_number_that_went_and_came_back_is_not_sent(world, projection, publisher, shop):
    set_stock(world, projection, SKU_000=10)
    await publisher.step()
    set_stock(world, projection, SKU_000=11)
    set_stock(world, projection, SKU_000=10)
    assert await publisher.step() == 0
    assert world.unsettled() == []


async def test_the_attempt_is_committed_before_the_bytes_leave(world, projection, publisher, shop):
    set_stock(world, projection, SKU_000=10)
    seen = []

    def look(shop, levels):
        seen.extend(world.rows("select value, outcome, deadline > started_at from attempt"))
        seen.append(world.level()["sent"])
        return honest(shop, levels)

    shop.behave(look)
    await publisher.step()
    assert seen == [(10, None, True), 10]


# ---------------------------------------------------------------- lanes


async def test_zeroes_and_decreases_go_before_increases(world, projection, pool, clock):
    shop = Shop()
    two = msgspec.structs.replace(FAST, batch_size=2)
    publisher = Publisher(pool, shop, link(limits=two, clock=clock))
    set_stock(world, projection, SKU_000=10, SKU_001=10, SKU_002=10)
    while await publisher.step():
        pass
    shop.calls.clear()
    clock.pass_s(1)
    set_stock(world, projection, SKU_000=90)
    clock.pass_s(1)
    set_stock(world, projection, SKU_001=9, SKU_002=0)
    await publisher.step()
    await publisher.step()
    assert [[one.quantity for one in call] for call in shop.calls] == [[9, 0], [90]]


async def test_a_zero_overtakes_the_first_load_of_a_catalogue(database_url, pool, clock):
    world = World(database_url, skus=6)
    projection = Projection(pool, clock=clock)
    shop = Shop()
    one = msgspec.structs.replace(FAST, batch_size=1)
    publisher = Publisher(pool, shop, link(limits=one, clock=clock))
    for sku in world.skus:
        world.stock(sku, 50)
    projection.step()
    clock.pass_s(1)
    set_stock(world, projection, SKU_005=0)
    await publisher.step()
    assert shop.sent == [("SKU-005", 0)]


async def test_a_known_decrease_overtakes_the_zeroes_of_a_first_load(database_url, pool, clock):
    world = World(database_url, skus=6)
    projection = Projection(pool, clock=clock)
    shop = Shop()
    one = msgspec.structs.replace(FAST, batch_size=1)
    publisher = Publisher(pool, shop, link(limits=one, clock=clock))
    set_stock(world, projection, SKU_005=50)
    await publisher.step()
    for sku in world.skus[:5]:
        world.stock(sku, 0)
    projection.step()
    clock.pass_s(1)
    set_stock(world, projection, SKU_005=49)
    for _ in range(3):
        await publisher.step()
    assert [quantity for _, quantity in shop.sent] == [50, 49, 0, 0]


async def test_a_tenth_of_the_budget_is_kept_for_aged_increases(database_url, pool, clock):
    world = World(database_url, skus=31)
    projection = Projection(pool, clock=clock)
    shop = Shop()
    one = msgspec.structs.replace(FAST, batch_size=1)
    publisher = Publisher(pool, shop, link(limits=one, clock=clock))
    world.run("update connection_state set increase_credit = 0")
    for sku in world.skus:
        world.stock(sku, 50)
    projection.step()
    while await publisher.step():
        pass
    clock.pass_s(1)
    set_stock(world, projection, SKU_030=60)  # one increase, which then waits
    clock.pass_s(60)
    world.run("update connection_state set increase_credit = 0")
    shop.calls.clear()
    for n in range(30):  # three times ten decreases keep coming
        world.stock(f"SKU-{n:03}", 40)
    projection.step()
    for _ in range(12):
        await publisher.step()
    sent = [quantity for _, quantity in shop.sent]
    assert sent.count(60) == 1
    assert 9 <= sent.index(60) <= 11
    assert set(sent) == {40, 60}


async def test_the_first_number_is_a_decrease_once_a_higher_one_is_in_doubt(
    world, projection, publisher, shop
):
    shop.behave(in_doubt)
    set_stock(world, projection, SKU_000=10)
    await publisher.step()
    set_stock(world, projection, SKU_000=4)
    assert world.level()["lane"] == "decrease", "the channel may be showing 10"


async def test_the_most_urgent_goes_first_within_each_lane(database_url, pool, clock):
    world = World(database_url, skus=6)
    projection = Projection(pool, clock=clock)
    shop = Shop()
    one = msgspec.structs.replace(FAST, batch_size=1)
    publisher = Publisher(pool, shop, link(limits=one, clock=clock))
    shown = {"SKU-000": 90, "SKU-001": 90, "SKU-002": 90, "SKU-003": 90, "SKU-004": 0}
    for sku, units in shown.items():
        world.stock(sku, units)
    projection.step()
    while await publisher.step():
        pass
    shop.calls.clear()
    # The longest due is the least urgent of its lane.
    for sku, units in (
        ("SKU-000", 91),
        ("SKU-004", 7),
        ("SKU-001", 80),
        ("SKU-002", 3),
        ("SKU-003", 0),
        ("SKU-005", 40),
    ):
        clock.pass_s(1)
        set_stock(world, projection, **{sku.replace("-", "_"): units})
    while await publisher.step():
        pass
    assert [quantity for _, quantity in shop.sent] == [0, 3, 80, 7, 91, 40]


async def test_a_number_that_keeps_falling_is_not_sent_to_the_end_of_its_queue(
    database_url, pool, clock
):
    world = World(database_url, skus=4)
    projection = Projection(pool, clock=clock)
    shop = Shop()
    one = msgspec.structs.replace(FAST, batch_size=1)
    publisher = Publisher(pool, shop, link(limits=one, clock=clock))
    for sku in world.skus:
        world.stock(sku, 90)
    projection.step()
    while await publisher.step():
        pass
    shop.calls.clear()
    for n, sku in enumerate(world.skus):
        clock.pass_s(1)
        set_stock(world, projection, **{sku.replace("-", "_"): 80})
        set_stock(world, projection, SKU_000=79 - n)
    await publisher.step()
    assert shop.sent == [("SKU-000", 76)]


async def test_a_listing_is_called_for_no_more_often_than_the_partner_allows(
    world, projection, pool, shop, clock
):
    """The plan is per listing and shared: the second worker keeps to what the first one did."""
    patience = Patience(listing_rest_s=30.0)
    workers = [
        Publisher(pool, shop, msgspec.structs.replace(link(clock=clock), patience=patience))
        for _ in range(2)
    ]
    set_stock(world, projection, SKU_000=10)
    sent_at = []
    for second in range(0, 100, 5):
        set_stock(world, projection, SKU_000=500 - second)
        set_stock(world, projection, SKU_001=second)
        for worker in workers:
            before = len(shop.calls)
            await worker.step()
            if any(one.listing == "SKU-000" for call in shop.calls[before:] for one in call):
                sent_at.append(second)
        clock.pass_s(5)
    assert sent_at == [0, 30, 60, 90]
    assert shop.shows["SKU-000"] == 500 - 90


# ---------------------------------------------------------------- in doubt


async def test_a_job_without_an_end_is_a_failure_and_a_work_item_until_it_ends(
    world, projection, pool, shop, clock
):
    patience = Patience(longest_job_s=100.0)
    publisher = Publisher(pool, shop, msgspec.structs.replace(link(clock=clock), patience=patience))
    set_stock(world, projection, SKU_000=10)
    job = InDoubt(reason="feed 7 is at work", retry_after_s=60.0, taken=True)
    shop.behave(*[lambda shop, levels: [job for _ in levels]] * 4)
    items = "select subject, detail ->> 'message', closed_at is null from work_item"
    for _ in range(2):
        assert await publisher.step() == 1
        clock.pass_s(61)
    assert (world.level()["attempts"], world.rows(items)) == (0, [])
    for _ in range(2):
        assert await publisher.step() == 1
        clock.pass_s(61)
    assert world.level()["attempts"] == 2
    assert world.rows(items) == [("WEB", "at work for too long: feed 7 is at work", True)]
    await publisher.step()
    assert world.unsettled() == []
    assert not world.rows(items)[0][2]


async def test_a_partner_at_work_on_all_of_a_call_has_not_failed(
    world, projection, publisher, shop, clock
):
    set_stock(world, projection, SKU_000=10)
    job = InDoubt(reason="the job is at work", retry_after_s=30.0, taken=True)
    shop.behave(*[lambda shop, levels: [job for _ in levels]] * 4)
    for _ in range(4):
        assert await publisher.step() == 1
        assert await publisher.step() == 0
        clock.pass_s(31)
    (state,) = world.rows("select circuit, failures from connection_state")
    assert state == ("closed", 0)
    assert world.level()["attempts"] == 0
    await publisher.step()
    assert world.level()["acknowledged"] == 10


async def test_a_job_is_asked_after_before_more_increases_are_sent(
    world, projection, pool, shop, clock
):
    """A partner works on so many jobs at one time only: those that are done make room."""
    one_a_call = msgspec.structs.replace(FAST, batch_size=1)
    publisher = Publisher(pool, shop, link(limits=one_a_call, clock=clock))
    set_stock(world, projection, SKU_000=10, SKU_001=20, SKU_002=30)
    job = InDoubt(reason="the job is at work", retry_after_s=30.0, taken=True)
    shop.behave(lambda shop, levels: [job for _ in levels])
    await publisher.step()
    (asked,) = shop.calls[0]
    clock.pass_s(31)
    await publisher.step()
    assert [one.listing for one in shop.calls[1]] == [asked.listing]


async def test_a_number_in_doubt_is_asserted_again_once_it_can_no_longer_be_applied(
    world, projection, pool, shop, clock
):
    publisher = Publisher(pool, shop, link(limits=LONG_DOUBT, clock=clock))
    set_stock(world, projection, SKU_000=10)
    shop.behave(in_doubt)
    await publisher.step()
    set_stock(world, projection, SKU_000=4)
    clock.pass_s(5)
    await publisher.step()
    level = world.level()
    assert (level["acknowledged"], level["state"]) == (4, "due"), "10 may still overwrite the 4"
    assert await publisher.step() == 0
    shop.shows["SKU-000"] = 10  # and so it does
    clock.pass_s(120)
    assert await publisher.step() == 1
    assert shop.shows == {"SKU-000": 4}
    assert world.unsettled() == []


async def test_applied_but_answered_500_ends_settled(world, projection, publisher, shop, clock):
    shop.behave(applied_but_500)
    set_stock(world, projection, SKU_000=10)
    await publisher.step()
    assert world.level()["acknowledged"] is None
    clock.pass_s(10)
    await publisher.step()
    assert world.unsettled() == [], "the same number twice leaves no doubt"
    assert shop.sent == [("SKU-000", 10), ("SKU-000", 10)]


async def test_a_bug_in_a_connector_leaves_the_numbers_in_doubt(
    world, projection, publisher, shop, clock
):
    shop.behave(crash)
    set_stock(world, projection, SKU_000=10)
    await publisher.step()
    level = world.level()
    assert (level["doubt_low"], level["doubt_high"]) == (10, 10)
    assert "a bug in the connector" in level["last_error"]


async def test_answers_that_do_not_match_the_question_prove_nothing(
    world, projection, publisher, shop
):
    shop.behave(lambda shop, levels: [Applied()])
    set_stock(world, projection, SKU_000=10, SKU_001=20)
    await publisher.step()
    assert [row[4] for row in world.unsettled()] == [None, None]


async def test_a_partner_that_never_answers_is_given_up(world, projection, pool, shop, clock):
    hasty = msgspec.structs.replace(FAST, timeout_s=0.05)
    publisher = Publisher(pool, shop, link(limits=hasty, clock=clock, lease_margin_s=0.2))
    shop.gate = asyncio.Event()
    set_stock(world, projection, SKU_000=10)
    await publisher.step()
    level = world.level()
    assert (level["state"], level["doubt_high"]) == ("due", 10)
    assert level["last_error"] == "no answer in time"


# ---------------------------------------------------------------- what is acknowledged


async def test_the_sent_version_is_acknowledged_never_the_newest(
    world, projection, publisher, shop
):
    set_stock(world, projection, SKU_000=10)
    sent = world.level()["version"]

    def meanwhile(shop, levels):
        set_stock(world, projection, SKU_000=3)
        return honest(shop, levels)

    shop.behave(meanwhile)
    await publisher.step()
    level = world.level()
    assert (level["acknowledged"], level["acknowledged_version"]) == (10, sent)
    assert (level["desired"], level["state"], level["lane"]) == (3, "due", "decrease")
    assert level["version"] > sent
    await publisher.step()
    assert shop.shows == {"SKU-000": 3}


async def test_a_failed_level_is_superseded_never_replayed(
    world, projection, publisher, shop, clock
):
    shop.behave(in_doubt)
    set_stock(world, projection, SKU_000=10)
    await publisher.step()
    set_stock(world, projection, SKU_000=7)
    set_stock(world, projection, SKU_000=12)
    clock.pass_s(60)
    await publisher.step()
    assert shop.sent == [("SKU-000", 10), ("SKU-000", 12)]


async def test_the_half_of_a_batch_that_failed_comes_again_alone(
    world, projection, publisher, shop, clock
):
    set_stock(world, projection, SKU_000=1, SKU_001=2, SKU_002=3)
    shop.behave(half)
    await publisher.step()
    clock.pass_s(60)
    await publisher.step()
    assert shop.sent[3:] == [("SKU-001", 2)]
    assert world.unsettled() == []


async def test_retries_wait_longer_each_time_and_with_chance(
    world, projection, publisher, shop, clock
):
    set_stock(world, projection, SKU_000=10)
    shop.behave(*[half_refusing] * 4)
    waits = []
    for _ in range(4):
        await publisher.step()
        due = world.level()["due_at"]
        waits.append((due - clock.now).total_seconds())
        assert await publisher.step() == 0, "not before its time"
        clock.now = due
    for n, wait_s in enumerate(waits):
        assert 0.25 * 2**n <= wait_s <= 0.5 * 2**n
    assert len({wait_s / 2**n for n, wait_s in enumerate(waits)}) == 4, "chance moves each"


def half_refusing(shop, levels):
    return [Retry(retry_after_s=0.0, reason="locked") for _ in levels]


async def test_a_failed_compare_and_set_tells_what_is_shown(
    world, projection, publisher, shop, clock
):
    set_stock(world, projection, SKU_000=10)
    await publisher.step()
    set_stock(world, projection, SKU_000=12)
    shop.behave(lambda shop, levels: [Retry(retry_after_s=0.0, reason="changed", shown=15)])
    await publisher.step()
    level = world.level()
    assert (level["acknowledged"], level["lane"]) == (15, "decrease")
    clock.pass_s(60)
    await publisher.step()
    assert [one.expected for call in shop.calls for one in call] == [None, 10, 15]


async def test_no_number_is_compared_with_while_a_call_is_in_doubt(
    world, projection, pool, shop, clock
):
    """Ten were shown, and six may be: who compares with either would be wrong."""
    publisher = Publisher(pool, shop, link(limits=LONG_DOUBT, clock=clock))
    set_stock(world, projection, SKU_000=10)
    await publisher.step()
    set_stock(world, projection, SKU_000=6)
    shop.behave(in_doubt)
    await publisher.step()
    set_stock(world, projection, SKU_000=4)
    for seconds in (5, 120):
        clock.pass_s(seconds)
        assert await publisher.step() == 1
    assert world.unsettled() == []
    set_stock(world, projection, SKU_000=3)
    await publisher.step()
    assert [one.expected for call in shop.calls for one in call] == [None, 10, None, None, 4]


class Comparing(Shop):
    """Takes a number only from who knows what is shown; sells one unit before every call."""

    def __init__(self) -> None:
        super().__init__()
        self.sold = 0

    async def publish(self, levels):
        self.calls.append(list(levels))
        answers = []
        for level in levels:
            if level.listing in self.shows and self.sold < 5:
                self.shows[level.listing] -= 1
                self.sold += 1
            shown = self.shows.get(level.listing)
            if level.expected is not None and level.expected != shown:
                answers.append(Retry(retry_after_s=0.0, reason="stale", shown=shown))
            else:
                answers.append(self.apply(level))
        return answers


async def test_a_fast_seller_is_lowered_by_force_after_three_tries_and_never_sells_its_own_twice(
    world, projection, pool, clock
):
    """Twenty are shown, eight go elsewhere, and the channel sells one before every call."""
    shop = Comparing()
    publisher = Publisher(pool, shop, link(clock=clock))
    set_stock(world, projection, SKU_000=20)
    await publisher.step()
    set_stock(world, projection, SKU_000=12)
    for _ in range(4):
        assert await publisher.step() == 1
        clock.pass_s(10)
    tries = [(one.expected, one.quantity) for call in shop.calls[1:] for one in call]
    # What it went down by while we compared may not be in the twelve yet: 17 -> 3 of it.
    assert tries == [(20, 12), (19, 12), (18, 12), (None, 9)]
    level = world.level()
    assert (level["acknowledged"], level["doubted"]) == (9, True)
    assert await publisher.step() == 0, "the rest waits until its orders may be known"
    set_stock(world, projection, SKU_000=7)  # its five orders arrive
    clock.pass_s(150)
    while await publisher.step():
        clock.pass_s(10)
    assert shop.shows == {"SKU-000": 7}
    assert world.unsettled() == []


async def test_a_later_write_at_the_partner_stays_and_is_written_over_by_a_later_version(
    world, projection, publisher, shop, clock
):
    set_stock(world, projection, SKU_000=10)
    ahead = world.level()["version"] + 5_000
    shop.behave(lambda shop, levels: [Applied(shown=33, version=ahead)])
    await publisher.step()
    level = world.level()
    assert (level["acknowledged"], level["version"]) == (33, ahead + 1)
    assert level["state"] == "due"
    clock.pass_s(60)
    await publisher.step()
    assert shop.versions == {"SKU-000": ahead + 1}
    assert world.unsettled() == []


# ---------------------------------------------------------------- refusals


async def test_a_refused_number_waits_for_another_one_and_its_cause_is_one_work_item(
    world, projection, publisher, shop, clock
):
    set_stock(world, projection, SKU_000=1, SKU_001=2)
    shop.behave(refuse("listing_closed"))
    await publisher.step()
    clock.pass_s(3600)
    assert await publisher.step() == 0, "the same number is never sent again"
    items = "select kind, subject, system, closed_at is null from work_item"
    assert world.rows(items) == [("publication_refused", "WEB: listing_closed", "WEB", True)]

    set_stock(world, projection, SKU_000=5)
    await publisher.step()
    assert world.rows(items)[0][3], "SKU-001 is still refused"
    set_stock(world, projection, SKU_001=6)
    await publisher.step()
    assert not world.rows(items)[0][3]
    assert world.unsettled() == []


async def test_refused_numbers_go_again_once_a_person_closed_the_work_item_of_their_cause(
    world, projection, publisher, shop
):
    set_stock(world, projection, SKU_000=1, SKU_001=2)
    shop.behave(refuse("no such listing"))
    await publisher.step()
    set_stock(world, projection, SKU_002=3)
    shop.behave(refuse("another cause"))
    await publisher.step()
    assert await publisher.step() == 0
    world.run(
        "update work_item set closed_at = now(), closed_by = 'a person', closed_why = 'listed' "
        "where subject = 'WEB: no such listing'"
    )
    await publisher.step()
    await publisher.step()
    assert shop.shows == {"SKU-000": 1, "SKU-001": 2}
