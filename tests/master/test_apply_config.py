import datetime as dt
import threading
from typing import Any

import pytest
from msgspec.structs import replace

from stockwright.domain.errors import Misconfigured
from stockwright.domain.items import Component, Listing, Sku
from stockwright.domain.network import Authority, Channel, ExposurePolicy, Location, Network, System
from stockwright.store.connection import Connection, connect
from stockwright.store.master import list_all, list_locations, save, save_one
from stockwright.store.network import apply_config
from tests.master.conftest import NETWORK, dirty_skus, revision

WEB, B2B = NETWORK.channels
MAIN, EAST = NETWORK.locations
WMS, SHOP = NETWORK.systems


def with_web(**fields: Any) -> Network:
    return replace(NETWORK, channels=(replace(WEB, **fields), B2B))


def rows(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


def test_applying_the_same_configuration_twice_changes_nothing(connection: Connection) -> None:
    list_all(connection, "WEB")
    dirty_skus(connection)
    before = revision(connection)
    applied = apply_config(connection, NETWORK)
    assert not applied.changed
    assert (applied.revision, revision(connection)) == (before, before)
    assert dirty_skus(connection) == []


def test_an_empty_configuration_forgets_nothing(connection: Connection) -> None:
    assert not apply_config(connection, Network()).changed
    assert len(rows(connection, "select from system")) == 2


CHANGES: list[tuple[str, Network, dict[str, tuple[str, ...]], list[str]]] = [
    (
        "a policy marks the SKUs its channel lists",
        with_web(policies=(ExposurePolicy(safety=2),)),
        {"channels": ("WEB",)},
        ["A", "B"],
    ),
    (
        "a pool marks the SKUs its channel lists",
        with_web(pool=("EAST",)),
        {"channels": ("WEB",)},
        ["A", "B"],
    ),
    (
        "a place that leaves a group to another marks what pools with that group sell",
        replace(NETWORK, locations=(replace(MAIN, groups=()), replace(EAST, groups=("EUROPE",)))),
        {"locations": ("EAST", "MAIN")},
        ["A", "B"],
    ),
    (
        "a system's owner touches no level",
        replace(NETWORK, systems=(replace(WMS, owner="night shift"), SHOP)),
        {"systems": ("WMS",)},
        [],
    ),
    (
        "an authority touches no level",
        replace(
            NETWORK,
            locations=(
                MAIN,
                replace(EAST, authority=(Authority(group="outbound", system="WMS"),)),
            ),
        ),
        {"locations": ("EAST",)},
        [],
    ),
]


@pytest.mark.parametrize(
    ("network", "changed", "marked"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_a_change_is_reported_and_marks_exactly_the_levels_it_touches(
    connection: Connection,
    network: Network,
    changed: dict[str, tuple[str, ...]],
    marked: list[str],
) -> None:
    one = (Component(sku="A"), Component(sku="B"))
    save_one(connection, "listings", Listing(channel="WEB", code="PAIR", components=one))
    dirty_skus(connection)
    before = revision(connection)
    applied = apply_config(connection, network)
    told = {
        name: codes
        for name in ("systems", "locations", "channels", "disconnected")
        if (codes := getattr(applied, name))
    }
    assert told == changed
    assert dirty_skus(connection) == marked
    assert applied.revision == revision(connection) > before
    assert not apply_config(connection, network).changed


def test_policies_that_left_the_file_leave_the_channel_and_others_move_up(
    connection: Connection,
) -> None:
    gifts, rest = ExposurePolicy(sku_group="GIFTS", cap=5), ExposurePolicy(buffer=1)
    apply_config(connection, with_web(policies=(gifts, rest)))
    apply_config(connection, with_web(policies=(rest,)))
    assert rows(
        connection, "select channel, position, sku_group, cap, buffer from exposure_policy"
    ) == [("WEB", 1, None, None, 1)]


def test_authorities_follow_the_file_for_the_places_it_names(connection: Connection) -> None:
    january = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    held = (
        Authority(group="outbound", system="SHOP"),
        Authority(group="outbound", system="WMS", valid_from=january),
    )
    sql = "select system, valid_from from authority where location = 'MAIN' order by valid_from"
    for authority, expected in ((held, ["SHOP", "WMS"]), (held[1:], ["WMS"]), ((), [])):
        places = (replace(MAIN, authority=authority), EAST)
        apply_config(connection, replace(NETWORK, locations=places))
        assert [system for system, _ in rows(connection, sql)] == expected


def test_a_system_that_left_the_file_is_disconnected_but_kept(connection: Connection) -> None:
    connected = replace(WMS, connector="json_http", settings={"token": "env:WMS_TOKEN"})
    apply_config(connection, replace(NETWORK, systems=(connected, SHOP)))
    applied = apply_config(connection, replace(NETWORK, systems=(SHOP,)))
    assert applied.disconnected == ("WMS",)
    assert rows(connection, "select connector from system where code = 'WMS'") == [("",)]


def test_a_location_whose_code_is_a_group_elsewhere_is_refused_by_its_field(
    connection: Connection,
) -> None:
    with pytest.raises(Misconfigured) as caught:
        apply_config(connection, replace(NETWORK, locations=(Location(code="EUROPE"),)))
    assert caught.value.setting == "locations.EUROPE.code"


def test_places_imported_from_csv_survive_a_configuration_without_them(
    connection: Connection,
) -> None:
    save(connection, "locations", [Location(code="STORE-1", groups=("STORES",))])
    apply_config(connection, NETWORK)
    assert [place.code for place in list_locations(connection).items] == ["EAST", "MAIN", "STORE-1"]


def test_codes_in_the_configuration_keep_case_and_leading_zeros(connection: Connection) -> None:
    system = System(code="007", role="wms")
    channel = Channel(code="007", system="007", pool=("MAIN",))
    apply_config(
        connection,
        replace(NETWORK, systems=(*NETWORK.systems, system), channels=(channel,)),
    )
    save(connection, "skus", [Sku(code="a"), Sku(code="0A")])
    assert list_all(connection, "007") == 5


def test_processes_that_start_at_once_apply_the_configuration_once(
    connection: Connection, master_url: str
) -> None:
    network = with_web(policies=(ExposurePolicy(safety=9),), pool=("EAST", "MAIN"))
    barrier = threading.Barrier(4)
    changed: list[bool] = []

    def start() -> None:
        with connect(master_url) as own:
            barrier.wait()
            changed.append(apply_config(own, network).changed)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(changed) == [False, False, False, True]
