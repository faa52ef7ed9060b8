"""Connecting a partner step by step: which steps there are, what each needs, what is missing yet.

A connection that is connected by steps is `added`, then in `shadow`, then `live`. Before `shadow`
the workers ask it nothing; before `live` nothing is sent to it. A connection that a configuration
declared without these steps is live from its first moment.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec

from stockwright.domain.network import Role

Stage = Literal["added", "shadow", "live"]
StepName = Literal["settings", "credentials", "sample", "items", "opening_stock", "shadow", "live"]
State = Literal["open", "done", "attention", "failed", "skipped"]
STEPS: Final[tuple[StepName, ...]] = get_args(StepName)
TESTED: Final[tuple[StepName, ...]] = ("credentials", "sample", "items")
"""The steps that a test takes; they speak of the settings that it was made with."""
AGAIN: Final[Mapping[StepName, str]] = {
    **dict.fromkeys(TESTED, "test it again"),
    "opening_stock": "take it again",
    "shadow": "compare it again",
}
"""What to do about a step that was taken with other settings than those of now."""
TELLS_STOCK: Final[frozenset[Role]] = frozenset({"erp", "wms", "3pl", "store", "pos"})
"""Roles whose figures are about goods that lie there; a shop's are what we told it."""
TITLES: Final[Mapping[StepName, str]] = {
    "settings": "Settings written",
    "credentials": "Credentials checked",
    "sample": "Sample mapped",
    "items": "Items matched",
    "opening_stock": "Opening stock",
    "shadow": "Shadow compared",
    "live": "Live",
}
SELLS: Final[frozenset[Role]] = frozenset({"shop", "marketplace"})
"""Roles of partners that sell: without a channel they are sent nothing, and no order is theirs."""
_PARTNERS: Final[Mapping[Role, str]] = {
    "planning": "a system for planning",
    "crm": "a CRM",
    "edi": "a partner by EDI",
}
MISSING_CHANNEL: Final = "channel:"
"""How a code begins that is missing because nobody said which channel a partner's orders are of."""
MISSING_LOCATION: Final = "location:"
"""How a code begins that is missing because a partner's name of a place is bound to none."""
_PASSED: Final[frozenset[State]] = frozenset({"done", "attention", "skipped"})
_COMMANDS: Final[Mapping[StepName, str]] = {
    "settings": "stockwright connection add {system}",
    "credentials": "stockwright connection test {system}",
    "sample": "stockwright connection test {system} --sample FILE",
    "items": "stockwright connection items {system}",
    "opening_stock": "stockwright connection test {system} --take-stock",
    "shadow": "stockwright connection shadow {system}",
    "live": "stockwright connection live {system} --reason WHY",
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step and how it stands. `attention` lets one go on, `failed` does not."""

    name: StepName
    state: State = "open"
    at: dt.datetime | None = None
    by: str = ""
    note: str = ""
    detail: dict[str, Any] = {}

    @property
    def title(self) -> str:
        """What people call it."""
        return TITLES[self.name]

    @property
    def passed(self) -> bool:
        """Whether one may go on after it."""
        return self.state in _PASSED


def entitled(role: Role) -> bool:
    """Whether a partner of this role tells how much lies there."""
    return role in TELLS_STOCK


def as_partner(role: Role) -> str:
    """A role as a sentence begins with it: a shop, an ERP, a system for planning."""
    return _PARTNERS.get(role, f"a {role}")


def checklist(
    found: Mapping[StepName, Step], *, role: Role, sells: bool, stage: Stage = "added"
) -> tuple[Step, ...]:
    """Every step in order, those that this connection does not need as skipped."""
    given: dict[StepName, Step] = {name: Step(name=name) for name in STEPS}
    if not entitled(role):
        note = f"{as_partner(role)} shows what it is told; its figures are no stock"
        given["opening_stock"] = Step(name="opening_stock", state="skipped", note=note)
    if not sells:
        given["shadow"] = _without_channel(role, stage)
    return tuple(found.get(name, given[name]) for name in STEPS)


def _without_channel(role: Role, stage: Stage) -> Step:
    note = "no channel belongs to it, so nothing is sent to it"
    if role not in SELLS:
        return Step(name="shadow", state="skipped", note=note)
    # Once it is in shadow its settings are changed by the file alone.
    way = "connection add once more, with --channel and --pool"
    way = way if stage == "added" else "[channels.CODE] in the file, then config apply"
    note = f"{note}; give it one where it sells: {way}"
    return Step(name="shadow", state="attention", note=note)


def missing(steps: Sequence[Step]) -> list[str]:
    """What is to be done before the connection may go live, one sentence for each step."""
    return [
        f"{step.title}: {step.note or 'not done yet'}"
        for step in steps
        if step.name != "live" and not step.passed
    ]


def places_missing(steps: Sequence[Step]) -> tuple[str, ...]:
    """The partner's names of places in its sample that are bound to none, each once."""
    found = [code for step in steps if step.name == "sample" for code in _missing_in(step)]
    places = (code for code in found if code.startswith(MISSING_LOCATION))
    return tuple(dict.fromkeys(place.removeprefix(MISSING_LOCATION) for place in places))


def _missing_in(sample: Step) -> list[str]:
    return [str(part.get("missing") or "") for part in sample.detail.get("broken", ())]


def next_of(steps: Sequence[Step], system: str, stage: Stage = "added") -> str:
    """The command of the first step that is not passed; '' where all are."""
    first = next((step for step in steps if not step.passed), None)
    if first is None:
        return ""
    command = _COMMANDS[first.name].format(system=system)
    lacks = next(iter(_missing_in(first)), "") if first.name == "sample" else ""
    if lacks.startswith(MISSING_CHANNEL):
        # Once it is in shadow its settings are changed by the file alone.
        by_file = f"set channel in [systems.{system}.settings] of the file, then stockwright"
        if stage != "added":
            return f"{by_file} config apply --reason WHY"
        return f"stockwright connection add {system} ... --channel CODE --pool PLACE"
    if lacks.startswith(MISSING_LOCATION):
        return f"stockwright connection items {system} --bindings FILE, import it, then {command}"
    setting = first.detail.get("setting", "") if first.state == "failed" else ""
    setting = setting.rpartition(".settings.")[2]
    return f"mend {setting}, then {command}" if setting else command
