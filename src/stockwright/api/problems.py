"""Problem documents (RFC 9457): what went wrong, which parameter is at fault, what to do next."""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from stockwright.api.reply import Header, Reply, encode_json
from stockwright.domain.errors import (
    Misconfigured,
    Rejected,
    StockwrightError,
    Throttled,
    Transient,
)
from stockwright.domain.events import OUTCOMES

MEDIA_TYPE: Final = b"application/problem+json"
_TYPE: Final = "urn:stockwright:problem:"


class Kind(NamedTuple):
    """One kind of problem: its HTTP status, its title, and what the caller does next."""

    status: int
    title: str
    next: str


_NEW_DOCUMENT: Final = "Decide again under a new document; this one keeps its answer."
_FIX: Final = "Correct the field that `param` names and send it again."
_TITLES: Final = dict(OUTCOMES)

KINDS: Final[Mapping[str, Kind]] = {
    # What is wrong with the call itself.
    "bad_json": Kind(400, "the body is not well-formed", "Send well-formed JSON in UTF-8."),
    "bad_encoding": Kind(
        400, "the body is not what Content-Encoding says", "Send the whole gzip stream, or none."
    ),
    "bad_path": Kind(
        400, "the address holds characters that no code may have", "Percent-encode codes as UTF-8."
    ),
    "no_key": Kind(
        401, "no API key", "Send the header `Authorization: Bearer sw_...`; see `stockwright key`."
    ),
    "wrong_key": Kind(
        401, "the API key is unknown, expired or revoked", "Create a key: `stockwright key create`."
    ),
    "bad_signature": Kind(
        401, "the signature does not fit the body", "Sign the raw body with the shared secret."
    ),
    "forbidden": Kind(403, "the API key lacks a scope", "Use a key that has the scope."),
    "forbidden_system": Kind(
        403,
        "the API key is bound to another system",
        "Leave `system` out, or use a key of that system.",
    ),
    "forbidden_origin": Kind(
        403, "the call comes from another web site", "Open the console from its own address."
    ),
    "not_found": Kind(404, "there is no such resource", "Check the address and the codes in it."),
    "method_not_allowed": Kind(
        405, "the resource does not have this method", "Use one of the methods in `Allow`."
    ),
    "too_slow": Kind(408, "the body did not come to its end in time", "Send it again, faster."),
    "key_reused": Kind(
        409,
        "the Idempotency-Key was used for another request",
        "Use a new Idempotency-Key for a new request.",
    ),
    "in_progress": Kind(
        409,
        "the first call with this Idempotency-Key is not answered yet",
        "Send the same again after Retry-After.",
    ),
    "outdated": Kind(
        409, "the configuration was changed since", "Read it again, plan again, then apply."
    ),
    "incomplete": Kind(
        409,
        "the channel's levels are not complete enough to be sent again",
        "Do what `detail` says, look with dry_run=true, then send the same again.",
    ),
    "name_taken": Kind(
        409, "something else has this name", "Choose another name, or read what is there."
    ),
    "not_ready": Kind(
        409, "a step has to be taken before this one", "Do what `detail` says, then send it again."
    ),
    "already_connected": Kind(
        409, "the system is connected already", "Choose another code, or change its configuration."
    ),
    "already_closed": Kind(409, "this was closed before", "Nothing is left to do."),
    "already_open": Kind(409, "this is open", "Nothing is left to do."),
    "not_bindable": Kind(
        422, "no binding cures this payload", "Add what `missing` names, or mend the mapping."
    ),
    "too_large": Kind(413, "the body is too large", "Split the call into smaller ones."),
    "too_many": Kind(413, "too many items in one call", "Split the call into smaller ones."),
    "unsupported_media_type": Kind(
        415, "this type of body is not read here", "Send a media type that `detail` names."
    ),
    "busy": Kind(429, "too much at once; nothing was kept", "Send the same after Retry-After."),
    "internal": Kind(
        500,
        "a fault of Stockwright itself",
        "Send the same again with the same document or Idempotency-Key; report it if it stays.",
    ),
    "unavailable": Kind(
        503, "the database does not answer", "Send the same again after Retry-After."
    ),
    "misconfigured": Kind(
        503, "an operator must change a setting", "Tell the operator which setting `param` names."
    ),
    # What is wrong with one item: every outcome that is not an acceptance.
    "malformed": Kind(422, _TITLES["malformed"], _FIX),
    "conflict": Kind(
        409,
        _TITLES["conflict"],
        "Send what changed as a new revision or document; see the work item.",
    ),
    "poison": Kind(
        422, _TITLES["poison"], "See the parked payload; do not send the same item again."
    ),
    "unknown_system": Kind(
        422, _TITLES["unknown_system"], "Declare it in stockwright.toml, or mend the spelling."
    ),
    "unknown_location": Kind(422, _TITLES["unknown_location"], _FIX),
    "unknown_channel": Kind(422, _TITLES["unknown_channel"], _FIX),
    "unknown_sku": Kind(422, _TITLES["unknown_sku"], _FIX),
    "unknown_unit": Kind(422, _TITLES["unknown_unit"], _FIX),
    "unknown_demand": Kind(404, _TITLES["unknown_demand"], "Check system, order and line."),
    "already_fulfilled": Kind(409, _TITLES["already_fulfilled"], _NEW_DOCUMENT),
    "already_claimed": Kind(409, _TITLES["already_claimed"], _NEW_DOCUMENT),
    "closed": Kind(409, _TITLES["closed"], "Reserve again under a new order."),
    "expired": Kind(409, _TITLES["expired"], "Reserve again under a new order."),
    "insufficient": Kind(409, _TITLES["insufficient"], _NEW_DOCUMENT),
}
"""Every problem by its code; its type is `urn:stockwright:problem:CODE`."""

