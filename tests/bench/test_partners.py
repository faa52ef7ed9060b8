"""The benches against partners reach their end: levels are shown, orders recorded once."""

import math

import pytest

from bench import publication, webhooks
from bench.measure import Measure
from bench.report import table
from stockwright.store.baseline import scratch_database
from stockwright.store.embedded import EmbeddedServer


def test_every_changed_level_reaches_a_sandbox(cluster: EmbeddedServer) -> None:
    run = publication.published(cluster.url_of("postgres"), "shopify", 600)
    assert run.wrong == 0
    assert run.seconds > 0


@pytest.mark.parametrize(
    ("name", "least_s"),
    # 400 calls of 10 points, 2,000 there and 100 back a second; 9 feeds, none of which waits; calls
    # at a rate after a burst; and bulks with a look at each.
    [
        ("shopify", 20),
        ("amazon", 120),
        ("woocommerce", 198),
        ("bigcommerce", 36),
        ("magento", 98),
    ],
)
def test_the_least_time_is_what_the_limits_say(name: str, least_s: float) -> None:
    plan = publication.PLANS[name]
    calls = math.ceil(publication.LEVELS / plan.batch)
    assert plan.least_s(calls) == pytest.approx(least_s)


def test_orders_told_by_webhook_are_all_recorded_once(cluster: EmbeddedServer) -> None:
    with (
        scratch_database(cluster.url_of("postgres"), items=webhooks.ITEMS) as url,
        webhooks.connected(url) as (product, secret),
    ):
        answers, per_s = webhooks.recorded(url, product, secret, "1", seconds=0.3)
        assert webhooks.count(url) == answers.answered > 0
        assert per_s > 0


def test_a_ratio_that_must_stay_small_says_so() -> None:
    one = Measure(
        name="p", value=24, baseline=20, ratio=1.2, target=1.2, unit="s at most", load_average=1
    )
    assert "| at most 1.2x |" in table([one])
