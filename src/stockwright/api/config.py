"""The configuration over HTTP: what it is and was, and changing parts of it by revisions."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.operations import Operation
from stockwright.api.paging import Page, PageQuery, page_of, position_of
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.config import Connections, read_edits
from stockwright.domain.network import Channel, Location, Network, System
from stockwright.domain.network_changes import FAMILIES, Difference
from stockwright.flow import configuring
from stockwright.flow.configuring import SUBJECTS, Applied
from stockwright.store import history
from stockwright.store.connection import Connection
from stockwright.store.history import MAX_REASON, Revision, RowChange, Said, Version
from stockwright.store.network import read_network

_TOP: Final = 2**63 - 1
Reason = Annotated[
    str, Meta(min_length=1, max_length=MAX_REASON, description="why; kept with the revision")
]
Number = Annotated[int, Meta(ge=0, le=_TOP)]


class ConfigView(msgspec.Struct, kw_only=True):
    """The configuration that is in force, and the last revision that touched it."""

    revision: int
    systems: tuple[System, ...]
    locations: tuple[Location, ...]
    channels: tuple[Channel, ...]


class PlanAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Parts of the configuration as they are to be; what is not named is left alone."""

    systems: list[System] = []
    locations: list[Location] = []
    channels: list[Channel] = []


class ApplyAsk(PlanAsk, kw_only=True, forbid_unknown_fields=True):
    """The parts, and why. With if_revision, only while that is the configuration's revision."""

    reason: Reason
    if_revision: Number | None = None


class RollbackAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Back to the configuration as of a revision, and why."""

    revision: Number
    reason: Reason


class PlanAnswer(msgspec.Struct, kw_only=True):
    """What applying the parts would change, as of this revision of the configuration."""

    revision: int
    differences: Sequence[Difference]


class RevisionAnswer(msgspec.Struct, kw_only=True):
    """A revision and the rows it changed, at most 1,000 of each table."""

    revision: Revision
    changes: Sequence[RowChange]


class RevisionsQuery(PageQuery, kw_only=True, forbid_unknown_fields=True):
    """Which revisions: of the configuration, or of all rules with items and listings too."""

    all: bool = False


class HistoryQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which rows: those whose key begins with these codes, joined by a line feed."""

    key: str = ""
    limit: Annotated[int, Meta(ge=1, le=history.MAX_ROWS)] = 100


