"""What the overview reads, and how a link is judged."""

import datetime as dt

import pytest

from stockwright.domain.links import LinkFacts, judge
from stockwright.store import links
from stockwright.store.connection import connect
from tests.console.seeding import Seed, seed_wholesaler

NOW = dt.datetime(2026, 3, 2, 10, 30, 0, tzinfo=dt.UTC)


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def out(**known) -> LinkFacts:
    known = {"connector": "json_http", **known}
    return LinkFacts(direction="out", system="shop", channel="shop", **known)


JUDGED = [
    # what is known                                                          state      why
    (out(), "idle", "nothing to publish yet: no listing of this channel has stock behind it"),
    (out(last_activity=ago(3600)), "idle", "nothing changed since 09:30:00"),
    (out(connector=""), "idle", "nothing is sent: this channel asks the API"),
    (out(last_activity=ago(86400)), "idle", "nothing changed since 01 Mar 2026 10:30:00"),
    (out(last_activity=ago(2)), "live", "in step"),
    (out(waiting=4, oldest_at=ago(1)), "live", "4 levels on the way"),
    (
        out(waiting=4, ready=4, oldest_at=ago(1), throttled=True),
        "live",
        "throttled by its limit, 4 levels waiting",
    ),
    (
        out(waiting=4, ready=4, oldest_at=ago(8), leased=True, worker_at=ago(60)),
        "backlog",
        "behind its budget of 5 s, 4 levels waiting",
    ),
    (
        out(waiting=1, ready=1, oldest_at=ago(11)),
        "backlog",
        "no worker holds a lease, 1 level waiting: is `stockwright up` running?",
    ),
    (
        out(waiting=2, ready=2, oldest_at=ago(11), worker_at=ago(40)),
        "backlog",
        "no worker holds a lease, 2 levels waiting: is `stockwright up` running?",
    ),
    (
        out(waiting=2, ready=2, oldest_at=ago(11), worker_at=ago(3)),
        "backlog",
        "behind its budget of 5 s, 2 levels waiting",
    ),
    (
        LinkFacts(direction="in", system="erp", waiting=2, ready=2, oldest_at=ago(30)),
        "backlog",
        "no worker holds a lease, 2 payloads waiting: is `stockwright up` running?",
    ),
    (
        out(last_activity=ago(3600), worker_at=ago(600)),
        "idle",
        "no worker looked at it since 10:20:00",
    ),
    (out(last_activity=ago(3600), worker_at=ago(6)), "idle", "nothing changed since 09:30:00"),
    (
        out(waiting=9, ready=9, oldest_at=ago(11), throttled=True, worker_at=ago(1)),
        "backlog",
        "throttled by its limit, 9 levels waiting",
    ),
    (
        out(waiting=2, oldest_at=ago(99), last_try="it cannot be reached", worker_at=ago(1)),
        "backlog",
        "behind its budget of 5 s, 2 levels waiting; the last try: it cannot be reached",
    ),
    (
        out(failures=3, retry_at=ago(-12), waiting=9, oldest_at=ago(99)),
        "failing",
        "waiting for retry at 10:30:12, failed 3 times in a row",
    ),
    (out(failures=1, retry_at=ago(1)), "failing", "failed once, trying again now"),
    (
        out(paused=True, paused_by="ada", paused_at=ago(60), failures=3, waiting=2),
        "paused",
        "paused by ada since 10:29:00, 2 levels waiting",
    ),
    (LinkFacts(direction="in", system="erp"), "idle", "nothing came in yet"),
    (
        LinkFacts(direction="in", system="erp", last_activity=ago(90), next_poll_at=ago(-5)),
        "idle",
        "nothing came in since 10:28:30, next poll at 10:30:05",
    ),
]


@pytest.mark.parametrize(("facts", "state", "why"), JUDGED)
def test_a_link_is_judged_by_the_first_state_that_applies_and_says_why(facts, state, why):
    judgement = judge(facts, NOW)
    assert (judgement.state, judgement.why) == (state, why)


def read(url: str) -> dict[str, links.Link]:
    with connect(url) as connection:
        return {link.facts.key: link for link in links.overview(connection).links}


def test_every_channel_has_a_link_out_and_every_system_a_link_in(seed: Seed, database_url):
    seed_wholesaler(seed)
    found = read(database_url)
    assert {key for key in found if key.startswith("out:")} == {
        f"out:{code}:{code}" for code in ("webshop", "b2b", "market-a", "market-b", "dropship")
    }
    assert {key for key in found if key.startswith("in:")} == {
        f"in:{code}:"
        for code in ("erp", "wms", "webshop", "b2b", "market-a", "market-b", "dropship")
    }


def test_the_states_of_a_wholesalers_links_come_from_the_tables(seed: Seed, database_url):
    seed_wholesaler(seed)
    found = read(database_url)
    states = {key: link.judgement.state for key, link in found.items() if key.startswith("out:")}
    assert states == {
        "out:webshop:webshop": "live",
        "out:b2b:b2b": "live",
        "out:market-a:market-a": "failing",
        "out:market-b:market-b": "idle",
        "out:dropship:dropship": "paused",
    }
    assert found["out:dropship:dropship"].judgement.why.startswith("paused by a.keller since ")
    assert found["out:market-a:market-a"].facts.last_error == "503 Service Unavailable"
    assert found["in:erp:"].facts.parked == 1


