"""What a decided batch says about its balances that a person must know: shortages and negative
stock.
"""

from stockwright.domain.accounts import BUCKETS, Balance
from stockwright.domain.books import Books, WorkNote, Written


def alarms(books: Books, written: Written) -> list[WorkNote]:
    """Work items to open and to close after a batch, by comparing its balances before and after."""
    notes: list[WorkNote] = []
    for sku, location in sorted({(key[0], key[1]) for key in written.balances}):
        free = sum(
            books.balances[(sku, location, lot)].free for lot in books.lots_at[(sku, location)]
        )
        before = books.free_before.get((sku, location), 0)
        if free < 0:
            notes.append(
                ("open", "shortage", f"{sku}/{location}", sku, location, "", {"free": free})
            )
        elif before < 0:
            notes.append(("close", "shortage", f"{sku}/{location}", sku, location, "", {}))
    for key in sorted(written.balances):
        balance = books.balances[key]
        if _ordinary(balance) and not key[2] and key not in books.negative_before:
            continue
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


def _ordinary(balance: Balance) -> bool:
    return (
        balance.sellable >= 0
        and balance.inspection >= 0
        and balance.quarantined >= 0
        and balance.damaged >= 0
    )
