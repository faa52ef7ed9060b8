"""Where networks differ, and what of a file may be applied over edits made at run time."""

import datetime as dt

import pytest
from msgspec.structs import replace

from stockwright.domain.network import Authority, Channel, ExposurePolicy, Location, Network, System
from stockwright.domain.network_changes import differences, merged, normal, only_in, overlaid

SHOP = System(code="shop", role="shop", connector="json_http", settings={"url": "http://a"})
MAIN = Location(code="MAIN", groups=("B", "A"))
WEB = Channel(code="web.1", system="shop", pool=("MAIN",), policies=(ExposurePolicy(safety=1),))
BASE = Network(systems=(SHOP,), locations=(MAIN,), channels=(WEB,))

POLICIES = 'channels."web.1".policies'


def web(**fields: object) -> Network:
    return replace(BASE, channels=(replace(WEB, **fields),))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (BASE, []),
        (replace(BASE, locations=(replace(MAIN, groups=("A", "B", "A")),)), []),
        (web(hold_s=60), [('channels."web.1".hold_s', 900, 60)]),
        (
            web(policies=(ExposurePolicy(safety=2), ExposurePolicy(cap=3))),
            [(f"{POLICIES}[0].safety", 1, 2), (f"{POLICIES}[1]", None, 0)],
        ),
        (web(policies=()), [(f"{POLICIES}[0]", 0, None)]),
        (
            replace(BASE, systems=(replace(SHOP, settings={"url": "http://b", "n": 1}),)),
            [("systems.shop.settings.n", None, 1), ("systems.shop.settings.url", "http://a", "http://b")],
        ),
        (
            replace(BASE, locations=(replace(MAIN, groups=("A",)),)),
            [("locations.MAIN.groups", ["A", "B"], ["A"])],
        ),
        (replace(BASE, systems=()), [("systems.shop.connector", "json_http", "")]),
        (replace(BASE, channels=()), []),
    ],
)  # fmt: skip
def test_each_field_that_differs_is_named_with_both_values(wanted, told):
    found = [(one.field, one.database, one.wanted) for one in differences(BASE, wanted)]
    shorten = [
        (field, *(0 if isinstance(v, dict) else v for v in values)) for field, *values in found
    ]
    assert shorten == told


def test_a_new_part_is_one_difference():
    (found,) = differences(Network(), replace(BASE, systems=(), channels=()))
    assert (found.field, found.database) == ("locations.MAIN", None)
    assert found.wanted["groups"] == ["A", "B"]


def test_some_parts_alone_disconnect_nobody():
    assert differences(BASE, replace(BASE, systems=()), complete=False) == ()


def test_equal_instants_in_other_zones_are_equal():
    cet = dt.timezone(dt.timedelta(hours=1))
    held = [
        Authority(group="outbound", system="shop", valid_from=at)
        for at in (
            dt.datetime(2026, 1, 1, 1, tzinfo=cet),
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        )
    ]
    one, other = (replace(BASE, locations=(replace(MAIN, authority=(entry,)),)) for entry in held)
    assert normal(one) == normal(other)
    assert differences(one, other) == ()


def test_what_only_the_database_has_is_named():
    assert only_in(BASE, replace(BASE, channels=())) == ('channels."web.1"',)


def test_edits_lie_over_what_is_there():
    new = Channel(code="b2b", system="shop", pool=("MAIN",))
    found = overlaid(BASE, Network(channels=(replace(WEB, hold_s=5), new)))
    assert [(one.code, one.hold_s) for one in found.channels] == [("b2b", 900), ("web.1", 5)]
    assert found.systems == BASE.systems


CAP, HOLD = {"policies": (ExposurePolicy(cap=9),)}, {"hold_s": 60}


@pytest.mark.parametrize(
    ("database", "file", "applied", "held"),
    [
        (BASE, web(**HOLD), web(**HOLD), ()),
        (web(**CAP), BASE, web(**CAP), ('channels."web.1"',)),
        (web(**CAP), web(**HOLD), web(**CAP), ('channels."web.1"',)),
        (web(**CAP), web(**CAP), web(**CAP), ()),
        (
            web(**CAP),
            replace(BASE, systems=(replace(SHOP, owner="ann"),)),
            replace(web(**CAP), systems=(replace(SHOP, owner="ann"),)),
            ('channels."web.1"',),
        ),
        (BASE, replace(BASE, systems=()), replace(BASE, systems=()), ()),
        (
            replace(BASE, systems=(replace(SHOP, owner="ann"),)),
            replace(BASE, systems=()),
            replace(BASE, systems=(replace(SHOP, owner="ann"),)),
            ("systems.shop",),
        ),
    ],
    ids=[
        "a change of the file is taken",
        "an edit at run time stays",
        "of an edit and a change of the file, the edit stays",
        "a file that has come to say the same holds nothing back",
        "an edit of one part holds no other back",
        "a system that left the file leaves",
        "a system that was edited stays though it left the file",
    ],
)
def test_a_start_takes_what_changed_in_the_file_and_leaves_run_time_edits(
    database, file, applied, held
):
    found, kept = merged(BASE, database, file)
    assert found == normal(applied)
    assert kept == held
