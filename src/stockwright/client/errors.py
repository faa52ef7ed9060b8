"""What a call may raise: branches of the house's error tree, with the server's problem inside.

StockwrightError
├── Rejected        ── Refused       4xx: do not send again; `problem` says why and what to do next
├── Transient       ── Unavailable   the server or its database does not answer; again later
│   └── Throttled   ── Busy          too much at once; again after `retry_after_s`
└── Misconfigured   ── Misset        an operator must act
"""

import msgspec

from stockwright.client.types import Problem
from stockwright.domain.errors import Misconfigured, Rejected, Throttled, Transient

_TYPE = "urn:stockwright:problem:"
_UNDER_WAY = "in_progress"


class Refused(Rejected):
    """The server will not have this call as it is. `reason` is the problem's code."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(code_of(problem), problem.param, problem.detail)
        self.problem = problem


class Unavailable(Transient):
    """No answer, or that the server cannot answer now, after all tries."""

    def __init__(self, message: str, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class Busy(Throttled):
    """The server has too much to do, after all tries. Nothing was kept of the call."""

    def __init__(self, problem: Problem, retry_after_s: float) -> None:
        super().__init__(problem.detail, retry_after_s)
        self.problem = problem


class Misset(Misconfigured):
    """An operator of the server must change a setting."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.param, problem.detail)
        self.problem = problem


def code_of(problem: Problem) -> str:
    """The code of a problem: the end of its type."""
    return problem.type.removeprefix(_TYPE)


def problem_of(status: int, body: bytes) -> Problem:
    """The problem in an answer; one of our own making where something else answered."""
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.MsgspecError:
        detail = body[:200].decode("utf-8", "replace")
        return Problem(type=f"{_TYPE}http_{status}", title="", status=status, detail=detail)


def is_under_way(status: int, body: bytes) -> bool:
    """Whether the first try of a call, whose answer was lost, is still being worked on."""
    return status == 409 and code_of(problem_of(status, body)) == _UNDER_WAY


def failure_of(problem: Problem, retry_after_s: float) -> Exception:
    """The exception for a problem."""
    if problem.status == 429:
        return Busy(problem, retry_after_s)
    if code_of(problem) == "misconfigured":
        return Misset(problem)
    if problem.status >= 500 or code_of(problem) == _UNDER_WAY:
        return Unavailable(problem.detail, problem)
    return Refused(problem)
