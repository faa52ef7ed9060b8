"""A partner that gave up telling us by webhook is asked to go on, and a person is told of it."""

import asyncio

import pytest

from stockwright.domain.errors import Misconfigured, Transient
from stockwright.flow.watching_webhooks import WebhookWatch
from stockwright.sdk.messages import WebhookOff
from stockwright.store.connecting import set_stage
from stockwright.store.session import session
from tests.flow.channels import FAST

ORDERS = WebhookOff(topic="order.created", on_again=True)


class Partner:
    """Tells of its webhooks what a test wants, or fails so."""

    system = "shop"
    limits = FAST
    webhook_look_s = 60.0

    def __init__(self, *tells):
        self.tells = list(tells)

    async def watch_webhooks(self):
        told = self.tells.pop(0)
        if isinstance(told, Exception):
            raise told
        return told


@pytest.fixture
def look(pool, world):
    world.run("insert into system (code, role) values ('shop', 'shop')")

    def looks(*tells):
        partner, watch = Partner(*tells), WebhookWatch(pool)
        for _ in tells:
            asyncio.run(watch.look(partner))

    return looks


def items(world):
    rows = world.rows(
        "select subject, system, detail ->> 'message', closed_at is null, seen from work_item"
        " where kind = 'webhook_off' order by id"
    )
    return [tuple(row) for row in rows]


def test_what_was_off_is_an_item_until_a_look_finds_all_on(look, world):
    look([ORDERS], [ORDERS])
    message = "shop had switched off order.created, and we switched it on again."
    assert items(world) == [("shop", "shop", message, True, 2)]
    look([])
    assert items(world) == [("shop", "shop", message, False, 2)]
    look([])
    assert len(items(world)) == 1


def test_what_could_not_be_switched_on_says_why_and_hides_secrets(look, world):
    why = "could not be switched on: http_400 (https://hub.example/v1/hooks/shop?key=s3cr3t)"
    look([ORDERS, WebhookOff(topic="order.updated", on_again=False, why=why)])
    ((_, _, message, is_open, _),) = items(world)
    assert is_open
    assert "order.updated: could not be switched on: http_400" in message
    assert "s3cr3t" not in message


def test_no_webhook_is_made_at_a_partner_that_is_only_added(look, world, pool):
    """The page says that webhooks are set up in shadow; they were made before, and orders came."""

    def stage(name):
        with session(pool) as connection:
            set_stage(connection, "shop", name, actor="ann", why="")

    stage("added")
    look([ORDERS])
    assert items(world) == []
    stage("shadow")
    look([ORDERS])
    assert len(items(world)) == 1


def test_a_webhook_that_is_given_up_again_and_again_is_one_item_at_a_time(look, world):
    look([ORDERS], [], [ORDERS], [ORDERS], [])
    assert [row[3:] for row in items(world)] == [(False, 1), (False, 2)]


def test_a_refusal_is_an_item_of_its_setting_and_a_failure_says_nothing_either_way(look, world):
    look(Misconfigured("consumer_key", "shop answered 403 to https://hub.example/?key=s3cr3t"))
    asked = "select kind, subject, detail ->> 'message', closed_at is null from work_item"
    ((kind, subject, message, is_open),) = world.rows(asked)
    assert (kind, subject) == ("connection_misconfigured", "shop: consumer_key")
    assert is_open
    assert "shop answered 403" in message
    assert "s3cr3t" not in message
    look(Transient("no answer"), ValueError("of somebody's connector"))
    assert [row[3] for row in world.rows(asked)] == [True]
    look([])
    assert [row[3] for row in world.rows(asked)] == [False]
