"""Goods between places: under way under their document, never below zero, in any order."""

import datetime as dt

from stockwright.domain.accounts import Transfer
from stockwright.domain.books import Overlay
from stockwright.domain.events import Fact, Outcome
from stockwright.domain.goods import Told, apply_waiting, move_told, recorded


def _transfer_document(fact: Fact) -> str:
    return fact.transfer or fact.document


def transfer_out(overlay: Overlay, told: Told) -> Outcome:
    """Goods are under way under their document; what had arrived before it left is settled now."""
    document = _transfer_document(told.fact)
    transfer = overlay.transfer(document, told.sku.code, told.lot)
    move_told(overlay, told, "sellable", "in_transit", told.units, told.lot, document)
    transfer.sent += told.units
    beyond = -transfer.under_way
    if beyond > 0:  # less was sent than arrived or was closed: that came from elsewhere
        move_told(overlay, told, "adjustment", "in_transit", beyond, told.lot, document)
        unarrived = min(beyond, transfer.arrived)
        _still(transfer.closed - (beyond - unarrived))
        transfer.arrived -= unarrived
        transfer.closed -= beyond - unarrived
        transfer.excess += unarrived
        _raise_excess(overlay, told, document, transfer)
    transfer.from_location = told.fact.location
    transfer.to_location = told.fact.to_location or transfer.to_location
    if told.fact.eta is not None:
        transfer.eta = told.fact.eta.astimezone(dt.UTC)
    early = min(transfer.excess, transfer.under_way)
    if early > 0:
        overlay.move(
            told.sku.code,
            told.lot,
            "in_transit",
            "",
            "adjustment",
            "",
            early,
            told.at,
            None,
            document,
        )
        transfer.excess -= early
        transfer.arrived += early
    if not transfer.excess:
        overlay.settle_work("transfer_excess", _transfer_subject(told, document))
    return recorded()


def transfer_in(overlay: Overlay, told: Told) -> Outcome:
    """Goods arrive; beyond what is under way they come from `adjustment`, with a work item."""
    document = _transfer_document(told.fact)
    transfer = overlay.transfer(document, told.sku.code, told.lot)
    transfer.to_location = told.fact.location
    if told.units < 0:
        _take_back(overlay, told, document, transfer)
        return recorded()
    known = min(told.units, transfer.under_way)
    if known > 0:
        move_told(overlay, told, "in_transit", told.fact.bucket, known, told.lot, document)
        transfer.arrived += known
    early = told.units - known
    if early > 0:
        move_told(overlay, told, "adjustment", told.fact.bucket, early, told.lot, document)
        transfer.excess += early
        _raise_excess(overlay, told, document, transfer)
    if told.fact.bucket == "inspection":
        apply_waiting(overlay, told.sku.code, told.fact.location, told.lot)
    return recorded()


def _take_back(overlay: Overlay, told: Told, document: str, transfer: Transfer) -> None:
    """An arrival revised downwards: first what nobody had sent, then back under way."""
    back = -told.units
    early = min(back, transfer.excess)
    if early > 0:
        move_told(overlay, told, "adjustment", told.fact.bucket, -early, told.lot, document)
        transfer.excess -= early
        if not transfer.excess:
            overlay.settle_work("transfer_excess", _transfer_subject(told, document))
    if back > early:
        _still(transfer.arrived - (back - early))
        move_told(overlay, told, "in_transit", told.fact.bucket, early - back, told.lot, document)
        transfer.arrived -= back - early


def _still(units: int) -> None:
    """A revision may name another SKU or transfer than its line: for a person to see."""
    if units < 0:
        raise ValueError("the revision takes back more than was told of this SKU and transfer")


def transfer_close(overlay: Overlay, told: Told) -> Outcome:
    """The rest under way (or a part of it) is lost, or found at a place."""
    document = _transfer_document(told.fact)
    transfer = overlay.transfer(document, told.sku.code, told.lot)
    rest = told.fact.quantity == 0
    units = transfer.under_way if rest else min(told.units, transfer.under_way)
    units = max(units, -transfer.closed)
    if units:
        found = told.fact.close_as == "found"
        move_told(
            overlay,
            told,
            "in_transit",
            "sellable" if found else "adjustment",
            units,
            told.lot,
            document,
        )
        transfer.closed += units
    return recorded()


def _raise_excess(overlay: Overlay, told: Told, document: str, transfer: Transfer) -> None:
    overlay.raise_work(
        "transfer_excess",
        _transfer_subject(told, document),
        told.sku.code,
        told.fact.location,
        excess=transfer.excess,
        sent=transfer.sent,
    )


def _transfer_subject(told: Told, document: str) -> str:
    return f"{document}/{told.sku.code}/{told.lot}"
