"""What comes to the ledger with a batch, and what it answers where a batch cannot be recorded."""

import datetime as dt

import msgspec


class RawPayload(msgspec.Struct):
    """The raw body of one call, kept in the same commit as its items. id is given on first use."""

    system: str
    door: str
    content_type: str
    headers: dict[str, str]
    body: bytes
    received_at: dt.datetime | None = None
    id: int = 0
    stored: bool = False


class Settlement(msgspec.Struct):
    """How far a payload of the first door is recorded once this batch commits."""

    payload_id: int
    items_done: int
    final: bool


class BatchRefused(Exception):
    """The database refused a value, a constraint or a size (SQLSTATE 22, 23, 54): some item of the
    batch is at fault.
    """


class BatchInterrupted(Exception):
    """The batch may be run again as it is (SQLSTATE 40, 08, 57, or a COMMIT whose end is not
    known). in_doubt: it may have been recorded nevertheless.
    """

    def __init__(self, why: str, *, in_doubt: bool = True) -> None:
        super().__init__(why)
        self.in_doubt = in_doubt
