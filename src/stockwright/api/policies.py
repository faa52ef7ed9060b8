"""POST /v1/policies/preview: what other exposure policies would change now. Nothing is written."""

from collections.abc import Sequence
from typing import Final

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.paging import Cursor, Limit, cursor_of, position_of
from stockwright.api.reply import Reply, reply
from stockwright.domain.policies import PolicySet
from stockwright.flow import preview as previewing
from stockwright.flow.preview import Effect, Place, Preview
from stockwright.store.connection import Pool
from stockwright.store.session import session


class PreviewAsk(PolicySet, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules that some channels would have, and which page of the effects."""

    limit: Limit = 50
    cursor: Cursor = ""


class PreviewAnswer(msgspec.Struct, kw_only=True):
    """What would change, the largest effects first.

    examined listings were looked at, `changed` of them would show another number, `raised` and
    `lowered` pieces in all. complete is false where there are more than a preview looks at. notes
    are oddities of the rules. next_cursor is null on the last page.
    """

    examined: int
    changed: int
    raised: int
    lowered: int
    complete: bool
    notes: Sequence[str]
    items: Sequence[Effect]
    next_cursor: str | None


def _preview(pool: Pool, ask: PreviewAsk, after: Place | None) -> Preview:
    with session(pool) as connection:
        return previewing.preview(connection, ask, after=after, limit=ask.limit)


_ASK: Final = msgspec.json.Decoder(PreviewAsk)
_START: Final = Place(-1, "", "")


async def post_preview(call: Call) -> Reply:
    """Compares what every listing shows now with what it would show under other policies.

    A dry run: nothing is written. The numbers are of this moment.
    """
    require_json(call.headers)
    ask = decode(_ASK, call.body)
    after = position_of(ask.cursor, Place, _START)
    found = await call.slowly(_preview, call.services.pool, ask, after if ask.cursor else None)
    return reply(
        PreviewAnswer(
            examined=found.examined,
            changed=found.changed,
            raised=found.raised,
            lowered=found.lowered,
            complete=found.complete,
            notes=found.notes,
            items=found.items,
            next_cursor=cursor_of(found.next_place) if found.next_place else None,
        )
    )
