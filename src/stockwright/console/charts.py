"""Charts as SVG text: pure functions from data to a picture.

The same picture stands in a page and as a file of its own. Colours are presentation attributes,
which any stylesheet overrides: the console's classes give it a dark and a light face without an
inline style, which its content security policy forbids.
"""

import datetime as dt
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby, pairwise
from typing import Final

Point = tuple[dt.datetime, int]
"""A quantity from a moment on, until the next point."""
LagPoint = tuple[dt.datetime, float, float]
"""Of what was acknowledged from a moment on: the seconds within which half and 99 of 100 came."""

WIDTH: Final = 1100
HEIGHT: Final = 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 82, 36
_CHANNEL_COLOURS: Final = ("#2563c9", "#b45309", "#7c3aed", "#0f766e", "#be185d", "#4d7c0f")
# What a reader wants between two grid lines: a round number of seconds.
_TIME_STEPS_S: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200),
    *(86400 * days for days in (1, 2, 7, 14, 28, 56, 91, 182, 364)),
)
_DAY_S: Final = 86400


@dataclass(frozen=True)
class _Frame:
    """Where data lies in the picture: seconds and units to pixels."""

    start_s: float
    end_s: float
    low: int
    high: int

    def x(self, at: dt.datetime) -> float:
        return self.x_of(at.timestamp())

    def x_of(self, second: float) -> float:
        share = (second - self.start_s) / (self.end_s - self.start_s)
        return _LEFT + min(1.0, max(0.0, share)) * (WIDTH - _LEFT - _RIGHT)

    def y(self, quantity: float) -> float:
        share = (quantity - self.low) / (self.high - self.low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def shown_against_true(
    points_true: Sequence[Point],
    points_shown_by_channel: Mapping[str, Sequence[Point]],
    title: str,
) -> str:
    """What channels showed over the true free stock, as one SVG element, WIDTH by HEIGHT.

    Points are in order of time and hold until the next one, the last until the latest time of all.
    Times need a zone and are written in it. Stretches in which a channel showed more than there was
    are marked. Without any true point the picture says so.
    """
    shown = {channel: points for channel, points in points_shown_by_channel.items() if points}
    everything = [*points_true, *(point for points in shown.values() for point in points)]
    if not points_true:
        return _document(title, _text(WIDTH / 2, HEIGHT / 2, "Nothing was recorded yet.", "middle"))
    frame = _frame(everything)
    zone = points_true[0][0].tzinfo
    parts = [*_quantity_axis(frame), *_time_axis(frame, zone)]
    parts.append(_area(points_true, frame))
    for points in shown.values():
        parts.extend(_oversell(points_true, points, frame))
    parts.append(_line(points_true, frame, "chart-true", "#9aa1ac", 4.5))
    for index, points in enumerate(shown.values()):
        colour = _CHANNEL_COLOURS[index % len(_CHANNEL_COLOURS)]
        parts.append(_line(points, frame, f"chart-c{index % len(_CHANNEL_COLOURS)}", colour, 1.4))
    parts.extend(_legend(list(shown)))
    return _document(title, "".join(parts))


def lag_by_period(
    lags: Sequence[LagPoint],
    title: str,
    *,
    span: tuple[dt.datetime, dt.datetime],
    period_s: int,
    budget_s: float,
) -> str:
    """How late a channel was, period by period, as one SVG element, WIDTH by HEIGHT.

    Lags are in order of time and stand in the middle of their period; a period without any breaks
    the lines. span is what the picture reaches over, in whose zone times are written. The latency
    budget is drawn where it is near.
    """
    if not lags:
        words = "Nothing was acknowledged in this time."
        return _document(title, _text(WIDTH / 2, HEIGHT / 2, words, "middle"))
    highest_ms = max(1, math.ceil(max(p99_s for _, _, p99_s in lags) * 1000))
    budget_ms = budget_s * 1000
    near = budget_ms <= 3 * highest_ms
    frame = _span_frame(span, math.ceil(max(highest_ms, budget_ms if near else 0)))
    parts = [*_quantity_axis(frame, _duration), *_time_axis(frame, span[0].tzinfo)]
    if near:
        y = frame.y(budget_ms)
        parts.append(
            f'<line class="chart-budget" stroke="#dc2626" stroke-dasharray="6 4" x1="{_LEFT}"'
            f' x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
    for slot, values in ((1, [(at, p99) for at, _, p99 in lags]),
                         (0, [(at, p50) for at, p50, _ in lags])):  # fmt: skip
        path = _broken_path(values, frame, period_s)
        parts.append(
            f'<path class="chart-c{slot}" fill="none" stroke="{_CHANNEL_COLOURS[slot]}"'
            f' stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" d="{path}"/>'
        )
    above = "" if near else ", above the picture"
    entries = [
        ("p50", "chart-c0", _CHANNEL_COLOURS[0]),
        ("p99", "chart-c1", _CHANNEL_COLOURS[1]),
        (f"latency budget {_duration(round(budget_ms))}{above}", "chart-budget", "#dc2626"),
    ]
    parts.extend(_legend_of(entries))
    return _document(title, "".join(parts))


def _span_frame(span: tuple[dt.datetime, dt.datetime], highest: int) -> _Frame:
    step = _round_step(highest)
    return _Frame(span[0].timestamp(), span[1].timestamp(), 0, -(-highest // step) * step)


def _broken_path(values: Sequence[tuple[dt.datetime, float]], frame: _Frame, period_s: int) -> str:
    """Straight lines between neighbouring periods; one that stands alone is a dot."""
    text, before = "", None
    for at, seconds in values:
        middle = at.timestamp() + period_s / 2
        follows = before is not None and middle - before < 1.5 * period_s
        x, y = _n(frame.x_of(middle)), _n(frame.y(seconds * 1000))
        text += f"L{x} {y}" if follows else f"M{x} {y}h0.01"
        before = middle
    return text


def _duration(milliseconds: int) -> str:
    if milliseconds < 1000:
        return f"{milliseconds} ms" if milliseconds else "0"
    seconds = milliseconds / 1000
    return f"{seconds:g} s" if seconds < 600 else f"{seconds / 60:g} min"


def _frame(points: Sequence[Point]) -> _Frame:
    seconds = [at.timestamp() for at, _ in points]
    quantities = [quantity for _, quantity in points]
    low, high = min(0, *quantities), max(1, *quantities)
    step = _round_step(high - low)
    return _Frame(
        start_s=min(seconds),
        end_s=max(max(seconds), min(seconds) + 1),
        low=low,
        high=-(-high // step) * step,
    )


def _round_step(span: int) -> int:
    """A step of 1, 2 or 5 times a power of ten that cuts the span in at most five."""
    size = int(10 ** max(len(str(span)) - 2, 0))
    return next(
        step for step in (size, 2 * size, 5 * size, 10 * size, 20 * size) if span <= 5 * step
    )


def _quantity_axis(
    frame: _Frame, label: Callable[[int], str] = lambda quantity: f"{quantity:,}"
) -> Iterator[str]:
    step = _round_step(frame.high - frame.low)
    for quantity in range(-(-frame.low // step) * step, frame.high + 1, step):
        y = frame.y(quantity)
        zero = "chart-zero" if quantity == 0 else "chart-grid"
        colour = "#6b7280" if quantity == 0 else "#e5e7eb"
        yield (
            f'<line class="{zero}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            f' stroke="{colour}"/>'
        )
        yield _text(_LEFT - 8, y + 4, label(quantity).replace(",", "\u2009"), "end")


def _time_axis(frame: _Frame, zone: dt.tzinfo | None) -> Iterator[str]:
    span = frame.end_s - frame.start_s
    step = next((step for step in _TIME_STEPS_S if span / step <= 8), _TIME_STEPS_S[-1])
    first = dt.datetime.fromtimestamp(frame.start_s, zone)
    offset = first.utcoffset() or dt.timedelta()
    # Ticks stand on round local times, so the zone's offset is part of the rounding.
    second = -(-(frame.start_s + offset.total_seconds()) // step) * step - offset.total_seconds()
    while second <= frame.end_s:
        x = frame.x_of(second)
        label = _time_label(dt.datetime.fromtimestamp(second, zone), step, span)
        yield (
            f'<line class="chart-tick" x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - _BOTTOM}"'
            f' y2="{HEIGHT - _BOTTOM + 5}" stroke="#6b7280"/>'
        )
        anchor = "end" if x > WIDTH - 40 else "middle"
        yield _text(x, HEIGHT - _BOTTOM + 20, label, anchor)
        second += step


def _time_label(at: dt.datetime, step_s: int, span_s: float) -> str:
    if step_s >= _DAY_S:
        return at.strftime("%d %b %Y" if span_s > 300 * _DAY_S else "%d %b")
    clock = at.strftime("%H:%M:%S" if step_s < 60 else "%H:%M")
    if span_s <= _DAY_S:
        return clock
    return at.strftime("%d %b") if (at.hour, at.minute) == (0, 0) else clock


def _path(points: Sequence[Point], frame: _Frame) -> str:
    """The step line; inside one pixel column only its first, least, greatest and last level."""
    text = ""
    for x, levels in _by_column(points, frame):
        text += f"H{_n(x)}" if text else f"M{_n(x)} {_n(frame.y(levels[0]))}"
        marks = [levels[0], min(levels), max(levels), levels[-1]] if len(levels) > 1 else levels
        text += "".join(f"V{_n(frame.y(level))}" for level, _ in groupby(marks))
    return f"{text}H{WIDTH - _RIGHT}"


def _by_column(points: Sequence[Point], frame: _Frame) -> Iterator[tuple[float, list[int]]]:
    placed = ((frame.x(at), quantity) for at, quantity in points)
    for _, group in groupby(placed, key=lambda point: int(point[0])):
        column = list(group)
        yield column[0][0], [quantity for _, quantity in column]


def _line(points: Sequence[Point], frame: _Frame, name: str, colour: str, width: float) -> str:
    return (
        f'<path class="{name}" fill="none" stroke="{colour}" stroke-width="{width}"'
        f' stroke-linejoin="round" d="{_path(points, frame)}"/>'
    )


def _area(points: Sequence[Point], frame: _Frame) -> str:
    base = frame.y(0)
    return (
        f'<path class="chart-area" fill="#1f2937" fill-opacity="0.07" stroke="none"'
        f' d="{_path(points, frame)}V{_n(base)}H{_n(frame.x(points[0][0]))}Z"/>'
    )


def _oversell(true: Sequence[Point], shown: Sequence[Point], frame: _Frame) -> Iterator[str]:
    """One path over all that was shown and not there, a pixel column at a time."""
    columns: dict[int, tuple[int, int]] = {}
    for start, end, level, held in _overlaps(true, shown, frame.end_s):
        floor = max(held, 0)
        if level <= floor:
            continue
        left = int(frame.x_of(start))
        for column in range(left, max(int(frame.x_of(end)), left + 1)):
            high, low = columns.get(column, (level, floor))
            columns[column] = (max(high, level), min(low, floor))
    path = "".join(
        f"M{left} {_n(frame.y(high))}H{right}V{_n(max(frame.y(low), frame.y(high) + 1))}H{left}Z"
        for left, right, (high, low) in _runs(columns)
    )
    if path:
        yield (
            '<path class="chart-oversell" fill="#dc2626" fill-opacity="0.35" stroke="none"'
            f' shape-rendering="crispEdges" d="{path}"/>'
        )


def _runs(columns: Mapping[int, tuple[int, int]]) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """(from column, to column, extent) for neighbouring columns of the same extent."""
    ordered = sorted(columns)
    start = 0
    for index in range(1, len(ordered) + 1):
        last = ordered[index - 1]
        if (
            index < len(ordered)
            and ordered[index] == last + 1
            and columns[ordered[index]] == columns[last]
        ):
            continue
        yield ordered[start], last + 1, columns[last]
        start = index


def _overlaps(
    true: Sequence[Point], shown: Sequence[Point], end_s: float
) -> Iterator[tuple[float, float, int, int]]:
    """(from second, to second, shown, true) for every stretch in which both hold still."""
    true_s = [at.timestamp() for at, _ in true]
    shown_s = [at.timestamp() for at, _ in shown]
    edges = sorted({*true_s, *shown_s, end_s})
    for start, end in pairwise(edges):
        level = bisect_right(shown_s, start) - 1
        held = bisect_right(true_s, start) - 1
        if level >= 0 and held >= 0:
            yield start, end, shown[level][1], true[held][1]


def _legend(channels: Sequence[str]) -> Iterator[str]:
    entries = [("true free stock", "chart-true", "#9aa1ac")]
    for index, channel in enumerate(channels):
        slot = index % len(_CHANNEL_COLOURS)
        entries.append((f"shown by {channel}", f"chart-c{slot}", _CHANNEL_COLOURS[slot]))
    entries.append(("shown but not there", "chart-oversell", "#dc2626"))
    yield from _legend_of(entries)


def _legend_of(entries: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Label, class and colour of each, side by side."""
    x, y = float(_LEFT), 44
    for label, name, colour in entries:
        width = 46 + 6.7 * len(label)
        if x + width > WIDTH - _RIGHT and x > _LEFT:
            x, y = float(_LEFT), y + 18
        mark = (
            f'<rect class="{name}" fill="{colour}" fill-opacity="0.35" x="{x:.0f}" y="{y - 6}"'
            ' width="18" height="12"/>'
            if name == "chart-oversell"
            else f'<line class="{name}" x1="{x:.0f}" x2="{x + 18:.0f}" y1="{y}" y2="{y}"'
            f' stroke="{colour}" stroke-width="{4.5 if name == "chart-true" else 2}"/>'
        )
        yield mark + _text(x + 24, y + 4, label, "start")
        x += width


def _n(pixels: float) -> str:
    return f"{pixels:.1f}".removesuffix(".0")


def _text(x: float, y: float, content: str, anchor: str) -> str:
    return (
        f'<text class="chart-text" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        f' fill="#4b5563">{escape(content)}</text>'
    )


def _document(title: str, content: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' role="img" font-family="system-ui, sans-serif" font-size="12">'
        f'<title>{escape(title)}</title><rect class="chart-paper" width="{WIDTH}"'
        f' height="{HEIGHT}" fill="#ffffff"/>'
        f'<text class="chart-title" x="{_LEFT}" y="24" font-size="14" font-weight="600"'
        f' fill="#111827">{escape(title)}</text>{content}</svg>'
    )
