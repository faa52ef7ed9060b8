"""On simulated time: a zero overtakes a mountain of increases; no partner gets too many calls."""

import random
from bisect import bisect_left

import msgspec
import pytest

from stockwright.domain.errors import Throttled
from stockwright.domain.levels import Level
from stockwright.flow.calls import Call, promise_call
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.sdk.messages import Applied, InDoubt, ShownLevel
from stockwright.sdk.transports import HttpRequest, HttpResponse, InMemory
from stockwright.store.connection import Pool
from tests.flow.channels import FAST, Clock, Shop, World, honest, link

BULK = 50_000
CALL_S = 2.0


@pytest.fixture
def pool(database_url):
    with Pool(database_url, size=6) as pool:
        yield pool


def pile_up(world, clock, count=BULK, channel="WEB"):
    """So many listings wait to be raised from 5 to 50; the longest due first."""
    world.run(
        "insert into level (channel, listing, desired, version, sequence, projected_at, state,"
        " lane, due_at, waiting_since, acknowledged, acknowledged_version)"
        " select %s, 'BULK-' || n, 50, 2, 1, %s, 'due', 'increase', %s, %s, 5, 1"
        " from generate_series(1, %s) as n",
        channel,
        *[clock.now] * 3,
        count,
    )


class Slow(Shop):
    """Every call takes CALL_S of simulated time; `on_call` happens in its middle."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.on_call = {}
        self.began = []

    async def publish(self, levels):
        self.began.append(self.clock.now)
        self.calls.append(list(levels))
        self.clock.pass_s(CALL_S / 2)
        self.on_call.pop(len(self.calls), lambda: None)()
        self.clock.pass_s(CALL_S / 2)
        return honest(self, list(levels))


async def test_a_zero_reaches_the_channel_within_a_call_s_time_though_50_000_increases_wait(
    database_url, pool
):
    """The call under way ends, and the next one carries the zero, whichever worker makes it."""
    world, clock = World(database_url, skus=1), Clock()
    shop = Slow(clock)
    one_at_a_time = msgspec.structs.replace(FAST, batch_size=100, concurrency=1, timeout_s=30.0)
    workers = [Publisher(pool, shop, link(clock=clock, limits=one_at_a_time)) for _ in range(3)]
    projection = Projection(pool, clock=clock)
    world.stock("SKU-000", 8)
    projection.step()
    await workers[0].step()
    pile_up(world, clock)
    sold_out_at = []

    def sell_out():
        world.stock("SKU-000", 0)
        projection.step()
        sold_out_at.append(clock.now)

    shop.on_call[5] = sell_out
    for n in range(10):
        await workers[n % 3].step()
    assert all(len(call) == 100 for call in shop.calls[1:])
    zeroes = [any(one.quantity == 0 for one in call) for call in shop.calls]
    carried = zeroes.index(True)
    assert carried == 5, "the very next call"
    waited_s = (shop.began[carried] - sold_out_at[0]).total_seconds()
    assert waited_s <= CALL_S
    left = world.rows("select count(*) from level where state = 'due'")[0][0]
    assert left == BULK - (10 * 100 - 1), "increases fill what room is left, and nothing is lost"


async def test_a_zero_of_one_channel_does_not_wait_for_what_others_are_raised_by(
    database_url, pool
):
    """Five channels of one connection, each with more to be raised than a call holds."""
    codes = ("DE", "FR", "IT", "ES", "PL")
    world, clock = World(database_url, codes, skus=1), Clock()
    shop = Slow(clock)
    limits = msgspec.structs.replace(FAST, batch_size=10, concurrency=1, timeout_s=30.0)
    worker = Publisher(pool, shop, link(*codes, clock=clock, limits=limits))
    projection = Projection(pool, clock=clock)
    world.stock("SKU-000", 8)
    projection.step()
    while await worker.step():
        pass
    for code in codes:
        pile_up(world, clock, 100, code)
    shop.calls.clear()
    world.run("delete from listing_component where channel <> 'PL'")
    world.run("delete from level where listing = 'SKU-000' and channel <> 'PL'")
    await worker.step()
    world.stock("SKU-000", 0)
    projection.step()
    for _ in range(6):
        await worker.step()
    channels = [call[0].channel for call in shop.calls]
    assert shop.calls[1][0].channel == "PL"
    assert any(one.quantity == 0 for one in shop.calls[1]), "in the very next call"
    assert sorted(channels[:1] + channels[2:6]) == sorted(codes), "and then the turns go on"


async def test_a_stream_of_decreases_of_one_channel_leaves_the_others_a_tenth(database_url, pool):
    world, clock = World(database_url, ("DE", "FR"), skus=1), Clock()
    shop = Slow(clock)
    limits = msgspec.structs.replace(FAST, batch_size=10, concurrency=1, timeout_s=30.0)
    worker = Publisher(pool, shop, link("DE", "FR", clock=clock, limits=limits))
    for code in ("DE", "FR"):
        pile_up(world, clock, 400, code)
    world.run("update level set lane = 'decrease', desired = 1 where channel = 'DE'")
    for _ in range(33):
        await worker.step()
    channels = [call[0].channel for call in shop.calls]
    assert channels.count("FR") == 3
    assert channels[:2] == ["DE", "DE"]


class Strict(Shop):
    """A partner that counts its calls of all kinds by the second, and punishes one too many."""

    def __init__(self, clock, chance):
        super().__init__()
        self.clock = clock
        self.chance = chance
        self.at = []

    def count(self):
        self.at.append(self.clock.now.timestamp())
        if self.chance.random() < 0.02:
            raise Throttled("someone else uses the account too", retry_after_s=40.0)

    async def publish(self, levels):
        self.count()
        return honest(self, list(levels))

    async def read_back(self, keys):
        self.count()
        return [
            ShownLevel(listing=key.listing, quantity=self.shows.get(key.listing, 0)) for key in keys
        ]


async def test_a_partner_never_gets_more_calls_in_an_hour_than_its_plan_whoever_makes_them(
    database_url, pool
):
    """Three workers send, read back and poll for an hour; their budget is one row."""
    world, clock, chance = World(database_url, skus=1), Clock(), random.Random(7)
    plan = msgspec.structs.replace(FAST, batch_size=2, calls_per_s=0.1, burst=4)
    shop = Strict(clock, chance)
    links = [link(clock=clock, limits=plan, seed=n) for n in range(3)]
    workers = [Publisher(pool, shop, one) for one in links]
    pile_up(world, clock, 2_000)
    polls = []
    for n in range(600):
        worker = workers[n % 3]
        await (worker.verify() if n % 10 == 9 else worker.step())
        if n % 60 == 0:
            with pool.connection() as connection:
                wait_s = promise_call(connection, "WEB", plan, clock=clock)
            polls.append(clock.now.timestamp() + wait_s)
        clock.pass_s(6 * 2 * chance.random())
    assert len(polls) == 10
    made = sorted(shop.at + polls)
    began = made[0]
    for n, at in enumerate(made):
        for earlier in range(n):
            window_s = at - made[earlier]
            assert n - earlier + 1 <= plan.burst + plan.calls_per_s * window_s + 1e-6
    hour = [at for at in made if at - began <= 3_600]
    assert len(hour) <= plan.burst + plan.calls_per_s * 3_600
    assert len(hour) > 200, "and the plan is made use of"


class Chatty(Strict):
    """A partner whose every verb takes several HTTP calls, as a look-up before it, or by halves."""

    def __init__(self, clock, chance):
        super().__init__(clock, chance)
        self.http = InMemory(self.answer)

    async def answer(self, _request):
        self.at.append(self.clock.now.timestamp())
        return HttpResponse(status=200)

    async def call(self, times):
        for _ in range(times):
            await self.http.send(HttpRequest(method="GET", url="http://chatty.example/"))

    async def publish(self, levels):
        await self.call(self.chance.randint(1, MOST_CALLS))
        return honest(self, list(levels))

    async def read_back(self, keys):
        await self.call(2)
        return [
            ShownLevel(listing=key.listing, quantity=self.shows.get(key.listing, 0)) for key in keys
        ]


MOST_CALLS = 6
ALLOWED = msgspec.structs.replace(FAST, batch_size=2, calls_per_s=0.1, burst=4, concurrency=1)


def chatting(pool, shop, clock):
    """Three workers that share its plan."""
    links = [link(clock=clock, limits=ALLOWED, seed=n) for n in range(3)]
    return [Publisher(pool, shop, one) for one in links]


async def test_every_call_counts_that_a_verb_makes_not_the_verb(database_url, pool):
    """What a verb made beyond the call it was given is earned before the next begins, so that the
    plan is exceeded by what one verb makes and never by more.
    """
    world, clock, chance = World(database_url, skus=1), Clock(), random.Random(7)
    shop = Chatty(clock, chance)
    workers = chatting(pool, shop, clock)
    pile_up(world, clock, 1_000)
    began = clock.now.timestamp()
    for n in range(300):
        worker = workers[n % 3]
        await (worker.verify() if n % 10 == 9 else worker.step())
        clock.pass_s(12 * 2 * chance.random())
    hour = [at - began for at in shop.at if at - began <= 3_600]
    allowed = ALLOWED.burst + ALLOWED.calls_per_s * 3_600 + MOST_CALLS - 1
    assert 0.7 * allowed < len(hour) <= allowed, "and the plan is made use of"
    for n, at in enumerate(hour):
        for earlier in hour[:n:7]:
            most = ALLOWED.burst + ALLOWED.calls_per_s * (at - earlier) + MOST_CALLS - 1
            assert n - bisect_left(hour, earlier) + 1 <= most + 1e-6


async def test_a_connection_that_paces_itself_is_counted_by_verbs(database_url, pool):
    world, clock = World(database_url, skus=1), Clock()
    shop = Chatty(clock, random.Random(7))
    shop.paces_itself = True
    workers = chatting(pool, shop, clock)
    pile_up(world, clock, 100)
    sent = [await workers[n % 3].step() for n in range(6)]
    assert [bool(levels) for levels in sent] == [True] * ALLOWED.burst + [False] * 2
    assert len(shop.at) > ALLOWED.burst + ALLOWED.calls_per_s


class OneByOne(Shop):
    """A partner that takes a call for each level of a batch, as variations of many parents do."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.zero_at = None
        self.made = 0

        async def answer(_request):
            self.made += 1
            return HttpResponse(status=200)

        self.http = InMemory(answer)

    async def publish(self, levels):
        for level in levels:
            await self.http.send(HttpRequest(method="PUT", url="http://shop.example/"))
            if level.quantity == 0:
                self.zero_at = self.clock.now
        return honest(self, list(levels))


