"""What each kind of work item asks of a person: what happened, and what settles it."""

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, str]] = {
    "shortage": (
        "More is promised at this place than lies there. Move goods in, move promises elsewhere, "
        "or correct the count. The item closes by itself once nothing is short."
    ),
    "negative_stock": (
        "More left this bucket than was known to be in it: a receipt or a count is missing, or "
        "came late. Count it, or tell what is missing. The item closes by itself once the bucket "
        "is not below zero."
    ),
    "serial_more_than_one": (
        "A serial number stands for one piece, and more than one is on hand under it. Count the "
        "lot, or correct the receipt that told it twice."
    ),
    "discrepancy": (
        "A partner whose word does not count here told another quantity than the ledger holds. "
        "The ledger was not changed. Have the place counted by whose word counts. The item closes "
        "by itself once they agree."
    ),
    "recount": (
        "A count and a movement of another system lie so close together that it is not certain "
        "whether the count includes the movement. Nothing was adjusted. Count again."
    ),
    "conflict": (
        "One identity was told twice with different content; the first telling holds. Ask the "
        "sender which is right, and have a correction sent under a new identity or revision."
    ),
    "poison": (
        "Several workers in a row did not come to the end of this message; it is parked. Look at "
        "the log of the workers, then resume it under Parked."
    ),
    "lot_missing": (
        "Goods of a SKU that is kept by lot came without one. Find out the lot and tell it, for "
        "they cannot be recalled, and their shelf life is not known."
    ),
    "lot_not_kept": (
        "A lot was recalled or expired, and this SKU is not kept by lot: which units are meant is "
        "not known. Look at the goods, and block them by a movement of their own."
    ),
    "cancel_requested": (
        "The customer cancelled units that are held by the warehouse already. Stop them there, or "
        "let them go: releasing or shipping them settles it, and the item closes by itself."
    ),
    "shipped_after_cancel": (
        "Units left although they were cancelled before. Ask for them back, or have the customer "
        "keep them and pay."
    ),
    "returned_more_than_shipped": (
        "More came back for this order line than had left for it. Find the order that the rest "
        "belongs to, or the shipment that was never told."
    ),
    "sku_mismatch": (
        "Another SKU left than the order line names. Find out whether it was packed wrongly or "
        "booked wrongly, and correct that."
    ),
    "transfer_excess": (
        "More arrived, or was taken back, than this transfer had under way. Find the missing "
        "document, or count the receiving place."
    ),
    "reversal_by_hand": (
        "An event of this kind is not taken back by itself: doing so could undo what came later. "
        "Tell the opposite by a document or a count of its own."
    ),
    "revision_by_hand": (
        "The sender changed something that cannot be changed afterwards. The field and the next "
        "step stand below."
    ),
    "supply_overdue": (
        "The date of this supply has passed, and it counts no more. Tell a new date, or close the "
        "supply line."
    ),
    "publication_refused": (
        "The channel will not take these numbers; its reason stands below. Remove the cause, then "
        "close the item: the levels are sent again."
    ),
    "publication_stuck": (
        "A job that the partner took has not ended within its time, and counts as failed: its "
        "levels are sent again. Ask the partner what became of it. The item closes by itself once "
        "the partner answers again."
    ),
    "orders_unseen": (
        "Higher numbers waited for the channel's orders to be read, in vain, and went out less a "
        "buffer. See why the polls of its orders fail. The item closes by itself once one is "
        "complete."
    ),
    "webhook_off": (
        "The partner gave up telling us by webhook; polls bring the same, only later. Where it "
        "comes again, compare the secret its webhooks are signed with and the address it calls. "
        "The item closes by itself once all are on."
    ),
    "subscription_stopped": (
        "A consumer did not take what it subscribed to, and is told nothing more. Have it mended, "
        "then resume the subscription: it goes on where it stopped, and the item closes."
    ),
    "connection_not_opened": (
        "A process cannot open this connection as it is configured now; the detail names the "
        "setting. It goes on with the settings before, or not at all. Correct the setting: it is "
        "tried every few seconds, and the item closes by itself."
    ),
    "connection_misconfigured": (
        "The partner refuses our calls because of a setting. Correct what the detail names. It is "
        "tried by itself, what is sent every 30 seconds and what is read every five minutes, and "
        "the item closes once the partner answers again."
    ),
}
"""By kind; every kind that is raised has its sentence."""
