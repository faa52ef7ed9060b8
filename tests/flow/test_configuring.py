"""The database is the truth: files, programs and people change the configuration by revisions."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.domain.network import Channel, ExposurePolicy, Location, Network, System
from stockwright.domain.network_changes import normal
from stockwright.flow.configuring import (
    Applied,
    apply_edits,
    apply_file,
    network_at,
    newest,
    plan,
    plan_edits,
    roll_back,
    start_with,
)
from stockwright.store import access, connecting, history
from stockwright.store.connection import Connection, connect
from stockwright.store.history import Said
from stockwright.store.network import read_network

SHOP = System(code="shop", role="shop", connector="json_http", settings={"url": "http://a"})
MAIN = Location(code="MAIN", groups=("ALL",))
WEB = Channel(code="web", system="shop", pool=("ALL",), policies=(ExposurePolicy(safety=1),))
FILE = Network(systems=(SHOP,), locations=(MAIN,), channels=(WEB,))
ANN = Said(actor="cli ann", source="file", reason="the first")
KEY = Said(actor="key k1", source="api", reason="a sale")


def web(**fields: Any) -> Network:
    return replace(FILE, channels=(replace(WEB, **fields),))


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url, autocommit=True) as opened:
        yield opened


def do(connection: Connection, work: Any, *arguments: Any, **more: Any) -> Any:
    with connection.transaction():
        return work(connection, *arguments, **more)


def fields(applied: Applied) -> list[str]:
    return [change.field for change in applied.changes]


def test_a_first_start_takes_the_whole_file_as_a_revision(connection: Connection) -> None:
    started = do(connection, start_with, FILE)
    made = history.revision(connection, started.applied.revision)
    assert (made.actor, made.reason, made.source) == ("startup", "startup", "file")
    assert fields(started.applied) == ["channels.web", "locations.MAIN", "systems.shop"]
    assert started.plan.differences == ()
    assert normal(read_network(connection)) == normal(FILE)


def test_a_start_with_the_same_file_is_no_revision(connection: Connection) -> None:
    do(connection, start_with, FILE)
    before = history.revision_in_force(connection)
    assert do(connection, start_with, FILE).applied.revision is None
    assert history.revision_in_force(connection) == before


def test_a_start_takes_what_changed_in_the_file(connection: Connection) -> None:
    do(connection, start_with, FILE)
    assert fields(do(connection, start_with, web(hold_s=60)).applied) == ["channels.web.hold_s"]


def test_a_start_leaves_run_time_edits_and_says_so(connection: Connection) -> None:
    do(connection, start_with, FILE)
    edit = replace(WEB, policies=(ExposurePolicy(safety=9),))
    made = do(connection, apply_edits, Network(channels=(edit,)), KEY)
    for file in (FILE, replace(web(hold_s=60), systems=(replace(SHOP, owner="bob"),))):
        started = do(connection, start_with, file)
        assert read_network(connection).channels == (edit,)
        ((edited,)) = started.plan.edited
        assert (edited.name, edited.by.id) == ("channels.web", made.revision)
        assert (edited.by.actor, edited.by.reason) == ("key k1", "a sale")
        assert "channels.web.policies[0].safety" in [d.field for d in started.plan.differences]
    assert read_network(connection).systems[0].owner == "bob"


def test_an_application_of_the_file_overrules_run_time_edits(connection: Connection) -> None:
    do(connection, start_with, FILE)
    edit = replace(WEB, hold_s=5)
    do(connection, apply_edits, Network(channels=(edit,)), KEY)
    applied = do(connection, apply_file, FILE, ANN)
    assert fields(applied) == ["channels.web.hold_s"]
    assert plan(connection, FILE).differences == ()
    assert plan(connection, FILE).edited == ()
    assert do(connection, apply_file, FILE, ANN).revision is None


POS = System(code="pos", role="pos", connector="json_http", settings={"url": "http://b"})


def by_steps(connection: Connection, system: System) -> None:
    do(connection, apply_edits, Network(systems=(system,)), KEY)
    do(connection, connecting.set_stage, system.code, "live", actor="cli ann")


@pytest.mark.parametrize("first", ["start", "application"])
def test_a_file_says_nothing_of_a_system_that_was_connected_by_steps(
    connection: Connection, first: str
) -> None:
    by_steps(connection, POS)
    if first == "start":
        assert do(connection, start_with, FILE).plan.differences == ()
    else:
        do(connection, apply_file, FILE, ANN)
    assert POS in read_network(connection).systems
    planned = plan(connection, FILE)
    assert (planned.differences, planned.edited) == ((), ())
    assert planned.only_in_database == ("systems.pos",)
    assert fields(do(connection, apply_file, web(hold_s=60), ANN)) == ["channels.web.hold_s"]
    assert POS in read_network(connection).systems


def test_a_system_connected_by_steps_is_disconnected_by_a_file_that_named_it(
    connection: Connection,
) -> None:
    do(connection, start_with, FILE)
    by_steps(connection, POS)
    do(connection, apply_file, replace(FILE, systems=(SHOP, POS)), ANN)
    assert [one.field for one in plan(connection, FILE).differences] == ["systems.pos.connector"]
    assert fields(do(connection, start_with, FILE).applied) == ["systems.pos.connector"]


def test_an_empty_file_disconnects_nobody(connection: Connection) -> None:
    do(connection, start_with, FILE)
    by_steps(connection, POS)
    assert do(connection, apply_file, Network(), ANN).changes == ()
    assert {one.connector for one in read_network(connection).systems} == {"json_http"}


def test_a_plan_is_what_an_application_does(connection: Connection) -> None:
    do(connection, start_with, FILE)
    wanted = replace(web(hold_s=60, policies=()), systems=())
    wanted = replace(wanted, locations=(*FILE.locations, Location(code="EAST")))
    planned = plan(connection, wanted)
    before = read_network(connection)
    assert [one.field for one in planned.differences] == [
        "channels.web.hold_s",
        "channels.web.policies[0]",
        "locations.EAST",
        "systems.shop.connector",
    ]
    assert planned.only_in_database == ("systems.shop",)
    assert read_network(connection) == before
    assert do(connection, apply_file, wanted, ANN).changes == planned.differences
    assert plan(connection, wanted).differences == ()


def test_edits_of_some_parts_leave_the_others_alone(connection: Connection) -> None:
    do(connection, start_with, FILE)
    new = Channel(code="b2b", system="shop", pool=("MAIN",))
    assert fields(do(connection, apply_edits, Network(channels=(new,)), KEY)) == ["channels.b2b"]
    assert read_network(connection).systems == FILE.systems
    assert do(connection, apply_edits, Network(channels=(new,)), KEY).revision is None


def test_what_a_channel_sells_from_is_not_taken_away(connection: Connection) -> None:
    do(connection, start_with, FILE)
    new = Channel(code="b2b", system="shop", pool=("ALL",))
    do(connection, apply_edits, Network(channels=(new,)), KEY)
    elsewhere = Network(locations=(replace(MAIN, groups=("WEST",)),))
    moved = Network(
        systems=FILE.systems,
        locations=elsewhere.locations,
        channels=(replace(WEB, pool=("WEST",)),),
    )
    before = normal(read_network(connection))
    refusing = [
        lambda: do(connection, apply_edits, elsewhere, KEY),
        lambda: plan_edits(connection, elsewhere),
        lambda: do(connection, apply_file, moved, ANN),
        lambda: do(connection, start_with, moved),
    ]
    for refuse in refusing:
        with pytest.raises(Misconfigured, match="Names ALL") as refused:
            refuse()
        assert refused.value.setting in ("channels.web.pool", "channels.b2b.pool")
        assert normal(read_network(connection)) == before
    along = replace(elsewhere, channels=(replace(new, pool=("WEST",)), moved.channels[0]))
    assert do(connection, apply_edits, along, KEY).revision is not None


def test_edits_planned_on_an_older_revision_are_refused(connection: Connection) -> None:
    do(connection, start_with, FILE)
    seen = newest(connection)
    edit = Network(channels=(replace(WEB, hold_s=5),))
    do(connection, apply_edits, edit, KEY, if_revision=seen)
    with pytest.raises(Rejected) as refused:
        do(connection, apply_edits, FILE, KEY, if_revision=seen)
    assert (refused.value.reason, refused.value.field) == ("outdated", "if_revision")


def test_a_rollback_brings_a_revision_back_as_a_new_one(connection: Connection) -> None:
    first = do(connection, start_with, FILE).applied.revision
    other = web(hold_s=60, policies=(ExposurePolicy(cap=3), ExposurePolicy(buffer=1)))
    second = do(connection, apply_file, other, ANN).revision
    back = do(connection, roll_back, first, Said(actor="cli bob", source="cli", reason="too low"))
    assert normal(read_network(connection)) == normal(FILE)
    assert normal(network_at(connection, second)) == normal(other)
    assert fields(back) == [
        "channels.web.hold_s",
        "channels.web.policies[0].cap",
        "channels.web.policies[0].safety",
        "channels.web.policies[1]",
    ]
    assert history.revision(connection, back.revision).actor == "cli bob"
    # The next start does not take the file again: it did not change.
    assert do(connection, start_with, other).applied.revision is None
    assert normal(read_network(connection)) == normal(FILE)


def test_a_rollback_keeps_what_came_later_and_disconnects_it(connection: Connection) -> None:
    first = do(connection, start_with, FILE).applied.revision
    crm = replace(SHOP, code="crm")
    do(connection, apply_file, replace(FILE, systems=(SHOP, crm)), ANN)
    assert fields(do(connection, roll_back, first, KEY)) == ["systems.crm.connector"]
    assert [one.connector for one in read_network(connection).systems] == ["", "json_http"]


@pytest.mark.parametrize(("number", "reason"), [(0, "malformed"), (99, "not_found")])
def test_a_rollback_to_nowhere_is_refused(connection: Connection, number: int, reason: str) -> None:
    do(connection, start_with, FILE)
    with pytest.raises(Rejected) as refused:
        do(connection, roll_back, number, KEY)
    assert refused.value.reason == reason
    assert normal(read_network(connection)) == normal(FILE)


def test_an_empty_file_changes_nothing_and_differs_in_nothing(connection: Connection) -> None:
    do(connection, start_with, FILE)
    started = do(connection, start_with, Network())
    assert (started.applied.revision, started.plan.differences) == (None, ())


def test_every_application_is_in_the_change_log_with_before_and_after(
    connection: Connection,
) -> None:
    do(connection, start_with, FILE)
    made = do(connection, apply_edits, Network(channels=(replace(WEB, hold_s=5),)), KEY)
    newest_change = access.list_changes(connection, limit=1)[0]
    assert (newest_change.actor, newest_change.action) == ("key k1", "config.apply")
    assert newest_change.subject == f"revision {made.revision}"
    assert newest_change.detail == {
        "reason": "a sale",
        "changes": [{"field": "channels.web.hold_s", "before": 900, "after": 5}],
    }
