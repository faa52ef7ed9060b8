"""What a key that is bound to one system reaches: every operation of the route table, by name.

Such a key touches what is its system's own: its channels, the locations where its word counts, its
bindings, orders, supply, payloads and work items. Goods are everybody's and may be read. The rest
takes a key that is bound to none. An operation that is missing here is refused to bound keys.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from stockwright.api.call import Call
from stockwright.api.problems import ProblemRaised, problem
from stockwright.domain.backorders import ToldOwed
from stockwright.domain.items import Binding, Listing
from stockwright.domain.network import Location
from stockwright.store.access import Caller
from stockwright.store.kinds import Row

Reach = Literal["shared", "judged", "narrowed", "system", "channel", "location", "unbound"]

REACHES: Final[Mapping[Reach, str]] = {
    "shared": "everything: it is nobody's own",
    "judged": "item by item, or by what the answer holds: only what is its system's own",
    "narrowed": "the list is narrowed to its own system",
    "system": "its own system alone",
    "channel": "the channels of its system alone",
    "location": "the locations where its system has authority",
    "unbound": "nothing: it takes a key that is bound to no system",
}
"""Every reach, and what a bound key gets by it."""

REACH: Final[Mapping[str, Reach]] = {
    **dict.fromkeys(
        (
            *("get_stock", "get_stock_of_sku"),
            *("list_items", "get_item", "list_units", "get_unit", "list_kits", "get_kit"),
            *("list_locations", "get_location"),
            *("post_hook", "get_healthz", "get_readyz"),
        ),
        "shared",
    ),
    **dict.fromkeys(
        (
            *("post_events", "post_count", "post_heartbeat"),
            *("post_reservation", "get_reservation", "post_transition"),
            *("post_availability", "get_promise"),
            *("post_supply", "get_supply", "close_supply"),
            *("post_backorders", "get_backorder", "close_backorder"),
            *("get_work_item", "close_work_item", "reopen_work_item", "assign_work_item"),
            *("get_payload", "get_payload_body", "resume_payload", "discard_payload"),
            *("preview_replay", "replay_payload"),
            *("list_listings", "list_bindings"),
            *("export_kind", "export_master", "import_kind", "import_master"),
            *("get_publications", "get_connections"),
        ),
        "judged",
    ),
    **dict.fromkeys(
        (
            *("list_supply", "list_backorders", "get_changes"),
            *("get_work_items", "get_work_item_facets", "get_parked", "get_parked_facets"),
        ),
        "narrowed",
    ),
    **dict.fromkeys(
        (
            *("get_binding", "put_binding"),
            *("get_connection", "test_connection", "post_opening_stock", "get_items"),
            *("match_items", "get_shadow", "shadow_connection", "live_connection"),
            "retry_connection",
        ),
        "system",
    ),
    **dict.fromkeys(
        (
            *("get_publication", "pause_channel", "resume_channel", "resync_channel"),
            *("get_listing", "put_listing"),
        ),
        "channel",
    ),
    "put_location": "location",
    **dict.fromkeys(
        (
            *("post_preview", "get_why", "get_ledger"),
            *("put_item", "put_unit", "put_kit"),
            *("post_subscription", "get_subscriptions", "get_subscription"),
            *("pause_subscription", "resume_subscription", "rotate_subscription_secret"),
            *("replay_subscription", "delete_subscription"),
            *("get_config", "list_revisions", "get_revision", "get_history"),
            *("plan_config", "apply_config", "roll_back_config"),
            *("add_connection", "get_audit", "get_metrics"),
        ),
        "unbound",
    ),
}
"""What each operation of the route table is to a bound key."""


def check_reach(name: str, call: Call) -> None:
    """Holds a bound key to its own system before an operation is carried out.

    Narrows the query of a list. Raises forbidden_system that names the key's system.
    """
    caller = call.caller
    if not caller.bound:
        return
    match REACH.get(name, "unbound"):
        case "unbound":
            raise not_own(caller, "This call reaches beyond one system.")
        case "narrowed":
            _narrow(call)
        case "system":
            check_own(caller, "system", call.path["system"])
        case "channel":
            check_own(caller, "channel", call.path["channel"])
        case "location":
            check_own(caller, "location", call.path["location"])
        case _:
            return


def _narrow(call: Call) -> None:
    """Leaves of the query's systems the key's own; where none is named it is that one."""
    own, asked = call.caller.bound, call.query.system
    named = asked if isinstance(asked, list) else [asked] if asked else []
    for system in named:
        check_own(call.caller, "system", system)
    call.query.system = [own] if isinstance(asked, list) else own


def check_own(caller: Caller, what: Literal["system", "channel", "location"], code: str) -> None:
    """Raises forbidden_system where a bound key's system does not own this."""
    if what == "system" and not caller.speaks_for(code):
        raise not_own(caller, f"The system {code} is another one.", param=what)
    if what == "channel" and not caller.sells_through(code):
        raise not_own(caller, _no_channel(caller, code), param=what)
    if what == "location" and not caller.keeps(code):
        raise not_own(caller, f"It has no authority at the location {code}.", param=what)


def _no_channel(caller: Caller, code: str) -> str:
    return f"{code} is none of its channels: {', '.join(caller.channels) or 'it has none'}."


def not_own(caller: Caller, why: str, *, param: str = "") -> ProblemRaised:
    """The problem that a bound key asks for what is not its system's own."""
    return problem(
        "forbidden_system",
        f"This key is bound to the system {caller.bound}. {why}",
        param=param,
        next="Use a key of that system, or one that is bound to none or has `systems:any`.",
    )


def why_not_row(caller: Caller, row: Row) -> str:
    """Why a bound key may not write a row of the item master; '' where it may."""
    if not caller.bound:
        return ""
    match row:
        case Binding():
            own = caller.speaks_for(row.system)
        case Listing():
            own = caller.sells_through(row.channel)
        case Location():
            own = caller.keeps(row.code)
        case _:
            return f"this key is bound to the system {caller.bound}, and items are everybody's"
    return "" if own else f"this key is bound to the system {caller.bound}"


def shows_row(caller: Caller, row: Any) -> bool:
    """Whether a bound key may read a row of the item master."""
    return not isinstance(row, Binding | Listing) or not why_not_row(caller, row)


def why_not_owed(caller: Caller, told: Any) -> tuple[str, str] | None:
    """The field and the reason that a bound key may not tell a backorder so; None where it may.

    A class below its channel's would put its orders before everybody's.
    """
    if not caller.bound or not isinstance(told, ToldOwed):
        return None
    if not caller.sells_through(told.channel):
        return "channel", _no_channel(caller, told.channel)
    least = caller.channels[told.channel]
    if told.demand_class is not None and told.demand_class < least:
        return "demand_class", f"The class of {told.channel} is {least}; leave the field out."
    return None