def test_the_lag_is_that_of_the_acknowledgements_inside_the_window(seed: Seed, database_url):
    seed.system("shop")
    seed.location("LON")
    seed.channel("shop", "shop", "LON")
    for second, latency_s in ((5000, 9.0), (50, 0.1), (40, 0.2), (30, 0.3)):
        version = seed.change("shop", f"L{second}", 1, second)
        seed.attempt("shop", f"L{second}", 1, version, latency_s=latency_s)
    unanswered = seed.change("shop", "L9", 1, 20)
    seed.attempt("shop", "L9", 1, unanswered, latency_s=30, outcome=None)
    facts = read(database_url)["out:shop:shop"].facts
    assert facts.samples == 3
    assert facts.lag_p50_s == pytest.approx(0.2, abs=0.002)
    assert facts.lag_p99_s == pytest.approx(0.298, abs=0.003)


def test_backlog_counts_what_is_due_or_on_its_way_and_its_oldest(seed: Seed, database_url):
    seed.system("shop")
    seed.location("LON")
    seed.channel("shop", "shop", "LON")
    seed.level("shop", "A", 3, seconds_ago=120, state="due")
    seed.level("shop", "B", 3, seconds_ago=30, state="due")
    seed.level("shop", "C", 3, seconds_ago=900, acknowledged=3)
    seed.level("shop", "D", 3, seconds_ago=700, state="refused", last_error="unknown listing")
    link = read(database_url)["out:shop:shop"]
    assert (link.facts.waiting, link.facts.ready, link.facts.refused) == (2, 2, 1)
    assert link.facts.oldest_at == pytest.approx(seed.ago(120), abs=dt.timedelta(seconds=0.01))
    assert link.judgement.state == "backlog"
    assert "no worker holds a lease" in link.judgement.why


def test_totals_count_the_ledger_the_work_and_the_rate_of_events(seed: Seed, database_url):
    seed.system("wms")
    seed.sku("A")
    for second in (100, 8, 6, 4, 2):
        seed.event("receipt", "A", 1, ("supplier", "sellable"), seconds_ago=second)
    seed.connection.execute("insert into dirty (sku, sequence) values ('A', 5), ('A', 6)")
    seed.connection.execute("insert into work_item (kind, subject) values ('shortage', 'A')")
    with connect(database_url) as connection:
        found = links.totals(connection)
    assert (found.sequence, found.projection_waiting, found.work_items) == (5, 2, 1)
    assert found.events_per_s == pytest.approx(0.4)
    assert (found.skus, found.channels) == (1, 0)


def test_an_empty_hub_has_an_overview_too(database_url):
    with connect(database_url) as connection:
        found = links.overview(connection)
    assert list(found.links) == []
    assert (found.totals.sequence, found.totals.recorded_at) == (0, None)


def test_a_channel_is_throttled_while_its_budget_was_just_used_up(seed: Seed, database_url):
    seed.location("LON")
    for code, refilled_s_ago in (("busy", 1), ("rested", 60)):
        seed.system(code)
        seed.channel(code, code, "LON")
        seed.level(code, "A", 3, seconds_ago=30, state="due")
        seed.connection_state(
            code, tokens=0.2, refilled_at=seed.ago(refilled_s_ago), heartbeat=seed.ago(1)
        )
    found = read(database_url)
    assert found["out:busy:busy"].judgement.why == "throttled by its limit, 1 level waiting"
    assert not found["out:rested:rested"].facts.throttled


def test_a_channel_that_no_worker_looks_at_any_more_says_so(seed: Seed, database_url):
    seed.system("shop")
    seed.location("LON")
    seed.channel("shop", "shop", "LON")
    seed.connection_state("shop", last_success=seed.ago(900), heartbeat=seed.ago(600))
    judgement = read(database_url)["out:shop:shop"].judgement
    assert judgement.state == "idle"
    assert judgement.why.startswith("no worker looked at it since ")


def test_a_system_whose_polls_fail_is_failing_until_its_next_try(seed: Seed, database_url):
    seed.system("erp", "erp")
    seed.connection.execute(
        "insert into poll_cursor (connection, failures, last_error, last_error_at, due_at)"
        " values ('erp', 3, 'connection refused', now(), now() + interval '1 minute')"
    )
    link = read(database_url)["in:erp:"]
    assert link.judgement.state == "failing"
    assert link.judgement.why.startswith("waiting for retry at ")
    assert link.judgement.why.endswith("failed 3 times in a row")
    assert link.facts.last_error == "connection refused"


def test_payloads_that_nobody_maps_are_a_backlog_of_their_system(seed: Seed, database_url):
    seed.system("erp", "erp")
    seed.connection.execute(
        "insert into payload (system, door, body, received_at)"
        " values ('erp', 'webhook', '', now() - interval '1 minute'), ('erp', 'webhook', '', now())"
    )
    assert read(database_url)["in:erp:"].judgement.why == (
        "no worker holds a lease, 2 payloads waiting: is `stockwright up` running?"
    )
    seed.connection.execute("update payload set lease_until = now() + interval '1 minute'")
    link = read(database_url)["in:erp:"]
    assert link.judgement.why == "behind its budget of 5 s, 2 payloads waiting"
    assert link.facts.leased
