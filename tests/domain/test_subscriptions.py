"""Where subscriptions may go, what their subjects are, and how long is waited."""

import datetime as dt

import pytest

from stockwright.domain.errors import Rejected
from stockwright.domain.proxies import networks
from stockwright.domain.reach import may_reach
from stockwright.domain.subscriptions import (
    EVENT_KINDS,
    LONGEST_RETRY_S,
    Filters,
    NewSubscription,
    check,
    check_url,
    filled,
    is_given_up,
    retry_s,
    state_of,
    token,
)

OFFICE = networks(["10.20.0.0/16", "fd00:20::/32"])


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.20.3.4", True),
        ("fd00:20::7", True),
        ("10.21.0.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00:21::1", False),
        ("::ffff:127.0.0.1", False),
        ("::127.0.0.1", False),
        ("fec0::1", False),
        ("64:ff9b:1::1", False),
        ("::ffff:0:7f00:1", False),
        ("192.88.99.1", False),
        ("::ffff:10.20.0.9", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("not an address", False),
    ],
)
def test_only_public_addresses_and_allowed_networks_are_called(address, may):
    assert may_reach(address, OFFICE) is may


def test_without_tls_only_allowed_networks_are_called():
    assert may_reach("10.20.3.4", OFFICE, public=False)
    assert not may_reach("93.184.216.34", OFFICE, public=False)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://plan.example/hook?key=1", ""),
        ("http://plan.internal/hook", ""),
        ("http://10.20.1.1:8080/hook", ""),
        ("https://10.20.1.1/hook", ""),
        ("https://127.0.0.1/hook", "is in a private network"),
        ("https://[::1]/hook", "is in a private network"),
        ("http://93.184.216.34/hook", "would be called without TLS"),
        ("ftp://plan.example/hook", "begins with https://"),
        ("plan.example/hook", "begins with https://"),
        ("https://ann:pw@plan.example/", "Leave user and password out"),
        ("https://plan.example/#a", "Leave the part behind #"),
        ("https://plan.example/a b", "no blank"),
        ("https://plan.example:99999/", "no web address"),
        ("https://[::1", "no web address"),
        ("https://１２７.0.0.1/", "in its form with xn--"),
        ("https://127。0。0。1/", "in its form with xn--"),
        ("", "begins with https://"),
    ],
)
def test_an_address_is_judged_by_its_text(url, words):
    if not words:
        check_url(url, OFFICE)
        return
    with pytest.raises(Rejected, match=".*") as refused:
        check_url(url, OFFICE)
    assert words in refused.value.message
    assert refused.value.field == "url"


def test_plain_http_needs_an_allowed_network():
    with pytest.raises(Rejected, match="Use https"):
        check_url("http://plan.internal/hook", ())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "-x"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"batch": 0}, "batch"),
        ({"batch": 501}, "batch"),
        ({"system": "bus"}, "system"),
        ({"url": "https://a.example", "via": "queue"}, "url"),
        ({"via": "queue", "url": "", "system": "bus", "subject": ""}, "subject"),
        ({"via": "queue", "url": "", "system": "bus", "subject": "a..b"}, "subject"),
        ({"via": "queue", "url": "", "system": "bus", "subject": "a.>"}, "subject"),
        ({"via": "queue", "url": "", "system": "bus", "subject": "a.{sku}"}, "subject"),
        ({"filters": Filters(changes="levels", kinds=("receipt",))}, "filters.kinds"),
        ({"filters": Filters(changes="events", kinds=("level",))}, "filters.kinds"),
    ],
)
def test_what_can_never_work_is_refused_by_field(change, field):
    told = {"name": "plan", "via": "webhook", "url": "https://plan.example", **change}
    with pytest.raises(Rejected) as refused:
        check(NewSubscription(**told), ())
    assert refused.value.field == field


def test_a_subject_is_filled_in_with_codes_that_fit_in_one_word():
    values = {"kind": "level", "channel": "Größe 4.2>", "system": ""}
    filling = "stock.{kind}.{channel}.{system}"
    assert filled(filling, values) == "stock.level.Gr%C3%B6%C3%9Fe%204%2E2%3E.-"
    assert token("A-100_x") == "A-100_x"


def test_waits_double_up_to_an_hour_and_are_spread():
    assert [retry_s(n) for n in (1, 2, 3, 8)] == [1, 2, 4, 128]
    assert retry_s(100) == LONGEST_RETRY_S
    assert retry_s(2, chance=0.0) == 1.5
    assert retry_s(1, asked_s=70) == 70
    assert retry_s(1, asked_s=10**9) == LONGEST_RETRY_S


def test_a_consumer_is_given_up_after_the_patience():
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert not is_given_up(since, since + dt.timedelta(seconds=99), 100)
    assert is_given_up(since, since + dt.timedelta(seconds=100), 100)


def test_states_and_kinds():
    assert state_of(paused=True, failures=3) == "paused"
    assert state_of(paused=False, failures=3) == "failing"
    assert state_of(paused=False, failures=0) == "active"
    assert Filters().wanted_kinds == frozenset()
    assert Filters(changes="events").wanted_kinds == frozenset(EVENT_KINDS)
    assert Filters(changes="events", kinds=("receipt",)).wanted_kinds == {"receipt"}
    assert Filters(changes="levels").wanted_kinds == {"level"}
