"""POST /v1/heartbeat: a system says that it is alive, also while it has nothing to tell."""

import datetime as dt
from typing import Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.domain.codes import Code
from stockwright.store import windows


class HeartbeatAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which system is alive; may be left out where the key is bound to one."""

    system: Code | None = None


class HeartbeatAnswer(msgspec.Struct, kw_only=True):
    """The sign of life as it was noted."""

    system: str
    seen_at: dt.datetime


_ASK: Final = msgspec.json.Decoder(HeartbeatAsk)


async def post_heartbeat(call: Call) -> Reply:
    """Notes that a system is alive; one that misses a heartbeat it promised counts as silent."""
    require_json(call.headers)
    ask = decode(_ASK, call.body)
    system = ask.system or call.caller.system
    if not system:
        raise problem("malformed", "This key is bound to no system: say which.", param="system")
    if not call.caller.speaks_for(system):
        raise problem("forbidden_system", param="system")
    seen_at = await call.run(windows.beat, system)
    if seen_at is None:
        raise problem("not_found", f"There is no system {system}.", param="system")
    return reply(HeartbeatAnswer(system=system, seen_at=seen_at))
