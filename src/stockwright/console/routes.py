"""The console's routes: pages, their JSON twins, the live stream, and what people do."""

from collections.abc import Sequence
from typing import Final, Literal

from starlette.routing import BaseRoute, Mount, Route

from stockwright.console import (
    audit,
    calls,
    parked,
    publications,
    reservations,
    subscriptions,
    work,
)
from stockwright.console.account import Account
from stockwright.console.boards import Board, Boards
from stockwright.console.connections import ConnectionPages
from stockwright.console.door import SIGN_IN, Door, Guarded, Handler, Static
from stockwright.console.files import FOLDER
from stockwright.console.handlers import Handlers
from stockwright.console.keys import KeyPages
from stockwright.console.policies import PolicyPages
from stockwright.console.policy_trials import TrialPages
from stockwright.console.reading import ConsoleServices, Reader
from stockwright.console.search import SearchPages
from stockwright.console.signing import Hasher, Signing
from stockwright.console.trying import Trier
from stockwright.console.users import UserPages
from stockwright.domain.people import Action

BOARDS: Final[Sequence[Board]] = (
    work.BOARD,
    parked.BOARD,
    reservations.BOARD,
    calls.BOARD,
    audit.BOARD,
)
"""Every list that people work through."""

_Row = tuple[str, str, Handler, Action | Literal["free"]]


def routes(
    services: ConsoleServices, *, open_to_all: bool = False, base: str = ""
) -> list[BaseRoute]:
    """The console's routes, to be mounted at the root beside the API's.

    open_to_all is the demo mode in which nobody signs in; it answers requests from this machine's
    own browser only. Otherwise every page but the sign-in asks for a session. base is the address
    that browsers use; where that is https, cookies are for https alone.
    """
    reader = Reader(services)
    door = Door(reader, open_to_all=open_to_all, behind_tls=base.startswith("https://"))
    rows = [
        *_looking(reader, door),
        *_boards(reader),
        *_connecting(reader),
        *_subscribing(reader),
        *_rules(reader),
        *_personal(reader, door),
    ]
    return [
        *(Route(path, Guarded(door, handler, needs), methods=[method])
          for method, path, handler, needs in rows),
        Mount("/console/static", Static(directory=FOLDER)),
    ]  # fmt: skip


def _looking(reader: Reader, door: Door) -> list[_Row]:
    """Pages that only show."""
    marks = {board.name: board.mark for board in BOARDS if board.mark is not None}
    marks[publications.NAME] = publications.mark
    marks[subscriptions.NAME] = subscriptions.mark
    pages, search = Handlers(reader, door, marks), SearchPages(reader)
    answers = {
        "/": pages.overview,
        "/index.json": pages.overview,
        "/items": pages.items,
        "/items.json": pages.items,
        "/item": pages.item,
        "/item.json": pages.item,
        "/items/{sku:path}": pages.item,
        "/why": pages.why,
        "/why.json": pages.why,
        "/search": search.search,
        "/search.json": search.search,
        "/trace": search.trace,
        "/trace.json": search.trace,
        "/console/stream": pages.stream,
    }
    return [("GET", path, handler, "look") for path, handler in answers.items()]


def _boards(reader: Reader) -> list[_Row]:
    """Lists, their rows' own pages, and what can be done to them."""
    boards = Boards(reader)
    one_item, one_payload = work.WorkPages(reader), parked.ParkedPages(reader)
    one_call = calls.CallPages(reader)
    one_order, keys = reservations.ReservationPages(reader), KeyPages(reader)
    channels = publications.PublicationPages(reader)
    rows: list[_Row] = []
    for board in BOARDS:
        rows.append(("GET", board.path, boards.show(board), board.needs))
        rows.append(("GET", f"{board.path}.json", boards.show(board), board.needs))
        if board.actions:
            # Each action asks for its own right; whoever may look may ask what it would do.
            rows.append(("POST", f"{board.path}/act", boards.act(board), "look"))
    return [
        *rows,
        ("GET", "/work-items/{id}", one_item.one, "look"),
        ("GET", "/parked/{id}", one_payload.one, "look"),
        ("GET", "/parked/{id}/body", one_payload.body, "payload.read_raw"),
        ("GET", "/publications", channels.all, "look"),
        ("GET", "/publications.json", channels.all, "look"),
        ("GET", "/publication", channels.one, "look"),
        ("GET", "/publication.json", channels.one, "look"),
        ("GET", "/publications/{channel:path}", channels.one, "look"),
        # Each action asks for its own right; whoever may look may ask what it would do.
        ("POST", "/publications/act", channels.act, "look"),
        ("GET", "/reservation", one_order.one, "look"),
        ("GET", "/reservation.json", one_order.one, "look"),
        ("GET", "/api-log/{id}", one_call.one, "look"),
        ("GET", "/done/{deed}", boards.done, "look"),
        ("POST", "/done/{deed}/undo", boards.undo(BOARDS), "look"),
        ("POST", "/console/views", boards.keep_view(BOARDS), "view.save"),
        ("GET", "/keys", keys.show, "key.look"),
        ("GET", "/keys.json", keys.show, "key.look"),
        ("POST", "/keys/revoke", keys.revoke, "key.revoke"),
    ]