ACCEPTED_STATUS: Final[Mapping[str, int]] = {
    "parked": 202,
    "superseded": 200,
    "observed": 200,
    "cancel_requested": 202,
    "partial": 201,
    "granted": 201,
    "regranted": 200,
    "done": 200,
    "recorded": 200,
}
"""HTTP status of the outcomes that are no problem."""


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """RFC 9457. `param` names the field at fault, `next` what to do; outcome is the ledger's."""

    type: str
    title: str
    status: int
    detail: str
    param: str = ""
    next: str = ""
    outcome: dict[str, Any] | None = None


class ProblemRaised(StockwrightError):
    """Ends a call with a problem document and any extra headers."""

    def __init__(self, problem: Problem, headers: tuple[Header, ...] = ()) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers

    def as_reply(self) -> Reply:
        """The problem document as an answer."""
        refused = 0 if self.problem.outcome is None else 1
        return Reply(
            self.problem.status,
            encode_json(self.problem),
            MEDIA_TYPE,
            self.headers,
            items=refused,
            refused=refused,
        )


def problem(
    code: str,
    detail: str = "",
    *,
    param: str = "",
    next: str = "",  # noqa: A002  the word of the wire format
    headers: tuple[Header, ...] = (),
    outcome: dict[str, Any] | None = None,
) -> ProblemRaised:
    """A problem of KINDS, ready to raise; `next` replaces the kind's own advice."""
    kind = KINDS[code]
    body = Problem(
        type=_TYPE + code,
        title=kind.title,
        status=kind.status,
        detail=detail or kind.title,
        param=param,
        next=next or kind.next,
        outcome=outcome,
    )
    return ProblemRaised(body, headers)


STATUS: Final[Mapping[str, int]] = {
    **ACCEPTED_STATUS,
    **{code: kind.status for code, kind in KINDS.items()},
}
"""HTTP status of every code, as it has where it is answered alone."""


def as_problem(failure: StockwrightError) -> ProblemRaised:
    """The problem a failure of the house is answered with."""
    match failure:
        case ProblemRaised():
            return failure
        case Throttled():
            return problem("busy", str(failure), headers=retry_after(failure.retry_after_s))
        case Transient():
            return problem("unavailable", str(failure), headers=retry_after(1))
        case Rejected():
            code = failure.reason if failure.reason in KINDS else "malformed"
            return problem(code, failure.message, param=failure.field)
        case Misconfigured():
            return problem("misconfigured", str(failure), param=failure.setting)
        case _:
            return problem("internal")


def retry_after(seconds: float) -> tuple[Header, ...]:
    """The Retry-After header, in whole seconds and at least one."""
    return ((b"retry-after", str(max(1, math.ceil(seconds))).encode()),)
