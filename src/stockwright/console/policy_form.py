"""The form in which a channel's rules are changed: read, judged as the file is, shown again.

A form holds every rule as it was typed. What is wrong stands beside its field, and nothing that was
typed is lost.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stockwright.config import Connections, Finding, read_edits
from stockwright.console.forms import Form
from stockwright.domain.codes import did_you_mean, field_name
from stockwright.domain.errors import Rejected
from stockwright.domain.exposure import Policy
from stockwright.domain.network import Channel, ExposurePolicy, Network
from stockwright.domain.policy_words import FIELDS, plain
from stockwright.store import exposure, policy_board
from stockwright.store.connection import Connection

MOST_RULES: Final = 100
"""Rules that a form holds; a channel with more is changed in the file or over the API."""
_LONGEST: Final = 256
_UNKNOWN: Final = {
    "sku": "is not in the item master",
    "sku_group": "is the group of no SKU in the item master",
}
_WHOLE: Final = re.compile(r"-?[0-9]{1,30}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_OTHER: Final = re.compile(r"policies\[(\d+)\]")
_STEP: Final = re.compile(r"(up|down|remove)-([0-9]{1,3})")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule as it was typed. errors and notes say by field what is wrong, and what is odd; ''
    is the rule as a whole. rule is what it says, where that can be told.
    """

    texts: Mapping[str, str]
    errors: Mapping[str, str] = {}
    notes: Mapping[str, str] = {}
    rule: ExposurePolicy | None = None


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A channel's rules as somebody would have them, planned on a revision of the configuration.

    errors are those of the channel itself. moved is the place of the rule that was moved or added.
    """

    revision: int
    rules: Sequence[Rule]
    errors: Sequence[str] = ()
    moved: int | None = None

    @property
    def wrong(self) -> int:
        """How many things have to be put right."""
        return len(self.errors) + sum(len(rule.errors) for rule in self.rules)

    @property
    def policies(self) -> list[ExposurePolicy]:
        """The rules of a form in which nothing is wrong."""
        found = [rule.rule for rule in self.rules if rule.rule is not None]
        assert not self.wrong
        assert len(found) == len(self.rules)
        return found


def draft_of(rules: Sequence[Policy | ExposurePolicy], revision: int) -> Draft:
    """A form filled in with rules."""
    texts = [_texts(rule) for rule in rules]
    return Draft(
        revision=revision, rules=[Rule(texts=one, rule=_rule(_values(one))) for one in texts]
    )


def _texts(rule: Policy | ExposurePolicy) -> dict[str, str]:
    return {name: plain(getattr(rule, name)) for name in FIELDS}


def read_draft(form: Form) -> Draft:
    """What was typed. Raises Rejected where the form is not one of ours."""
    revision, count = form.one("revision"), form.one("rules")
    if not (_is_number(revision) and _is_number(count) and int(count) <= MOST_RULES):
        raise Rejected("malformed", "rules", "The form is not complete. Open the channel anew.")
    rules = [
        Rule(
            texts={
                name: form.one(f"{place}.{name}").replace("\x00", "")[:_LONGEST].strip()
                for name in FIELDS
            }
        )
        for place in range(1, int(count) + 1)
    ]
    return Draft(revision=int(revision), rules=rules)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def changed(draft: Draft, step: str) -> Draft:
    """The form after a rule was added, moved or removed. Raises Rejected for any other step."""
    rules = list(draft.rules)
    if step == "add":
        if len(rules) >= MOST_RULES:
            raise Rejected("malformed", "rules", f"A form holds at most {MOST_RULES} rules.")
        place = _before_general(rules)
        rules.insert(place, Rule(texts=_texts(ExposurePolicy())))
        return msgspec.structs.replace(draft, rules=rules, moved=place)
    found = _STEP.fullmatch(step)
    if found is None or not 1 <= int(found[2]) <= len(rules):
        raise Rejected("malformed", "do", "There is no such button. Open the channel anew.")
    place = int(found[2]) - 1
    rule = rules.pop(place)
    if found[1] == "remove":
        moved = min(place, len(rules) - 1) if rules else None
        return msgspec.structs.replace(draft, rules=rules, moved=moved)
    place = max(0, place - 1) if found[1] == "up" else min(len(rules), place + 1)
    rules.insert(place, rule)
    return msgspec.structs.replace(draft, rules=rules, moved=place)


def _before_general(rules: Sequence[Rule]) -> int:
    """Where a new rule goes: before those that match every SKU, behind which it never applies."""
    place = len(rules)
    while place and not (rules[place - 1].texts["sku"] or rules[place - 1].texts["sku_group"]):
        place -= 1
    return place


def judged(connection: Connection, draft: Draft, channel: Channel, network: Network) -> Draft:
    """The form with what is wrong beside each field, by the rules of the configuration file."""
    given = [_values(rule.texts) for rule in draft.rules]
    told = {name: value for name, value in msgspec.to_builtins(channel).items() if name != "code"}
    edits = {"channels": {channel.code: {**told, "policies": given}}}
    _, findings = read_edits(edits, network, Connections())
    rules = [_rule(values) for values in given]
    errors, notes, others = _placed(findings, channel.code, len(given))
    _note_unknown(connection, channel, given, errors)
    return msgspec.structs.replace(
        draft,
        rules=[
            Rule(texts=rule.texts, errors=errors[place], notes=notes[place], rule=rules[place])
            for place, rule in enumerate(draft.rules)
        ],
        errors=others,
    )


def _rule(values: Mapping[str, Any]) -> ExposurePolicy | None:
    try:
        return msgspec.convert(values, ExposurePolicy)
    except msgspec.ValidationError:
        return None


def _values(texts: Mapping[str, str]) -> dict[str, Any]:
    """What was typed as the file would have it; what is left at its default is not given."""
    found: dict[str, Any] = {}
    for name, field in FIELDS.items():
        text = texts[name]
        if text in ("", field.default):
            continue
        found[name] = text
        if field.kind == "whole" and _WHOLE.fullmatch(text):
            found[name] = int(text)
        elif field.kind == "number" and _NUMBER.fullmatch(text):
            found[name] = float(text)
    return found


_Told = list[dict[str, str]]


def _placed(
    findings: Sequence[Finding], code: str, count: int
) -> tuple[_Told, _Told, Sequence[str]]:
    """Findings as (errors by rule and field, notes likewise, errors of the channel itself)."""
    errors: _Told = [{} for _ in range(count)]
    notes: _Told = [{} for _ in range(count)]
    others: list[str] = []
    places = {
        field_name(("channels", code, "policies", place, *path)): (place, "".join(path))
        for place in range(count)
        for path in ((), *((name,) for name in FIELDS))
    }
    for one in findings:
        place = places.get(one.field)
        if place is not None:
            into = errors if one.level == "error" else notes
            told = f"{one.problem}; {one.fix}"
            # The file counts from 0, people from 1.
            told = _OTHER.sub(lambda found: f"rule {int(found[1]) + 1}", told)
            into[place[0]].setdefault(place[1], told)
        elif one.level == "error":
            others.append(f"{one.field} {one.problem}; {one.fix}")
    return errors, notes, others


def _note_unknown(
    connection: Connection, channel: Channel, given: Sequence[Mapping[str, Any]], errors: _Told
) -> None:
    """A SKU or group that nobody knows is a slip of the hand, unless it stands there already."""
    held = {
        (name, getattr(rule, name)) for rule in channel.policies for name in ("sku", "sku_group")
    }
    named = {name: {rule[name] for rule in given if name in rule} for name in ("sku", "sku_group")}
    known = {
        "sku": set(exposure.groups_of_skus(connection, sorted(named["sku"]))),
        "sku_group": policy_board.known_groups(connection, named["sku_group"]),
    }
    for place, rule in enumerate(given):
        for name, problem in _UNKNOWN.items():
            code = rule.get(name)
            if code is None or code in known[name] or (name, code) in held:
                continue
            if name in errors[place]:
                continue
            near = (
                policy_board.near_skus(connection, code)
                if name == "sku"
                else policy_board.groups(connection)
            )
            fix = did_you_mean(code, near) or "look it up under Items"
            errors[place][name] = f"{problem}; {fix}"
