"""What a decided batch says about its balances that a person must know: shortages and negative
stock.
"""

from stockwright.domain.accounts import BUCKETS, Key
from stockwright.domain.books import Books, WorkNote, Written


def alarms(books: Books, written: Written) -> list[WorkNote]:
    """Work items to open and to close after a batch, by comparing its balances before and after."""
    return _shortages(books, written) + _below_zero(books, written)


def _shortages(books: Books, written: Written) -> list[WorkNote]:
    found = []
    for sku, location in {(key[0], key[1]) for key in written.balances}:
        free = 0
        for lot in books.lots_at[(sku, location)]:
            free += books.balances[(sku, location, lot)].free
        if free < 0 or books.free_before.get((sku, location), 0) < 0:
            found.append((sku, location, free))
    notes: list[WorkNote] = []
    for sku, location, free in sorted(found):
        what, detail = ("open", {"free": free}) if free < 0 else ("close", {})
        notes.append((what, "shortage", f"{sku}/{location}", sku, location, "", detail))
    return notes


def _below_zero(books: Books, written: Written) -> list[WorkNote]:
    notes: list[WorkNote] = []
    for key in sorted([key for key in written.balances if _noteworthy(books, key)]):
        balance = books.balances[key]
        below = {bucket: units for bucket in BUCKETS if (units := getattr(balance, bucket)) < 0}
        subject = "/".join(key)
        if below:
            notes.append(("open", "negative_stock", subject, key[0], key[1], "", below))
        elif key in books.negative_before:
            notes.append(("close", "negative_stock", subject, key[0], key[1], "", {}))
        known = books.catalog.skus.get(key[0])
        if known is not None and known.control == "serial" and key[2] and balance.on_hand > 1:
            detail = {"on_hand": balance.on_hand}
            notes.append(("open", "serial_more_than_one", subject, key[0], key[1], "", detail))
    return notes


def _noteworthy(books: Books, key: Key) -> bool:
    return key[2] != "" or books.balances[key].negative or key in books.negative_before
