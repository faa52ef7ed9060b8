"""The contract holds a connector to what it says goes out, as it does for what comes in."""

import msgspec
import pytest

from stockwright.connectors import json_http
from stockwright.sdk import contract
from stockwright.sdk.messages import Outbound
from stockwright.sdk.verbs import MapsOut

GIVEN = {"base_url": "http://127.0.0.1:9"}


class Other(json_http.JsonHttpConnection):
    """Sends every level as nought."""

    def map_out(self, message):
        return [Outbound(to="PUT /levels", body=b'{"levels":[]}')]


class Failing(json_http.JsonHttpConnection):
    """Falls over text that is empty."""

    def map_out(self, message):
        message.order[0]
        return []


def suite_of(kind, **parts):
    connector = msgspec.structs.replace(json_http.CONNECTOR, open=kind, **parts)
    return contract.suite(connector, GIVEN)()


def test_a_case_of_what_goes_out_fails_where_another_body_would_leave():
    with pytest.raises(AssertionError, match=r"out_levels\.json: mapped to"):
        suite_of(Other).test_case_out_levels()
    suite_of(json_http.JsonHttpConnection).test_case_out_levels()


def test_a_connection_with_map_out_needs_a_case_of_it(tmp_path):
    inbound = json_http.CONNECTOR.cases / "order_placed.json"
    (tmp_path / "in.json").write_bytes(inbound.read_bytes())
    with pytest.raises(AssertionError, match='add a case with "out"'):
        suite_of(json_http.JsonHttpConnection, cases=tmp_path).test_there_are_cases()


def test_a_message_that_makes_the_outbound_mapping_fail_is_found():
    with pytest.raises((AttributeError, IndexError)):
        suite_of(Failing).test_nothing_that_goes_out_makes_the_mapping_fail()


def test_a_case_of_what_goes_out_needs_a_connection_that_tells():
    class Silent:
        system = "partner"

        def __init__(self, *_given):
            pass

    assert not isinstance(Silent(), MapsOut)
    with pytest.raises(AssertionError, match="has no map_out"):
        suite_of(Silent).test_case_out_levels()