class Breaking(OneByOne):
    """Breaks off a batch at its first call, for as long as it is down."""

    down = False

    async def publish(self, levels):
        if self.down:
            await self.http.send(HttpRequest(method="PUT", url="http://shop.example/"))
            return [InDoubt(reason="http_500", retry_after_s=0.0) for _ in levels]
        return await super().publish(levels)


async def test_what_a_level_takes_is_not_forgotten_while_the_partner_is_down(database_url, pool):
    world, clock = World(database_url, skus=1), Clock()
    shop = Breaking(clock)
    plan = msgspec.structs.replace(FAST, batch_size=100, calls_per_s=5.0, burst=10, concurrency=1)
    worker = Publisher(pool, shop, link(clock=clock, limits=plan))
    pile_up(world, clock, 1_000)

    async def work(calls):
        for _ in range(calls):
            while not await worker.step():
                clock.pass_s(1.0)

    await work(8)
    known = worker.link.more_a_level
    shop.down = True
    await work(5)
    assert worker.link.more_a_level == known > 0.5


async def test_increases_do_not_trickle_out_beside_jobs_that_are_asked_about(database_url, pool):
    """A handful beside jobs would be a call, or a job, of its own: the plan was full of those."""
    world, clock, shop = World(database_url, skus=1), Clock(), Shop()
    plan = msgspec.structs.replace(FAST, batch_size=20, concurrency=1)
    worker = Publisher(pool, shop, link(clock=clock, limits=plan))
    pile_up(world, clock, 400)
    job = InDoubt(reason="the job is at work", retry_after_s=5.0, taken=True)
    begun, fresh = {}, []

    def works(shop, levels):
        new = [one.listing for one in levels if one.listing not in begun]
        begun.update(dict.fromkeys(new, clock.now))
        fresh.append((len(new), len(levels)))
        done = [(clock.now - begun[one.listing]).total_seconds() >= 5 for one in levels]
        return [Applied() if ended else job for ended in done]

    shop.behave(*[works] * 200)
    while world.unsettled():
        await worker.step()
        clock.pass_s(0.5)
    assert all(new == 0 or new >= 10 for new, _ in fresh)
    assert len(fresh) <= 40 + 20, "400 are sent in 20 calls, and asked about in a few more"


