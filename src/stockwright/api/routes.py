"""THE route table: what the API does, and what its OpenAPI document says, row by row."""

from typing import Final

from stockwright.api import events, health, ledger, master, reservations, worklist
from stockwright.api.operations import Operation
from stockwright.api.paging import Page, PageQuery
from stockwright.domain.events import Fact
from stockwright.store.entries import EntryView
from stockwright.store.reservations import ReservationView
from stockwright.store.worklist import WorkItemView

_REFUSALS: Final = (
    "insufficient",
    "already_fulfilled",
    "already_claimed",
    "closed",
    "expired",
    "conflict",
    "unknown_demand",
    "unknown_location",
    "unknown_channel",
    "unknown_sku",
    "unknown_unit",
    "forbidden_system",
    "busy",
)

TABLE: Final[tuple[Operation, ...]] = (
    Operation(
        method="POST",
        path="/v1/events",
        handler=events.post_events,
        tag="events",
        scope="events:write",
        body=Fact | list[Fact],
        media=("application/json", "application/x-ndjson"),
        answers={200: events.ItemResult, 202: events.ItemResult, 207: events.BatchResult},
        problems=("bad_encoding", "too_many", "conflict", "forbidden_system", "busy"),
    ),
    Operation(
        method="POST",
        path="/v1/reservations",
        handler=reservations.post_reservation,
        tag="reservations",
        scope="reservations:write",
        body=reservations.ReservationAsk,
        answers={200: reservations.ReservationAnswer, 201: reservations.ReservationAnswer},
        problems=_REFUSALS,
        own_key=True,
    ),
    Operation(
        method="GET",
        path="/v1/reservations/{system}/{order}",
        handler=reservations.get_reservation,
        tag="reservations",
        scope="stock:read",
        answers={200: ReservationView},
        problems=("not_found",),
    ),
    Operation(
        method="POST",
        path="/v1/reservations/{system}/{order}/{transition}",
        handler=reservations.post_transition,
        tag="reservations",
        scope="reservations:write",
        body=reservations.TransitionAsk,
        answers={
            200: reservations.ReservationAnswer,
            201: reservations.ReservationAnswer,
            202: reservations.ReservationAnswer,
        },
        problems=("not_found", *_REFUSALS),
        own_key=True,
    ),
    Operation(
        method="GET",
        path="/v1/ledger/{sku}",
        handler=ledger.get_ledger,
        tag="stock",
        scope="stock:read",
        query=PageQuery,
        answers={200: Page[EntryView]},
    ),
    Operation(
        method="GET",
        path="/v1/work-items",
        handler=worklist.get_work_items,
        tag="work",
        scope="work:read",
        query=worklist.WorkItemQuery,
        answers={200: Page[WorkItemView]},
    ),
    Operation(
        method="GET",
        path="/v1/work-items/{id}",
        handler=worklist.get_work_item,
        tag="work",
        scope="work:read",
        answers={200: WorkItemView},
        problems=("not_found",),
    ),
    Operation(
        method="POST",
        path="/v1/work-items/{id}/close",
        handler=worklist.close_work_item,
        tag="work",
        scope="work:write",
        body=worklist.CloseAsk,
        answers={200: WorkItemView},
        problems=("not_found", "already_closed"),
        stored=True,
    ),
    *master.operations(),
    Operation(
        method="GET",
        path="/metrics",
        handler=health.get_metrics,
        tag="health",
        scope="metrics:read",
        answers={200: None},
    ),
    Operation(
        method="GET",
        path="/healthz",
        handler=health.get_healthz,
        tag="health",
        answers={200: health.Health},
    ),
    Operation(
        method="GET",
        path="/readyz",
        handler=health.get_readyz,
        tag="health",
        answers={200: health.Health},
    ),
)
