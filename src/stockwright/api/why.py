"""GET /v1/why/{sku}: every quantity of a SKU with all that it stands on, now or at a time."""

import msgspec

from stockwright.api.call import Call
from stockwright.api.reply import Reply, reply
from stockwright.domain.codes import Code
from stockwright.domain.network import Instant
from stockwright.flow import explaining


class WhyQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of which channel, all where left out; as of which time, now where left out; what can be
    promised by which date, where one is named.
    """

    channel: Code | None = None
    at: Instant | None = None
    by: Instant | None = None


async def get_why(call: Call) -> Reply:
    """A SKU's numbers with steps, ledger rows and claims; `at` a time, by the rules of then."""
    query: WhyQuery = call.query
    found = await call.run(explaining.why, call.path["sku"], query.channel, query.at, query.by)
    return reply(found)
