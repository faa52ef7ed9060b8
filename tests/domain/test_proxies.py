"""Where a call came from: only our own proxies are believed, and only as far as they can know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockwright.domain.proxies import Origin, network_problem, networks, origin

OURS = networks(["10.0.0.0/24", "2001:db8:1::/48", "192.0.2.7"])

# name, peer, X-Forwarded-For, X-Forwarded-Proto, address, https
Case = tuple[str, str, list[str], list[str], str, bool | None]
CASES: list[Case] = [
    ("nobody in between", "203.0.113.5", [], [], "203.0.113.5", None),
    ("a stranger's word counts for nothing", "203.0.113.5", ["1.1.1.1"], ["https"],
     "203.0.113.5", None),
    ("one proxy", "10.0.0.2", ["203.0.113.5"], ["https"], "203.0.113.5", True),
    ("plain http outside", "10.0.0.2", ["203.0.113.5"], ["HTTP"], "203.0.113.5", False),
    ("what the client made up stands before", "10.0.0.2", ["1.1.1.1, 10.0.0.9, 203.0.113.5"], [],
     "203.0.113.5", None),
    ("two proxies", "10.0.0.2", ["203.0.113.5, 192.0.2.7"], ["https"], "203.0.113.5", True),
    ("two proxies that each wrote a header", "10.0.0.2", ["203.0.113.5", "192.0.2.7"],
     ["https", "http"], "203.0.113.5", True),
    ("a made-up hop does not choose the protocol", "10.0.0.2", ["1.1.1.1, 203.0.113.5"],
     ["https, http"], "203.0.113.5", False),
    ("all of them are ours", "10.0.0.2", ["10.0.0.3, 10.0.0.4"], [], "10.0.0.3", None),
    ("a proxy that says nothing", "10.0.0.2", [], [], "10.0.0.2", None),
    ("a proxy that only says https", "10.0.0.2", [], ["https"], "10.0.0.2", True),
    ("no address ends the search", "10.0.0.2", ["203.0.113.5, unknown"], [], "10.0.0.2", None),
    ("no address behind a proxy of ours", "10.0.0.2", ["203.0.113.5, _x, 10.0.0.3"], [],
     "10.0.0.3", None),
    ("ports are no part of it", "10.0.0.2", ["203.0.113.5:4711"], [], "203.0.113.5", None),
    ("IPv6 in brackets", "2001:db8:1::2", ['"[2001:db8:2::5]:4711"'], [], "2001:db8:2::5", None),
    ("IPv4 in the clothes of IPv6", "::ffff:10.0.0.2", ["::ffff:203.0.113.5"], [],
     "203.0.113.5", None),
    ("a single address is trusted alone", "192.0.2.8", ["203.0.113.5"], [], "192.0.2.8", None),
    ("an unknown protocol", "10.0.0.2", ["203.0.113.5"], ["gopher"], "203.0.113.5", None),
    ("a peer without an address", "", ["203.0.113.5"], ["https"], "", None),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_where_a_call_came_from(case: Case):
    _, peer, forwarded, protocols, address, https = case
    assert origin(peer, forwarded, protocols, OURS) == Origin(address, https)


@given(st.text(), st.lists(st.text()), st.lists(st.text()))
def test_a_stranger_is_where_it_is_whatever_it_says(peer, forwarded, protocols):
    assert origin(f"203.0.113.{len(peer) % 256}", forwarded, protocols, OURS) == Origin(
        f"203.0.113.{len(peer) % 256}"
    )


@given(st.lists(st.text(max_size=30), max_size=5))
def test_what_a_client_made_up_never_counts(made_up):
    forwarded = [*made_up, "203.0.113.5"]
    assert origin("10.0.0.2", forwarded, [], OURS).address == "203.0.113.5"


def test_a_chain_without_end_is_looked_at_from_its_end_only():
    found = origin("10.0.0.2", ["203.0.113.5", *["10.0.0.3"] * 10_000], [], OURS)
    assert found.address == "10.0.0.3"


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("10.0.0.0/24", "", ""),
        ("10.0.0.7", "", ""),
        ("2001:db8::/32", "", ""),
        ("10.0.0.7/24", "bits set", "10.0.0.0/24"),
        ("proxy.internal", "no network", "10.0.0.7"),
        ("", "no network", "10.0.0.7"),
        ("10.0.0.0/33", "no network", "10.0.0.7"),
        ("0.0.0.0/0", "every address", "name"),
        ("::/0", "every address", "name"),
    ],
)
def test_what_a_network_of_proxies_may_be(text, problem, fix):
    said, advice = network_problem(text)
    assert bool(said) == bool(problem)
    assert problem in said
    assert fix in advice
