"""`stockwright publish`: list, pause, resume, resync."""

import pytest

from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.store.connection import Pool
from tests.flow.channels import Shop, World, link, set_stock

FILE = """\
[systems.shop]
role = "shop"
connector = "csv_drop"

[systems.shop.settings]
outbox = "out"

[locations.MAIN]

[channels.web]
system = "shop"
pool = ["MAIN"]
"""


@pytest.fixture
async def world(database_url):
    """A channel that shows three numbers, one of them zero."""
    world = World(database_url)
    with Pool(database_url, size=2) as pool:
        set_stock(world, Projection(pool), SKU_000=10, SKU_001=4, SKU_002=0)
        await Publisher(pool, Shop(), link()).step()
    return world


@pytest.fixture
def publish(world, on_database):
    return lambda *arguments: on_database("publish", *arguments)


def test_a_channel_is_paused_and_resumed_with_author_and_reason(world, publish):
    ran = publish("pause", "WEB", "--reason", "they move house", "--author", "ann")
    assert ran.code == 0
    assert ran.out.startswith("Paused. WEB is paused: paused by cli ann since ")
    assert "(they move house)" in ran.out
    again = publish("pause", "WEB", "--reason", "x", "--json")
    assert (again.code, again.json["changed"]) == (0, False)
    assert again.json["publication"]["link"]["facts"]["paused_by"] == "cli ann"
    assert publish("resume", "WEB", "--reason", "moved").out.startswith("Resumed. WEB is ")
    assert publish("resume", "WEB", "--reason", "moved").out.startswith("Nothing to do. WEB is ")
    logged = world.rows("select action, actor, subject from change_log order by id")
    assert logged[0] == ("channel.pause", "cli ann", "WEB")
    assert [row[0] for row in logged] == ["channel.pause", "channel.resume"]


def test_a_channel_that_only_the_file_names_can_be_paused_before_the_first_start(
    on_database, tmp_path
):
    (tmp_path / "stockwright.toml").write_text(FILE)
    ran = on_database("publish", "pause", "web", "--reason", "not live yet", "--json")
    assert (ran.code, ran.json["changed"]) == (0, True), ran.err


def test_a_dry_run_tells_levels_calls_and_time_and_changes_nothing(world, publish):
    ran = publish("resync", "WEB", "--dry-run")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == ("WEB: 3 levels of 3 active listings would be sent again, 1 of them as 0.")
    assert lines[1] == "In 1 call, within about a second at the connection's limits."
    assert world.rows("select count(*) from level where resend") == [(0,)]
    assert publish("resync", "WEB", "--dry-run", "--json").json["estimate"]["calls"] == 1
    assert publish("--resync", "WEB", "--dry-run") == ran


def test_a_resync_needs_a_reason_and_makes_the_levels_due(world, publish):
    refused = publish("resync", "WEB")
    assert (refused.code, "error: why: Say why" in refused.err) == (2, True)
    ran = publish("resync", "WEB", "--reason", "restored")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "WEB: 3 levels are due again.")
    assert world.rows("select count(*) from level where resend and state = 'due'") == [(3,)]


def test_what_could_empty_the_channel_is_refused_and_a_dry_run_ends_with_1(world, publish):
    world.run("update listing set active = false")
    dry = publish("resync", "WEB", "--dry-run")
    assert dry.code == 1
    assert "It would be refused: No active listing" in dry.out
    ran = publish("resync", "WEB", "--reason", "x")
    assert (ran.code, "No active listing" in ran.err) == (2, True)


def test_channels_are_listed_with_their_state(world, publish):
    publish("pause", "WEB", "--reason", "they move house")
    ran = publish("list")
    assert ran.code == 0
    first, why, counts = ran.out.splitlines()
    assert (first, why.strip()[:12]) == ("WEB: paused", "paused by cl")
    assert counts.strip().startswith("0 decreases and 0 increases waiting, 0 in doubt, 0 refused")
    assert counts.endswith(" of its budget used")
    (one,) = publish("list", "--json").json
    assert one["link"]["judgement"]["state"] == "paused"


def test_an_unknown_channel_is_told(publish):
    ran = publish("pause", "WBE", "--reason", "x")
    assert (ran.code, "no channel 'WBE'" in ran.err) == (2, True)
