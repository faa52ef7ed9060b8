import io
import json
import logging
import re
from pathlib import Path

import pytest
import structlog
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from stockwright import telemetry

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "telemetry.md"


def exposed_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def label_names(name: str) -> list[str]:
    collector = telemetry.REGISTRY._names_to_collectors[name]
    return list(vars(collector)["_labelnames"])


def families() -> list[Metric]:
    return list(telemetry.REGISTRY.collect())


@pytest.fixture
def logged():
    """A function that says what was logged so far, line by line; logging is put back after."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    stream = io.StringIO()
    telemetry.configure_logging(as_json=True, stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers, root.level = before
    structlog.reset_defaults()


def test_the_reference_lists_every_metric_with_its_labels_and_every_span():
    text = REFERENCE.read_text(encoding="utf-8")
    rows = {
        cells[0].strip("`"): cells
        for line in text.splitlines()
        if line.startswith("| `")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    metrics = {exposed_name(family) for family in families()}
    assert set(rows) == metrics | set(telemetry.SPANS)
    for family in families():
        name, kind, labels, answers = rows[exposed_name(family)]
        assert (name.strip("`"), kind) == (exposed_name(family), family.type)
        assert answers == family.documentation
        assert re.findall(r"`(\w+)`", labels) == label_names(name.strip("`"))
    for name, covers in telemetry.SPANS.items():
        assert rows[name][1] == covers


def test_every_signal_of_the_catalogue_is_given_by_some_part():
    sources = [
        path.read_text(encoding="utf-8")
        for path in Path(telemetry.__file__).parent.rglob("*.py")
        if path.name != "telemetry.py"
    ]
    names = [
        name
        for name, value in vars(telemetry).items()
        if isinstance(value, Counter | Gauge | Histogram)
    ]
    assert len(names) == len(families())
    unused = [n for n in names if not any(f"telemetry.{n}" in text for text in sources)]
    unused += [n for n in telemetry.SPANS if not any(f'"{n}"' in text for text in sources)]
    assert unused == []


def test_every_metric_carries_its_unit_in_its_name():
    units = ("_seconds", "_items", "_rows", "_levels", "_payloads", "_number", "_streams", "_total")
    assert [exposed_name(f) for f in families() if not exposed_name(f).endswith(units)] == []
    assert all(exposed_name(f).startswith("stockwright_") for f in families())


def test_counted_signals_appear_in_the_exposition():
    telemetry.OUTCOMES.labels("a code of this test").inc(3)
    telemetry.PUBLISH_LATENCY.labels("a channel of this test").observe(0.002)
    text = telemetry.exposition().decode()
    assert 'stockwright_outcome_items_total{code="a code of this test"} 3.0' in text
    slowest = 'stockwright_publish_latency_seconds_bucket{channel="a channel of this test",le='
    assert f'{slowest}"0.001"}} 0.0' in text
    assert f'{slowest}"0.0025"}} 1.0' in text


def test_a_span_outside_the_catalogue_is_refused():
    with pytest.raises(KeyError, match="breakfast"), telemetry.span("breakfast"):
        pass


def test_a_span_lets_the_failure_of_its_block_through():
    with pytest.raises(ValueError, match="own"), telemetry.span("ledger.batch", items=3):
        raise ValueError("own failure")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("postgresql://hub:s3cr3t@db/stock", "postgresql://hub:[hidden]@db/stock"),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer [hidden]"),
        ("GET /orders?token=abc123&page=2", "GET /orders?token=[hidden]&page=2"),
        ("key sw_4f9a8b7c6d5e was used", "key sw_[hidden] was used"),
        ("signed with whsec_MfKQ9r8GKYqrTwjUPD8=", "signed with whsec_[hidden]"),
        ("host=db password=hunter2 user=hub", "host=db password=[hidden] user=hub"),
        ("http://shop.example/orders/7:8", "http://shop.example/orders/7:8"),
        ("https://k3y@shop.example/a", "https://[hidden]@shop.example/a"),
        ("https://u:p@ss@shop.example/a@b", "https://u:[hidden]@shop.example/a@b"),
        (
            "https://h.example/?a=1&access_token=k&b=2",
            "https://h.example/?a=1&access_token=[hidden]&b=2",
        ),
        (
            "https://h.example/?a=1&key=k3y&sig=x",
            "https://h.example/?a=1&key=[hidden]&sig=[hidden]",
        ),
        ("GET /v1/history?key=A-1&code=none", "GET /v1/history?key=A-1&code=none"),
        (
            'http_400 ({"message": "no", "data": {"topic": "x", "secret": "n0t-ours"}})',
            'http_400 ({"message": "no", "data": {"topic": "x", "secret": "[hidden]"}})',
        ),
        ('{"page_token":"abc","key":"A-1"}', '{"page_token":"[hidden]","key":"A-1"}'),
        ("17 units of sku SW-4 at 10:30", "17 units of sku SW-4 at 10:30"),
    ],
)
def test_secrets_are_hidden_by_their_shape_and_nothing_else_is(text, safe):
    assert telemetry.hide_secrets(text) == safe


def test_secrets_are_hidden_by_the_name_of_their_field_at_any_depth(logged):
    structlog.get_logger("connector").warning(
        "call failed",
        api_key="plain",
        settings={"webhook_secret": "whsec", "url": "http://a:b@c/d"},
        calls=[{"headers": {"Authorization": "x"}}],
        quantity=4,
    )
    (line,) = logged()
    assert line["api_key"] == "[hidden]"
    assert line["settings"] == {"webhook_secret": "[hidden]", "url": "http://a:[hidden]@c/d"}
    assert line["calls"] == [{"headers": {"Authorization": "[hidden]"}}]
    assert line["quantity"] == 4
    assert line["level"] == "warning"


def test_an_exception_with_a_password_in_its_text_is_logged_without_it(logged):
    try:
        raise ConnectionError("cannot reach postgresql://hub:hunter2@db/stock")
    except ConnectionError:
        structlog.get_logger().exception("database is away")
    (line,) = logged()
    assert "hunter2" not in json.dumps(line)
    assert "postgresql://hub:[hidden]@db/stock" in line["exception"]


def test_libraries_that_log_by_the_standard_module_are_redacted_too(logged):
    logging.getLogger("aiohttp.client").warning("retrying %s", "http://u:hunter2@shop/levels")
    (line,) = logged()
    assert line["event"] == "retrying http://u:[hidden]@shop/levels"
    assert line["logger"] == "aiohttp.client"
