"""What a partner of another form answers to a batch of levels, as data."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stockwright.connectors.json_http.wire import DEFAULT_RETRY_S, LevelResult, result_of
from stockwright.sdk.mapping import holds, located
from stockwright.sdk.messages import Applied, InDoubt, LevelKey, LevelToSend, PublishResult
from stockwright.sdk.sources import (
    MAX_VERSION,
    MISSING,
    Spot,
    Style,
    Wrong,
    resolve,
    source_of,
    text_of,
    walk,
    whole_number,
)

FIELDS: Final = ("listing", "location", "quantity", "version", "reason", "retry_after_s")
_STYLE: Final = Style()


class Answer(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Where the results of a batch stand. each: the path of their list; without it an answer of
    200, 201 or 204 says that every level is shown.

    fields: listing, location, quantity, version, reason, retry_after_s -> source. applied, retry:
    source -> the text, or one of the texts, that says so; what is neither is refused.
    """

    each: str = ""
    fields: dict[str, str] = {}
    applied: dict[str, str | list[str]] = {}
    retry: dict[str, str | list[str]] = {}

    def __post_init__(self) -> None:
        for name, source in self.fields.items():
            if name not in FIELDS:
                reason = f"a result has no field {name!r}; it has {', '.join(FIELDS)}"
                raise located(reason, "fields", name)
            _check(source, "fields", name)
        for part in ("applied", "retry"):
            for source in getattr(self, part):
                _check(source, part, source)
        if not self.each:
            if self.fields or self.applied or self.retry:
                raise ValueError("must say each, the list of results that the rest is about")
            return
        _check(self.each, "each")
        if "listing" not in self.fields or not self.applied:
            raise ValueError("must say where the listing is, and what says that it is applied")


def _check(source: str, *steps: str) -> None:
    try:
        source_of(source)
    except ValueError as error:
        raise located(str(error), *steps) from None


def results_in(answer: Answer, levels: Sequence[LevelToSend], body: bytes) -> list[PublishResult]:
    """The results by name, aligned with the levels; in doubt where none can be told."""
    if not answer.each:
        return [Applied()] * len(levels)
    try:
        root: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return [InDoubt(reason="the partner's answer cannot be read")] * len(levels)
    found = walk(root, answer.each)
    if not isinstance(found, list):
        return [InDoubt(reason=f"the partner's answer has no list at {answer.each}")] * len(levels)
    told: dict[LevelKey, LevelResult] = {}
    for number, element in enumerate(found, start=1):
        result = _result(answer, Spot(root, element, f"{answer.each}[{number - 1}]", number))
        if result is not None:
            told[LevelKey(listing=result.listing, location=result.location)] = result
    keys = [_key(answer, level) for level in levels]
    times = Counter(keys)
    # Two levels that an answer does not tell apart are both in doubt.
    return [result_of(told.get(key) if times[key] == 1 else None) for key in keys]


def _key(answer: Answer, level: LevelToSend) -> LevelKey:
    location = level.location if "location" in answer.fields else ""
    return LevelKey(listing=level.listing, location=location)


def _result(answer: Answer, spot: Spot) -> LevelResult | None:
    """One result; None where it cannot be read: its level stays in doubt."""
    applied = holds(answer.applied, spot, _STYLE)
    busy = bool(answer.retry) and holds(answer.retry, spot, _STYLE)
    try:
        listing, location, reason = (_text(answer, n, spot) for n in FIELDS[:2] + FIELDS[4:5])
        if not listing:
            return None
        wait_s = _text(answer, "retry_after_s", spot)
        return LevelResult(
            listing=listing,
            location=location,
            status="applied" if applied else "retry" if busy else "refused",
            reason=reason,
            retry_after_s=float(wait_s) if wait_s else DEFAULT_RETRY_S,
            quantity=_number(answer, "quantity", spot),
            version=_number(answer, "version", spot),
        )
    except (Wrong, ValueError):
        return None


def _text(answer: Answer, name: str, spot: Spot) -> str:
    if name not in answer.fields:
        return ""
    value, _ = resolve(answer.fields[name], spot, _STYLE)
    if isinstance(value, float):
        return str(value)
    return "" if value is MISSING else text_of(value) or ""


def _number(answer: Answer, name: str, spot: Spot) -> int | None:
    if name not in answer.fields:
        return None
    value, _ = resolve(answer.fields[name], spot, _STYLE)
    return None if value is MISSING else whole_number(value, MAX_VERSION)
