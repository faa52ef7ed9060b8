"""GraphQL over a partner's HTTP API: documents with variables, errors by code, budgets by cost."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.domain.errors import Misconfigured, Throttled, Transient
from stockwright.sdk.calling import WAIT_S, Caller, whole_text
from stockwright.sdk.messages import InDoubt, Refused, Retry
from stockwright.sdk.transports import HttpResponse

THROTTLED: Final = "THROTTLED"


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `errors`: the request, or a part of it, was not carried out."""

    message: str
    code: str = ""
    path: Sequence[str | int] = ()


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What the partner told of the cost of calls, in its points."""

    available: float
    restores_per_s: float
    cost: float = 0.0

    def wait_s(self, cost: float) -> float:
        """Seconds until so many points are there."""
        missing = cost - self.available
        return 0.0 if missing <= 0 or self.restores_per_s <= 0 else missing / self.restores_per_s


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: data (empty where nothing was carried out), its errors, and the budget left."""

    data: Mapping[str, Any]
    errors: Sequence[Failed] = ()
    budget: Budget | None = None

    @property
    def is_throttled(self) -> bool:
        """Whether it was turned away for its cost, and not carried out."""
        return not self.data and any(one.code == THROTTLED for one in self.errors)


class GraphQL:
    """One endpoint. Operators look at the setting `access` where the partner denies a document."""

    def __init__(self, caller: Caller, path: str, *, access: str = "token") -> None:
        self._caller = caller
        self._path = path
        self._access = access
        self.budget: Budget | None = None

    async def ask(self, document: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """The data of a query. Raises Throttled, Transient or Misconfigured."""
        body = {"query": document, "variables": variables}
        response = await self._caller.send("POST", self._path, json=body)
        self._caller.expect(response, "a query")
        told = self._told(response)
        if told is None:
            raise Transient(f"{self._caller.system} answered a query unreadably")
        if told.is_throttled:
            raise Throttled(f"{self._caller.system} asked us to slow down", self._pause_s(told))
        self._raise_for_operator(told)
        if told.errors:
            raise Transient(f"{self._caller.system} failed a query: {told.errors[0].message}")
        return told.data

    async def change(
        self, document: str, variables: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Told | Refused | Retry | InDoubt:
        """What a mutation answered, or what became of all of it. Raises Misconfigured."""
        body = {"query": document, "variables": variables}
        answer = await self._caller.write("POST", self._path, json=body, timeout_s=timeout_s)
        if not isinstance(answer, HttpResponse):
            return answer
        told = self._told(answer)
        if told is None:
            return InDoubt(reason="the answer is no GraphQL answer")
        if told.is_throttled:
            return Retry(retry_after_s=self._pause_s(told), reason="the partner's budget")
        self._raise_for_operator(told)
        if not told.data and told.errors and all(one.code for one in told.errors):
            first = told.errors[0]
            if first.code in ("INTERNAL_SERVER_ERROR", "TIMEOUT"):
                return InDoubt(reason=first.code.lower())
            return Refused(reason=first.code.lower(), message=first.message)
        if not told.data:
            return InDoubt(reason="the answer holds no data")
        return told

    def _told(self, response: HttpResponse) -> Told | None:
        found = whole_text(response.body)
        if not isinstance(found, dict) or not ("data" in found or "errors" in found):
            return None
        data = found.get("data")
        fields = data if isinstance(data, dict) else {}
        told = Told(
            data={name: value for name, value in fields.items() if value is not None},
            errors=[_failed(one) for one in _list(found.get("errors"))],
            budget=_budget(found.get("extensions")),
        )
        self.budget = told.budget or self.budget
        return told

    def _pause_s(self, told: Told) -> float:
        if told.budget is None:
            return WAIT_S
        return max(0.1, told.budget.wait_s(told.budget.cost))

    def _raise_for_operator(self, told: Told) -> None:
        if any(one.code == "ACCESS_DENIED" for one in told.errors):
            message = f"{self._caller.system} denies access: check the rights of {self._access}"
            raise Misconfigured(self._access, message)


def _list(found: Any) -> list[Any]:
    if isinstance(found, list):
        return found
    return [] if found is None else [found]


def _failed(one: Any) -> Failed:
    if not isinstance(one, dict):
        return Failed(message=str(one)[:300])
    extensions = one.get("extensions")
    code = extensions.get("code", "") if isinstance(extensions, dict) else ""
    path = [step for step in _list(one.get("path")) if isinstance(step, str | int)]
    return Failed(message=str(one.get("message", ""))[:300], code=str(code), path=path)


def _budget(extensions: Any) -> Budget | None:
    """The cost as Shopify's Admin API tells it: requested, available, restored by the second."""
    cost = extensions.get("cost") if isinstance(extensions, dict) else None
    throttle = cost.get("throttleStatus") if isinstance(cost, dict) else None
    if not isinstance(throttle, dict) or not isinstance(cost, dict):
        return None
    try:
        return Budget(
            available=float(throttle["currentlyAvailable"]),
            restores_per_s=float(throttle["restoreRate"]),
            cost=float(cost.get("requestedQueryCost") or 0.0),
        )
    except (KeyError, TypeError, ValueError):
        return None
