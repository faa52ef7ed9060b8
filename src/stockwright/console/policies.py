"""The rules of every channel, and the form that changes them by way of a trial."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stockwright.console.pages import HEADERS, page, twin
from stockwright.console.policy_form import (
    MOST_RULES,
    Draft,
    changed,
    draft_of,
    judged,
    read_draft,
)
from stockwright.console.policy_views import ChannelPage, Reaches, read_all, read_one
from stockwright.console.reading import Reader
from stockwright.console.trying import Trier
from stockwright.domain.errors import Rejected
from stockwright.domain.network import ExposurePolicy
from stockwright.domain.policy_words import FIELDS, TOPICS, sentence
from stockwright.flow import configuring, trying
from stockwright.store import policy_board, policy_trials
from stockwright.store.connection import Connection
from stockwright.store.network import read_network

WAIT_S: Final = 2.0
"""How long an answer waits for a preview; one that takes longer is shown when it is there."""
_PAUSE_S: Final = 0.05


def channel_address(code: str, ending: str = "", **query: str | int) -> str:
    """The address of a channel's rules, for any code; as that of an item's page."""
    if code in (".", "..") or code.endswith(".json"):
        return f"/policy{ending}?{urlencode({'channel': code, **query})}"
    return f"/policies/{quote(code, safe='')}{ending}" + (f"?{urlencode(query)}" if query else "")


class PolicyPages:
    """The handlers of the rules' pages."""

    def __init__(self, reader: Reader, trier: Trier) -> None:
        self._reader = reader
        self._trier = trier
        self._reaches = Reaches()

    async def all(self, request: Request) -> Response:
        """Every channel with its rules."""
        found = await self._reader.read(read_all, self._reaches)
        if request.url.path.endswith(".json"):
            return twin(found)
        return page(
            request, "policies.html", found=found, now=found.at, twin="/policies.json", **_WORDS
        )

    async def one(self, request: Request) -> Response:
        """One channel; for who may change its rules the form, filled in with those in force, with
        those as of a revision (`from`), or with those of a trial (`trial`).
        """
        code, as_json = _code_in(request)
        if not code:
            return RedirectResponse("/policies.json" if as_json else "/policies", 303, HEADERS)
        found = await self._reader.read(read_one, code, self._reaches)
        if as_json:
            return twin(found)
        rules, told = await self._reader.read(_rules_asked, code, dict(request.query_params))
        return await self._page(request, found, rules, told=told)

    async def edit(self, request: Request) -> Response:
        """Moves, adds or removes a rule in the form, or begins a trial of all of them."""
        code, _ = _code_in(request)
        draft, step = read_draft(request.state.form), request.state.form.one("do")
        if step == "preview":
            draft = await self._reader.read(_judge, code, draft)
            if not draft.wrong:
                return await self._begin(request, code, draft)
            status = 400
        else:
            draft, status = changed(draft, step), 200
            draft = await self._reader.read(_judge, code, draft)
        found = await self._reader.read(read_one, code, self._reaches)
        told = "" if status == 200 else _told(draft.wrong)
        return await self._page(request, found, draft, told=told, status=status)

    async def _begin(self, request: Request, code: str, draft: Draft) -> Response:
        owner = request.state.visitor.owner
        trial = await self._reader.run(
            trying.begin, code, draft.policies, owner=owner, revision=draft.revision
        )
        return await self.tried(trial)

    async def tried(self, trial: int) -> Response:
        """Leads to a trial, once its preview is there or has taken too long to wait for."""
        self._trier.wake()
        loop = asyncio.get_running_loop()
        ends = loop.time() + WAIT_S
        while loop.time() < ends:
            runs = await self._reader.run(policy_trials.runs, trial)
            if not runs["preview"].is_open:
                break
            await asyncio.sleep(_PAUSE_S)
        return RedirectResponse(f"/policy-trials/{trial}", 303, HEADERS)

    async def _page(
        self,
        request: Request,
        found: ChannelPage,
        draft: Draft | None,
        *,
        told: str = "",
        status: int = 200,
    ) -> Response:
        code, may = found.channel.code, request.state.visitor.may("policy.change")
        fits = len(found.channel.rules) + found.channel.more <= MOST_RULES
        groups = await self._reader.run(policy_board.groups) if may and fits else ()
        in_force = draft is None
        if draft is None:
            draft = draft_of([one.policy for one in found.channel.rules], found.revision)
        return page(
            request,
            "policy.html",
            status,
            found=found,
            channel=found.channel,
            draft=draft,
            in_force=in_force,
            editing=may and fits,
            most=MOST_RULES,
            groups=groups,
            told=told,
            now=found.at,
            twin=channel_address(code, ".json"),
            **_WORDS,
        )


def _told(wrong: int) -> str:
    things = "One thing is" if wrong == 1 else f"{wrong} things are"
    return f"{things} not right yet; nothing was tried. What was typed is kept."


def _code_in(request: Request) -> tuple[str, bool]:
    """The channel that an address names, and whether its twin is asked for."""
    as_json = request.url.path.endswith(".json") and request.method == "GET"
    given = request.path_params.get("channel")
    if given is None:
        return request.query_params.get("channel", ""), as_json
    return (str(given).removesuffix(".json") if as_json else str(given)), as_json


def _judge(connection: Connection, code: str, draft: Draft) -> Draft:
    network = read_network(connection)
    return judged(connection, draft, trying.channel_of(network, code), network)


def _rules_asked(
    connection: Connection, code: str, asked: Mapping[str, str]
) -> tuple[Draft | None, str]:
    """The form that an address asks for, and what to say of it; None for the rules in force."""
    newest = configuring.newest(connection)
    if asked.get("from"):
        number = _number(asked["from"], "from")
        rules: Sequence[ExposurePolicy] = policy_board.rows_at(connection, code, number)
        told = f"These are the rules as of revision {number}. They hold once they are applied."
    elif asked.get("trial"):
        trial = policy_trials.find(connection, _number(asked["trial"], "trial"))
        if trial is None or trial.channel != code:
            raise Rejected("not_found", "trial", "There is no such trial. Go back to the list.")
        rules, newest = trial.rules, trial.revision
        told = f"These are the rules of trial {trial.id}. They hold once they are applied."
    else:
        return None, ""
    if len(rules) > MOST_RULES:
        message = f"There are {len(rules):,} rules, more than the {MOST_RULES} that a form holds."
        raise Rejected("malformed", "from", message)
    return _judge(connection, code, draft_of(rules, newest)), told


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Rejected("malformed", name, f"`{name}` is a number.")
    return int(text)


_WORDS: Final[Mapping[str, Any]] = {
    "address": channel_address,
    "fields": FIELDS,
    "topics": TOPICS,
    "sentence": sentence,
}
"""What the templates of rules say them with."""
