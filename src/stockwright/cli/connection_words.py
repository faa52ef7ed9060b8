"""What the steps of a connection look like in a terminal."""

from collections.abc import Iterator, Sequence

from stockwright.app.connecting import Shadowed
from stockwright.cli.output import encoded
from stockwright.domain.connecting import Step
from stockwright.domain.item_match import PartnerItem
from stockwright.flow.connecting import ConnectionView, Trouble
from stockwright.flow.opening_stock import Opening, Taken
from stockwright.flow.retrying import Retried, Turn
from stockwright.flow.sampling import Sample

_MARKS = {"open": " ", "done": "x", "attention": "!", "failed": "-", "skipped": "x"}
_EVENTS = 5


def added_lines(found: ConnectionView) -> Iterator[str]:
    """After a connection was added."""
    yield f"Added {found.system}. Nothing is sent to it and nothing is read from it yet."
    yield f"The file does not name it: `stockwright config show` prints [systems.{found.system}]."
    yield ""
    yield from status_lines(found)


def status_lines(found: ConnectionView) -> Iterator[str]:
    """One connection with its steps as a checklist."""
    sells = f", sells on {', '.join(found.channels)}" if found.channels else ""
    yield f"{found.system}: {found.stage}, {found.role} by {found.connector}{sells}"
    if found.by_steps and found.since is not None:
        why = f" ({found.why})" if found.why else ""
        forced = ", forced" if found.forced else ""
        yield f"    since {found.since:%Y-%m-%d %H:%M} UTC by {found.by}{why}{forced}"
    elif not found.by_steps:
        yield "    configured without steps: it is live since it was declared"
    yield from (_step(step) for step in found.steps)
    cannot = any(run.error and not run.open for run in found.running)
    if found.stage != "added" and not found.spoken_for and not cannot:
        yield (
            "No worker speaks with it: start `stockwright up`; one that runs begins within seconds."
        )
    for run in found.running:
        if not run.error:
            if not run.current:
                yield f"{run.worker} takes the new settings up."
        elif run.open:
            yield f"{run.worker} goes on with the settings before: {run.error}"
        else:
            yield f"{run.worker} cannot open it: {run.error}"
    yield from (_trouble(one) for one in found.troubles)
    if found.troubles:
        yield f"Once that is mended: stockwright connection retry {found.system} --reason WHY"
    if found.next:
        yield f"Next: {found.next}"


def _trouble(one: Trouble) -> str:
    what = "It cannot be read" if one.what == "read" else "Nothing can be sent to it"
    times = "once" if one.failures == 1 else f"{one.failures} times"
    again = f"; tried again at {one.again_at:%H:%M:%S} UTC" if one.again_at else ""
    return f"{what} ({times}): {one.error}{again}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _step(step: Step) -> str:
    who = f" ({step.by}, {step.at:%Y-%m-%d %H:%M} UTC)" if step.at else ""
    note = f": {step.note}" if step.note else ""
    return f"    [{_MARKS[step.state]}] {step.title}{note}{who}"


def tested_lines(sample: Sample | None) -> Iterator[str]:
    """The sample: the first canonical events, and what could not be mapped."""
    if sample is None:
        return
    yield f"Sample: {_count(sample.payloads, 'message')}, {_count(sample.events, 'event')}"
    yield from (f"    {encoded(fact)}" for fact in sample.first[:_EVENTS])
    if sample.events > _EVENTS:
        yield f"    and {sample.events - _EVENTS:,} more"
    for one in sample.broken:
        missing = f" [{one.missing}]" if one.missing else ""
        yield f"    not mapped: message {one.payload}, {one.path}: {one.reason}{missing}"
    if sample.failures > len(sample.broken):
        yield f"    and {sample.failures - len(sample.broken):,} more that are not mapped"


def item_lines(items: Sequence[PartnerItem]) -> Iterator[str]:
    """A partner's items, one a line."""
    for item in items:
        known = f" -> {item.sku}" if item.sku else ""
        unit = f" in {item.unit}" if item.unit else ""
        why = f": {item.why}" if item.why else ""
        yield f"    {item.state.replace('_', ' ')} {item.code}{known}{unit}{why}"


def stock_lines(opening: Opening, taken: Taken | None) -> Iterator[str]:
    """What the opening stock is or would be."""
    if opening.refused:
        yield f"Opening stock: {opening.refused}"
    else:
        done = "taken" if taken else "would be"
        yield (
            f"Opening stock {done}: {_count(opening.lines, 'count')}, {opening.units:,} units at"
            f" {', '.join(opening.places)}, as of {opening.as_of:%Y-%m-%d %H:%M:%S} UTC"
        )
    for left in opening.first_left_out:
        yield f"    left out {left.code} {left.location}: {left.quantity:,}, {left.why}"
    if opening.left_out > len(opening.first_left_out):
        yield f"    and {opening.left_out - len(opening.first_left_out):,} more left out"


def shadow_lines(found: Shadowed) -> Iterator[str]:
    """What would have been sent and how it differs from what the partner shows."""
    counts = found.connection.shadow
    yield (
        f"Would be sent: {_count(counts.levels, 'level')}, {counts.zeroes:,} of them 0;"
        f" {counts.differing:,} differ from what it shows, {counts.not_shown:,} it does not show."
    )
    for level in found.levels:
        place = f" {level.location}" if level.location else ""
        shown = "nothing" if level.shown is None else f"{level.shown:,}"
        by = "" if level.difference is None else f" ({level.difference:+,})"
        yield (
            f"    {level.channel} {level.listing}{place}: {level.desired:,}, it shows {shown}{by}"
        )
    yield ""
    yield from status_lines(found.connection)


def retry_lines(found: Retried) -> Iterator[str]:
    """When a connection is tried after a retry, or why nothing was changed."""
    turns = found.turns
    yield f"{turns.system}: {'is tried again at once.' if found.changed else 'nothing waits.'}"
    yield f"    reading: {_turn(turns.reading)}"
    yield f"    sending: {_turn(turns.sending)}"


def _turn(turn: Turn) -> str:
    until = f"{turn.until:%Y-%m-%d %H:%M:%S} UTC" if turn.until else ""
    words = {
        "none": "nobody tries it",
        "due": "as soon as there is something to do",
        "waits": f"waits until {until}",
        "held": f"waits until {until}, as its plan or the partner wants it",
        "under_way": "under way",
        "paused": "paused, or not live yet",
        "at_once": "due at once",
    }[turn.state]
    return f"{words}; last error: {turn.error}" if turn.error else words
