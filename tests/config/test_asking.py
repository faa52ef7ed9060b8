"""What a new connection is asked for, and what is said of wrong answers."""

import math

import msgspec
import pytest

from stockwright.config.asking import (
    NewConnection,
    asked,
    connector_of,
    edits_of,
    reference_problem,
    settings_of,
)
from stockwright.config.connectors import connector_names
from stockwright.domain.errors import Rejected
from stockwright.domain.network import Channel, Location, Network, System

NETWORK = Network(
    systems=(System(code="ERP", role="erp"),),
    locations=(Location(code="MAIN"),),
    channels=(Channel(code="DESK", system="ERP", pool=("MAIN",)),),
)
URL = {"base_url": "https://shop.example"}


def new(**more):
    given = {"code": "SHOP", "connector": "json_http", "role": "shop", "settings": URL} | more
    return NewConnection(**given)


def test_a_connection_becomes_a_system_and_its_channel():
    edits = edits_of(
        new(channel="WEB", pool=("MAIN",), settings=URL | {"page_size": "5"}), NETWORK, None
    )
    (system,), (channel,) = edits.systems, edits.channels
    assert (system.role, system.connector) == ("shop", "json_http")
    assert system.settings == URL | {"page_size": 5, "channel": "WEB"}
    assert (channel.code, channel.system, channel.pool) == ("WEB", "SHOP", ("MAIN",))


def test_what_else_the_file_says_of_a_system_is_said_of_a_new_one():
    told = {"owner": "", "latency_budget_s": 2.5, "criticality": None, "revisions": "cumulative"}
    (system,) = edits_of(new(about=told), NETWORK, None).systems
    assert (system.latency_budget_s, system.revisions) == (2.5, "cumulative")
    assert (system.owner, system.criticality) == ("", "normal")


def test_orders_stay_those_of_the_only_channel_where_the_settings_are_given_again():
    (system,) = edits_of(new(code="ERP", role="erp"), NETWORK, None).systems
    assert system.settings == URL | {"channel": "DESK"}
    own = URL | {"channel": "COUNTER"}
    (system,) = edits_of(new(code="ERP", role="erp", settings=own), NETWORK, None).systems
    assert system.settings == own
    two = (*NETWORK.channels, Channel(code="FAIR", system="ERP", pool=("MAIN",)))
    several = msgspec.structs.replace(NETWORK, channels=two)
    (system,) = edits_of(new(code="ERP", role="erp"), several, None).systems
    assert system.settings == URL


def test_a_channel_that_is_there_keeps_its_rules():
    edits = edits_of(new(code="ERP", role="erp", channel="DESK"), NETWORK, None)
    assert edits.channels == ()


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"connector": "jsonhttp"}, "connector", "did you mean json_http"),
        ({"role": ""}, "role", "json_http speaks for shop, marketplace"),
        ({"role": "edi"}, "role", "'edi' is not among them"),
        ({"settings": {}}, "systems.SHOP.settings.base_url", "is required and was not given"),
        ({"settings": {"base_url": "x"}}, "systems.SHOP.settings.base_url", "begins with http://"),
        ({"settings": URL | {"page_size": "many"}}, "systems.SHOP.settings.page_size", "int"),
        ({"settings": URL | {"tokn": "env:T"}}, "systems.SHOP.settings.tokn", "did you mean token"),
        ({"channel": "WEB"}, "pool", "Say from which places WEB sells"),
        ({"channel": "WEB", "pool": ("MIAN",)}, "channels.WEB.pool[0]", "did you mean MAIN"),
        ({"channel": "DESK"}, "channel", "DESK belongs to ERP"),
        ({"code": ""}, "systems.", "the code"),
        ({"about": {"time_zone": "Mars"}}, "systems.SHOP.time_zone", "is no IANA time zone"),
        ({"about": {"heartbeat_s": "soon"}}, "systems.SHOP.heartbeat_s", "number"),
        ({"about": {"latency_budget_s": -1.0}}, "systems.SHOP.latency_budget_s", "range"),
        ({"about": {"clock_error_s": math.nan}}, "systems.SHOP.clock_error_s", "range"),
    ],
)
def test_what_is_wrong_is_told_by_field(more, field, words):
    with pytest.raises(Rejected) as refused:
        edits_of(new(**more), NETWORK, None)
    assert refused.value.field.startswith(field)
    assert words in refused.value.message


@pytest.mark.parametrize("value", ["sw0rdfish", "env", "sw0rdfish:env:X"])
def test_a_secret_written_out_is_refused_and_not_repeated(value):
    with pytest.raises(Rejected) as refused:
        edits_of(new(settings=URL | {"token": value}), NETWORK, None)
    assert refused.value.field == "systems.SHOP.settings.token"
    assert "sw0rdfish" not in refused.value.message
    assert "sw0rdfish" not in reference_problem(value)
    assert reference_problem(value)


def test_references_are_taken():
    assert reference_problem("env:SHOP_TOKEN") == ""
    edits = edits_of(new(settings=URL | {"webhook_secrets": "env:A, file:/b"}), NETWORK, None)
    assert edits.systems[0].settings["webhook_secrets"] == ["env:A", "file:/b"]


@pytest.mark.parametrize("name", connector_names())
def test_every_connector_asks_for_what_it_requires_first_and_knows_its_secrets(name):
    wanted = asked(connector_of(name).declaration)
    required = [one.required for one in wanted]
    assert required == sorted(required, reverse=True)
    assert all(one.what for one in wanted)
    secret = {one.name for one in wanted if one.secret}
    assert {one.name for one in wanted if one.name.endswith(("token", "secret"))} <= secret


def test_texts_become_what_a_setting_takes():
    declaration = connector_of("json_http").declaration
    given = {"publish_method": "POST", "calls_per_s": "2.5", "ignore": "a,b", "token": "env:T"}
    assert settings_of(declaration, given) == {
        "publish_method": "POST", "calls_per_s": 2.5, "ignore": ["a", "b"], "token": "env:T",
    }  # fmt: skip
