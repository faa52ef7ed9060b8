"""A connection that waits after failures is tried again at once where an operator wants it."""

import pytest

from stockwright.domain.errors import Misconfigured, Rejected, Throttled
from stockwright.flow import retrying
from stockwright.flow.polling import Poller
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.store import connecting as store
from stockwright.store.connection import Listener
from stockwright.store.session import session
from tests.flow.channels import Shop, link, misconfigured, set_stock, throttle
from tests.flow.test_polling import Partner


@pytest.fixture
def retry(pool):
    def call(system="WEB", why="their firewall was mended"):
        with session(pool) as connection:
            return retrying.retry(connection, system, actor="user ada", why=why)

    return call


def log(world):
    return world.rows(
        "select actor, subject, detail from change_log where action = 'connection.retry'"
    )


async def failed_poll(pool, fault):
    """A partner whose last poll failed so."""
    partner = Partner([])
    partner.faults = [fault]
    await Poller(pool, worker="p1").poll("WEB", partner)
    return partner


async def opened(world, pool):
    """A shop whose token was refused, and its publisher: its circuit is open."""
    shop = Shop()
    publisher = Publisher(pool, shop, link())
    set_stock(world, Projection(pool), SKU_000=3)
    shop.behave(misconfigured)
    await publisher.step()
    assert world.rows("select circuit from connection_state") == [("open",)]
    shop.calls.clear()
    return shop, publisher


async def test_a_poll_that_waits_five_minutes_is_made_at_once(world, pool, retry):
    partner = await failed_poll(pool, Misconfigured("token", "401"))
    poller = Poller(pool, worker="p2")
    assert await poller.poll("WEB", partner) is None, "it waits"
    found = retry(why="  the token is mended ")
    assert (found.changed, found.turns.reading.state) == (True, "at_once")
    assert found.turns.reading.error == "401"
    assert (await poller.poll("WEB", partner)).complete
    detail = {"why": "the token is mended", "reading": True, "sending": False}
    assert log(world) == [("user ada", "WEB", detail)]


async def test_what_waits_for_nothing_is_left_alone_and_not_logged(world, pool, retry):
    assert not retry().changed, "nobody asked it yet"
    await failed_poll(pool, Misconfigured("token", "401"))
    assert retry().changed
    again = retry()
    assert (again.changed, again.turns.reading.state) == (False, "due")
    assert len(log(world)) == 1


async def test_a_poll_under_way_and_one_that_waits_for_its_turn_in_the_plan_are_left_alone(
    world, pool, retry
):
    await failed_poll(pool, Throttled("no call of the plan is left", 120.0))
    found = retry()
    assert (found.changed, found.turns.reading.state) == (False, "held")
    ((before,),) = world.rows("select due_at from poll_cursor")
    assert found.turns.reading.until == before
    world.run("update poll_cursor set held_until = null, lease_until = now() + interval '1 minute'")
    assert (retry().changed, retry().turns.reading.state) == (False, "under_way")
    assert world.rows("select due_at from poll_cursor") == [(before,)]


async def test_the_probe_of_an_open_circuit_leaves_at_once_and_publishers_are_woken(
    world, pool, retry
):
    shop, publisher = await opened(world, pool)
    world.run("update connection_state set retry_at = now() + interval '1 hour'")
    assert await publisher.step() == 0
    assert shop.calls == [], "the circuit is open, and waits"
    with Listener(world.url, "stockwright_levels") as listener:
        listener.wait(0)
        found = retry()
        assert listener.wait(10) == [("stockwright_levels", "WEB")]
    assert (found.changed, found.turns.sending.state) == (True, "at_once")
    assert found.turns.sending.error.endswith("the token was refused")
    assert await publisher.step() > 0
    assert shop.shows["SKU-000"] == 3
    assert world.rows("select circuit, failures from connection_state") == [("closed", 0)]


async def test_a_silence_that_the_partner_asked_for_is_kept(world, pool, retry):
    shop, publisher = await opened(world, pool)
    world.run("update connection_state set retry_at = null")
    shop.behave(throttle)
    await publisher.step()
    ((before,),) = world.rows("select retry_at from connection_state")
    found = retry()
    assert (found.changed, found.turns.sending.state) == (False, "held")
    assert found.turns.sending.until == before
    assert world.rows("select retry_at from connection_state") == [(before,)]


async def test_a_paused_channel_is_not_probed(world, pool, retry):
    await opened(world, pool)
    world.run("insert into channel_pause (channel, paused_by, why) values ('WEB', 'ada', 'rest')")
    world.run("update connection_state set retry_at = now() + interval '1 hour'")
    found = retry()
    assert (found.changed, found.turns.sending.state) == (False, "paused")


def test_a_retry_needs_a_reason_a_connection_and_one_that_is_in_use(world, pool, retry):
    with pytest.raises(Rejected, match="Say why"):
        retry(why=" ")
    with pytest.raises(Rejected, match="No system 'ERP' has a connector"):
        retry("ERP")
    with session(pool) as connection:
        store.set_stage(connection, "WEB", "added", actor="cli ann")
    with pytest.raises(Rejected, match="not in shadow yet") as refused:
        retry()
    assert refused.value.reason == "not_ready"
    assert log(world) == []
