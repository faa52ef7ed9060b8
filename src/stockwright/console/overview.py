"""The overview: every link, the totals, and the same as cells for the live stream."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from stockwright.console import formatting as f
from stockwright.domain.links import STATES, Direction, age_s, judge
from stockwright.store.links import Link, Overview

Cells = dict[str, str]
"""Texts by cell name; a page carries the name in `data-cell`."""

_TROUBLED = ("failing", "backlog")
# An old error of a link that works again would only worry people.


class LinkRow(msgspec.Struct, frozen=True):
    """One line of the overview, as people read it. `cells` has the texts that change."""

    key: str
    name: str
    system: str
    connector: str
    state: str
    cells: Cells


class LinkTable(msgspec.Struct, frozen=True):
    """The links of one direction, worst state first, then by name."""

    direction: Direction
    rows: Sequence[LinkRow]


def tables(overview: Overview, zone: dt.tzinfo = dt.UTC) -> list[LinkTable]:
    """The links in two tables, out and in; times in a zone."""
    now = overview.at.astimezone(zone)
    order: list[str] = [state for state, _ in STATES]
    rows: dict[Direction, list[LinkRow]] = {"out": [], "in": []}
    for link in overview.links:
        rows[link.facts.direction].append(_row(link, now))
    for found in rows.values():
        found.sort(key=lambda row: (min(order.index(row.state), 3), row.name))
    return [LinkTable(direction, found) for direction, found in rows.items()]


def _row(link: Link, now: dt.datetime) -> LinkRow:
    facts, judgement = link.facts, judge(link.facts, now)
    return LinkRow(
        key=facts.key,
        name=facts.channel or facts.system,
        system=facts.system,
        connector=facts.connector,
        state=judgement.state,
        cells={
            "state": judgement.state,
            "why": judgement.why,
            "waiting": f.number(facts.waiting) if facts.waiting else f.NOTHING,
            "oldest": f.age(facts.oldest_at, now),
            "lag_p50": f.seconds(facts.lag_p50_s),
            "lag_p99": f.seconds(facts.lag_p99_s),
            "parked": f.number(facts.parked) if facts.parked else f.NOTHING,
            "refused": f.number(facts.refused) if facts.refused else f.NOTHING,
            "success": f.ago(facts.last_success, now),
            "error": facts.last_error if judgement.state in _TROUBLED else "",
        },
    )


def summary(overview: Overview, zone: dt.tzinfo = dt.UTC) -> Cells:
    """The totals as texts; times in a zone."""
    totals, now = overview.totals, overview.at.astimezone(zone)
    behind = age_s(totals.projection_oldest_at, overview.at)
    return {
        "sequence": f.number(totals.sequence),
        "events": f"{totals.events_per_s:,.1f}".replace(",", f.THIN_SPACE),
        "recorded": f.ago(totals.recorded_at, overview.at),
        "projection": f.number(totals.projection_waiting),
        "projection_age": "up to date" if behind is None else f"oldest {f.seconds(behind)}",
        "work": f.number(totals.work_items),
        "work_kinds": ", ".join(
            f"{f.number(count.items)} {f.words(count.kind)}" for count in overview.work[:3]
        )
        or "nothing to decide",
        "parked": f.number(totals.parked),
        "at": f.clock(now, now),
    }


def cells(overview: Overview, zone: dt.tzinfo = dt.UTC) -> Cells:
    """Every text of the page that may change, by `data-cell`; times in a zone."""
    found = {f"total:{name}": text for name, text in summary(overview, zone).items()}
    for table in tables(overview, zone):
        for row in table.rows:
            found |= {f"{row.key}/{name}": text for name, text in row.cells.items()}
    return found


def shape(overview: Overview) -> list[str]:
    """What a page must have lines for; where it differs the page is fetched anew."""
    return sorted(link.facts.key for link in overview.links)


def content(overview: Overview, zone: dt.tzinfo = dt.UTC) -> dict[str, Any]:
    """What the template names."""
    return {
        "overview": overview,
        "tables": tables(overview, zone),
        "totals": summary(overview, zone),
        "now": overview.at,
        "states": STATES,
    }