@pytest.mark.parametrize(("job", "learnt"), [(True, 0.0), (False, 5.0)])
def test_asking_about_jobs_says_nothing_of_what_a_level_takes(pool, job, learnt):
    """A call for each job, however many levels it carries: batches shrank, and jobs became many."""
    clock = Clock()
    worker = Publisher(pool, OneByOne(clock), link(clock=clock, limits=FAST))
    level = Level(
        channel="WEB", listing="L", location="", desired=1, version=1, sequence=1,
        projected_at=clock.now, due_at=clock.now, waiting_since=clock.now, job=job,
    )  # fmt: skip
    worker._learn(Call(1, (level,), clock.now), [Applied()], 10)
    assert worker.link.more_a_level == learnt


async def test_a_zero_does_not_wait_for_the_calls_of_a_large_batch_to_be_earned(database_url, pool):
    """Batches of increases shrink to half a burst of calls; as many levels go as before."""
    world, clock = World(database_url, skus=1), Clock()
    shop = OneByOne(clock)
    plan = msgspec.structs.replace(FAST, batch_size=100, calls_per_s=5.0, burst=10, concurrency=1)
    worker = Publisher(pool, shop, link(clock=clock, limits=plan))
    projection = Projection(pool, clock=clock)
    world.stock("SKU-000", 8)
    projection.step()
    await worker.step()
    pile_up(world, clock, 2_000)
    clock.pass_s(2)

    async def work(seconds):
        for _ in range(int(seconds * 10)):
            if not await worker.step():
                clock.pass_s(0.1)

    await work(60)
    before, began = shop.made, clock.now
    await work(20)
    took_s = (clock.now - began).total_seconds()
    assert shop.made - before >= 0.9 * plan.calls_per_s * took_s, "the plan is made use of"
    world.stock("SKU-000", 0)
    projection.step()
    due_at = clock.now
    await work(30)
    assert shop.zero_at is not None
    waited_s = (shop.zero_at - due_at).total_seconds()
    assert waited_s <= plan.burst / 2 / plan.calls_per_s + 0.2
