"""POST /v1/counts: a whole count of a place, with what its silence means."""

import msgspec

from stockwright.api.bodies import decode, require_json
from stockwright.api.call import Call
from stockwright.api.events import admit, answer_batch, item_result, raw_payload
from stockwright.api.reply import Reply
from stockwright.domain.count_sheets import CountSheet, facts
from stockwright.domain.events import Fact
from stockwright.store.cells import bound_items, held_cells
from stockwright.store.connection import Connection

_SHEET = msgspec.json.Decoder(CountSheet)


async def post_count(call: Call) -> Reply:
    """Records a count sheet; a full one counts as zero what it leaves out. One result per cell."""
    require_json(call.headers)
    sheet = decode(_SHEET, call.body)
    probe = Fact(kind=sheet.kind, document=sheet.document, quantity=0, system=sheet.system)
    refusal = admit(probe, call.caller)
    if refusal is not None:
        raise refusal
    sheet.system = probe.system
    items = await call.run(expanded, sheet)
    raw = raw_payload(call, sheet.system)
    outcomes = await call.services.recorder.record(items, bulk=True, raw=raw)
    return answer_batch([item_result(outcome) for outcome in outcomes])


def expanded(connection: Connection, sheet: CountSheet) -> list[Fact]:
    """The sheet's facts; a full one's partner codes are resolved, lest silence be misread."""
    if sheet.scope != "full":
        return facts(sheet, ())
    bound = bound_items(connection, sheet.system, [line.item for line in sheet.lines if line.item])
    for line in sheet.lines:
        if not line.sku and line.item in bound:
            line.sku, line.item = bound[line.item], ""
    return facts(sheet, held_cells(connection, sheet.location))