class _Loose(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A body whose parts are judged by the rules of the file, which name each field at fault."""

    systems: list[dict[str, Any]] = []
    locations: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []


class _LooseApply(_Loose, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
    if_revision: Number | None = None


_PLAN: Final = msgspec.json.Decoder(_Loose)
_APPLY: Final = msgspec.json.Decoder(_LooseApply)
_ROLLBACK: Final = msgspec.json.Decoder(RollbackAsk)


async def get_config(call: Call) -> Reply:
    """The configuration in force: systems, locations and channels with their rules."""
    return reply(await call.run(_view))


def _view(connection: Connection) -> ConfigView:
    found = configuring.network_of(read_network(connection))
    return ConfigView(
        revision=configuring.newest(connection),
        systems=found.systems,
        locations=found.locations,
        channels=found.channels,
    )


async def list_revisions(call: Call) -> Reply:
    """Revisions of the configuration, newest first: when, who, why, and which tables."""
    query: RevisionsQuery = call.query
    before = position_of(query.cursor, int, _TOP)
    found = await call.run(
        history.revisions,
        before=before,
        limit=query.limit + 1,
        subjects=None if query.all else SUBJECTS,
    )
    return reply(page_of(found, query.limit, lambda revision: revision.id))


async def get_revision(call: Call) -> Reply:
    """One revision with every row it changed, before and after."""
    number = call.path["id"]
    if not (number.isascii() and number.isdigit()) or int(number) > _TOP:
        raise problem("not_found", f"There is no revision {number!r}.")
    return reply(await call.run(_revision, int(number)))


def _revision(connection: Connection, number: int) -> RevisionAnswer:
    made = history.revision(connection, number)
    return RevisionAnswer(revision=made, changes=history.changes_of(connection, made))


async def get_history(call: Call) -> Reply:
    """What the rows of one table of rules were, newest first, each with who made it so and why."""
    query: HistoryQuery = call.query
    key = query.key.split("\n") if query.key else []
    table = call.path["table"]
    return reply(await call.run(history.versions_of, table, key, limit=query.limit))


async def plan_config(call: Call) -> Reply:
    """What applying these parts would change; changes nothing."""
    require_json(call.headers)
    ask = decode(_PLAN, call.body)
    return reply(await call.run(_plan, _by_code(ask), call.services.nameable))


def _plan(connection: Connection, given: Mapping[str, Any], host: Connections) -> PlanAnswer:
    edits = _edits(connection, given, host)
    return PlanAnswer(
        revision=configuring.newest(connection),
        differences=configuring.plan_edits(connection, edits),
    )


async def apply_config(call: Call) -> Reply:
    """Makes these parts what the body says, as a revision with its reason; safe to repeat."""
    require_json(call.headers)
    ask = decode(_APPLY, call.body)
    said = _said(call, ask.reason)
    return reply(
        await call.run(_apply, _by_code(ask), call.services.nameable, said, ask.if_revision)
    )


def _apply(
    connection: Connection,
    given: Mapping[str, Any],
    host: Connections,
    said: Said,
    if_revision: int | None,
) -> Applied:
    edits = _edits(connection, given, host)
    return configuring.apply_edits(connection, edits, said, if_revision=if_revision)


async def roll_back_config(call: Call) -> Reply:
    """Makes the configuration what it was as of a revision, as a new revision."""
    require_json(call.headers)
    ask = decode(_ROLLBACK, call.body)
    said = _said(call, ask.reason)
    return reply(await call.run(configuring.roll_back, ask.revision, said))


def _said(call: Call, reason: str) -> Said:
    return Said(actor=call.caller.actor, source="api", reason=reason)


def _by_code(ask: _Loose) -> dict[str, dict[str, dict[str, Any]]]:
    """The parts as the file has them: tables by code."""
    return {family: _family(family, getattr(ask, family)) for family in FAMILIES}


def _family(family: str, listed: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for place, part in enumerate(listed):
        code = part.get("code")
        field = f"{family}[{place}].code"
        if not isinstance(code, str):
            raise problem("malformed", "Every part has a code.", param=field)
        if code in found:
            raise problem("malformed", f"{code} is there twice; keep one of the two.", param=field)
        found[code] = {name: value for name, value in part.items() if name != "code"}
    return found


def _edits(connection: Connection, given: Mapping[str, Any], host: Connections) -> Network:
    edits, findings = read_edits(given, read_network(connection), host)
    if edits is None:
        errors = [finding for finding in findings if finding.level == "error"]
        told = "; ".join(f"{one.field} {one.problem}: {one.fix}" for one in errors)
        raise problem("malformed", f"{told}.", param=errors[0].field)
    return edits


def operations() -> list[Operation]:
    """The rows of the route table for the configuration."""

    def row(method: Any, path: str, handler: Any, **more: Any) -> Operation:
        return Operation(
            method=method, path=path, handler=handler, tag="config", scope="admin", **more
        )

    changing = ("malformed", "outdated", "misconfigured")
    return [
        row("GET", "/v1/config", get_config, answers={200: ConfigView}),
        row(
            "GET",
            "/v1/config/revisions",
            list_revisions,
            query=RevisionsQuery,
            answers={200: Page[Revision]},
        ),
        row(
            "GET",
            "/v1/config/revisions/{id}",
            get_revision,
            answers={200: RevisionAnswer},
            problems=("not_found",),
        ),
        row("POST", "/v1/config/plan", plan_config, body=PlanAsk, answers={200: PlanAnswer}),
        row(
            "POST",
            "/v1/config/apply",
            apply_config,
            body=ApplyAsk,
            answers={200: Applied},
            problems=changing,
        ),
        row(
            "POST",
            "/v1/config/rollback",
            roll_back_config,
            body=RollbackAsk,
            answers={200: Applied},
            problems=("not_found", "malformed", "misconfigured"),
        ),
        row(
            "GET",
            "/v1/history/{table}",
            get_history,
            query=HistoryQuery,
            answers={200: list[Version]},
        ),
    ]
