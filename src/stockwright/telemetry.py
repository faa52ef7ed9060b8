"""The one catalogue of signals: every metric and every span Stockwright gives, and how it logs.

A signal that is not listed here does not exist. Names carry their unit (`_seconds`, `_items`,
`_levels`, `_total` for counts that only grow). docs/reference/telemetry.md lists the same.
Spans are per batch, never per event. Only the OpenTelemetry API is used: without an SDK in the
process spans cost nothing and go nowhere.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

import structlog
from opentelemetry import trace
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

REGISTRY: Final = CollectorRegistry()
"""Ours alone: what other libraries of the process register elsewhere does not appear."""

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

# Half a millisecond (one commit) to a minute (a partner that makes us wait).
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# Up to the 500 items that one transaction may hold.
_ITEMS = (1, 2, 5, 10, 20, 50, 100, 200, 350, 500)


def _counter(name: str, answers: str, labels: Sequence[str] = ()) -> Counter:
    return Counter(name, answers, labels, registry=REGISTRY)


def _gauge(name: str, answers: str, labels: Sequence[str] = ()) -> Gauge:
    return Gauge(name, answers, labels, registry=REGISTRY)


def _histogram(
    name: str, answers: str, labels: Sequence[str] = (), buckets: Sequence[float] = _SECONDS
) -> Histogram:
    return Histogram(name, answers, labels, buckets=buckets, registry=REGISTRY)


# ---------------------------------------------------------------- doors and ledger

RECEIVED = _counter(
    "stockwright_received_items_total",
    "Facts and requests that came in, by door (api, webhook, poll, file).",
    ("system", "door"),
)
OUTCOMES = _counter(
    "stockwright_outcome_items_total", "Items the ledger answered, by outcome code.", ("code",)
)
BUSY = _counter(
    "stockwright_busy_answers_total", "Calls answered 'busy, retry after', by door.", ("door",)
)
QUEUE = _gauge("stockwright_queue_items", "Items waiting for the ledger's next batches.")
BATCH = _histogram(
    "stockwright_batch_items", "Items decided in one ledger transaction.", buckets=_ITEMS
)
COMMIT = _histogram(
    "stockwright_commit_seconds", "One ledger transaction, from its first statement to its commit."
)
RETRIES = _counter(
    "stockwright_batch_retries_total",
    "Ledger transactions run again, by cause (bisected, lost, rerun).",
    ("cause",),
)
SEQUENCE = _gauge("stockwright_ledger_sequence_number", "The ledger's last sequence number.")

# ---------------------------------------------------------------- projection and publication

PROJECTION_LAG = _histogram(
    "stockwright_projection_lag_seconds", "From the mark of a touched SKU to its levels written."
)
PROJECTION_WAITING = _gauge(
    "stockwright_projection_waiting_rows", "Dirty rows that the projection has not consumed yet."
)
PUBLISH_LATENCY = _histogram(
    "stockwright_publish_latency_seconds",
    "From the change of a level to the channel's acknowledgement of it.",
    ("channel",),
)
ATTEMPTS = _counter(
    "stockwright_attempt_levels_total",
    "Levels sent, by outcome (acknowledged, superseded, retry, refused, doubtful).",
    ("channel", "outcome"),
)
BACKLOG = _gauge(
    "stockwright_backlog_levels",
    "Levels whose desired value the channel has not acknowledged.",
    ("channel",),
)
OLDEST_UNPUBLISHED = _gauge(
    "stockwright_oldest_unpublished_seconds",
    "Age of the oldest level that the channel has not acknowledged.",
    ("channel",),
)
POLLS = _counter(
    "stockwright_polls_total", "Polls of a partner, by outcome (ok, failed).", ("system", "outcome")
)

DELIVERIES = _counter(
    "stockwright_delivery_messages_total",
    "Messages to subscribers, by outcome (taken, failed, gone).",
    ("subscription", "outcome"),
)
SUBSCRIPTION_BEHIND = _gauge(
    "stockwright_subscription_behind_items",
    "Changes that a subscription has not come to yet, whether they pass its filters or not.",
    ("subscription",),
)
SUBSCRIPTION_LAG = _gauge(
    "stockwright_subscription_lag_seconds",
    "Age of the oldest change that a subscription has not come to yet.",
    ("subscription",),
)

# ---------------------------------------------------------------- people and the process

PARKED = _gauge(
    "stockwright_parked_payloads", "Payloads waiting for a binding or a person.", ("system",)
)
WORK_ITEMS = _gauge("stockwright_work_items", "Open work items, by kind.", ("kind",))
STEP_FAILURES = _counter(
    "stockwright_step_failures_total",
    "Steps of a worker that failed and will run again.",
    ("step",),
)
HTTP = _histogram(
    "stockwright_http_request_seconds",
    "Requests answered, by route, method and status.",
    ("route", "method", "status"),
)
API_LOG_DROPPED = _counter(
    "stockwright_api_log_dropped_total",
    "Calls left out of the API log, by cause (full, strangers, unwritable).",
    ("cause",),
)
STREAMS = _gauge("stockwright_console_streams", "Browsers that follow the console's stream.")

SPANS: Final[Mapping[str, str]] = {
    "intake.map": "Payloads are mapped to facts and requests, and parked where that fails.",
    "ledger.batch": "One ledger transaction: read, decide, write, commit.",
    "projection.step": "Touched SKUs are taken and their levels computed.",
    "publication.send": "One call that carries levels to a channel.",
    "poll": "One poll of a partner.",
    "delivery": "One turn of a subscription: messages until its consumer has all there is.",
}
"""Every span by name, with what it covers."""

_TRACER = trace.get_tracer("stockwright")


@contextmanager
def span(name: str, **attributes: str | int | float | bool) -> Iterator[trace.Span]:
    """Runs the block under a span of the catalogue; attributes are counts and codes, no contents.

    Raises KeyError where the name is not in SPANS. The block's exceptions pass through, recorded.
    """
    SPANS[name]
    prefixed = {f"stockwright.{key}": value for key, value in attributes.items()}
    with _TRACER.start_as_current_span(name, attributes=prefixed) as current:
        yield current


def exposition() -> bytes:
    """All metrics in the text format that Prometheus scrapes (METRICS_CONTENT_TYPE)."""
    return generate_latest(REGISTRY)


# ---------------------------------------------------------------- logging

HIDDEN: Final = "[hidden]"
_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api_?key$|authorization|cookie|signature|credential",
    re.IGNORECASE,
)
# A password inside a URL, or a name alone that may be a key; a bearer or basic credential;
# parameters, and fields of JSON that a partner says back, that are named like secrets; our own API
# keys and webhook secrets.
_SECRET_TEXT = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@]*:)[^\s/?#'\"]+(?=@)"
    r"|(?P<user>\bhttps?://)[^\s:/?#@'\"]+(?=@)"
    r"|(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}"
    r"|(?P<query>\b(?:password|secret|token|api_?key)=)[^\s&;,'\"]+"
    r"|(?P<named>[?&][\w.-]{0,40}(?:passw(?:or)?d|secret|token|api[_-]?key|access[_-]?key|signature"
    r"|credential)s?=)[^\s&#'\"]+"
    r"|(?P<json>\"[\w.-]{0,40}(?:passw(?:or)?d|secret|token|api[_-]?key)\"\s{0,9}:\s{0,9}\")"
    r"[^\"\\]+"
    r"|(?P<short>[?&](?:sig|pwd|auth)=)[^\s&#'\"]+"
    r"|(?P<key>\bsw_)[\w-]{8,}"
    r"|(?P<hook>\bwhsec_)[\w+/=-]{8,}",
    re.IGNORECASE,
)
# In an address of somebody else also what services call their keys by; our own addresses mean other
# things by these names.
_FOREIGN_KEY = re.compile(
    r"(\bhttps?://[^\s?#'\"]{1,2000}\?(?:[^\s#&'\"]{0,2000}&){0,50}?(?:key|code)=)(?!\[hidden\])[^\s&#'\"]+",
    re.IGNORECASE,
)


def hide_secrets(text: str) -> str:
    """The text with passwords and keys in URLs, credentials and API keys replaced by HIDDEN."""
    hidden = _SECRET_TEXT.sub(
        lambda found: "".join(part or "" for part in found.groups()) + HIDDEN, text
    )
    if "://" not in hidden or "?" not in hidden:
        return hidden
    return _FOREIGN_KEY.sub(lambda found: found[1] + HIDDEN, hidden)


def _redacted(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, Mapping):
        return {inner: _redacted(str(inner), content) for inner, content in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", content) for content in value]
    if isinstance(value, BaseException):
        return hide_secrets(str(value))
    return value


def hide_in(value: Any) -> Any:
    """Plain data (of JSON) with secrets hidden, by the names of their fields and by their shape."""
    return _redacted("", value)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: hides secrets by the name of their field and by their shape in text."""
    for key, value in event.items():
        event[key] = _redacted(key, value)
    return event


def configure_logging(
    *, level: str = "info", as_json: bool | None = None, stream: TextIO | None = None
) -> None:
    """Sends all logging, ours and the libraries', redacted to one stream. Safe to repeat.

    as_json None means JSON lines unless the stream is a terminal. The stream is standard error
    where none is given, so that a command's own output stays clean.
    """
    out = stream if stream is not None else sys.stderr
    machine = as_json if as_json is not None else not out.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if machine
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