def _connecting(reader: Reader) -> list[_Row]:
    """Connections, and the steps by which one is connected."""
    connections = ConnectionPages(reader)
    return [
        ("GET", "/connections", connections.all, "look"),
        ("GET", "/connections.json", connections.all, "look"),
        ("GET", "/connection", connections.one, "look"),
        ("GET", "/connection.json", connections.one, "look"),
        ("GET", "/connections/{system:path}", connections.one, "look"),
        ("GET", "/connection-new", connections.new, "connection.add"),
        ("POST", "/connection-new", connections.add, "connection.add"),
        # Going live with steps missing asks for its own right.
        ("POST", "/connections/act", connections.act, "connection.step"),
    ]


def _subscribing(reader: Reader) -> list[_Row]:
    """Outside consumers, and what is done to them."""
    consumers = subscriptions.SubscriptionPages(reader)
    return [
        ("GET", "/subscriptions", consumers.all, "look"),
        ("GET", "/subscriptions.json", consumers.all, "look"),
        ("GET", "/subscription", consumers.one, "look"),
        ("GET", "/subscription.json", consumers.one, "look"),
        ("GET", "/subscriptions/{name:path}", consumers.one, "look"),
        ("GET", "/subscription-new", consumers.new, "subscription.change"),
        ("POST", "/subscription-new", consumers.add, "subscription.change"),
        # Each action asks for its own right; whoever may look may ask what it would do.
        ("POST", "/subscriptions/act", consumers.act, "look"),
    ]


def _rules(reader: Reader) -> list[_Row]:
    """The channels' rules, and trying others before they hold."""
    trier = Trier(reader)
    rules = PolicyPages(reader, trier)
    trials = TrialPages(reader, trier, rules)
    return [
        ("GET", "/policies", rules.all, "look"),
        ("GET", "/policies.json", rules.all, "look"),
        ("GET", "/policy", rules.one, "look"),
        ("GET", "/policy.json", rules.one, "look"),
        ("GET", "/policies/{channel:path}", rules.one, "look"),
        ("POST", "/policy", rules.edit, "policy.change"),
        ("POST", "/policies/{channel:path}", rules.edit, "policy.change"),
        ("GET", "/policy-trials/{trial}", trials.one, "look"),
        ("GET", "/policy-trials/{trial}/effect", trials.effect, "look"),
        ("GET", "/policy-trials/{trial}/effect.json", trials.effect, "look"),
        ("POST", "/policy-trials/{trial}", trials.act, "policy.change"),
    ]


def _personal(reader: Reader, door: Door) -> list[_Row]:
    """Signing in and out, one's own settings, and the users."""
    hasher = Hasher()
    signing, account = Signing(reader, door, hasher), Account(reader, hasher)
    people = UserPages(reader, hasher)
    return [
        ("GET", "/account", account.show, "own.settings"),
        ("GET", "/account.json", account.show, "own.settings"),
        ("POST", "/account/settings", account.change_settings, "own.settings"),
        ("POST", "/account/password", account.change_password, "own.settings"),
        ("POST", "/account/end-session", account.end_session, "own.settings"),
        ("GET", "/users", people.show, "user.change"),
        ("GET", "/users.json", people.show, "user.change"),
        ("POST", "/users/change", people.change, "user.change"),
        ("GET", SIGN_IN, signing.sign_in, "free"),
        ("POST", SIGN_IN, signing.sign_in, "free"),
        ("POST", "/console/sign-out", signing.sign_out, "own.settings"),
    ]
