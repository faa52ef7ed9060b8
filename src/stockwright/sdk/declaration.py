"""A connector, declared once: the settings it takes, the limits it keeps, what its partner can do.

The settings are a msgspec Struct; each field carries its doc in `Meta(description=...)`. The same
declaration yields the parsed settings, every problem in them by name, and a JSON Schema.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from stockwright.domain.codes import did_you_mean
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.secrets import Secret, secret_from

Role = Literal["erp", "wms", "3pl", "store", "shop", "marketplace", "edi", "crm", "planning", "pos"]
DocumentKind = Literal["shipment", "cancellation", "refund"]
LevelsAre = Literal["net", "gross"]
S = TypeVar("S", bound="ConnectorSettings")
OwnChannel = Annotated[
    str,
    Meta(max_length=128, description="the channel its orders belong to; empty: the system's code"),
]
"""Settings that many connectors take, under the names of `Limits` where they are limits."""
CallsPerS = Annotated[float, Meta(gt=0, le=100, description="calls per second, on average")]
Burst = Annotated[int, Meta(ge=1, le=1_000, description="calls at once after a rest")]
Concurrency = Annotated[int, Meta(ge=1, le=20, description="calls under way at one time")]
TimeoutS = Annotated[float, Meta(gt=0, le=60, description="seconds until a call is given up")]
ApplyDelayS = Annotated[
    float,
    Meta(ge=0, le=3600, description="seconds in which a given-up call may still be applied"),
]
WebhookBytes = Annotated[
    int, Meta(ge=1024, le=33_554_432, description="largest webhook that is accepted")
]
_AT: Final = re.compile(r" - at `(?:\$|key in \$)\.?([^`]*)`$")
_UNLIKE: Final = re.compile(r"Expected `str` matching regex ['\"](.*)['\"]$")
_NO_CHOICE: Final = re.compile(r"Invalid enum value '(.*)'$")
_NOT_IN_IT: Final = re.compile(r"://\[\^\\s([^\]]*)\]")


class ConnectorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a connector's settings."""

    @classmethod
    def folders(cls, given: Mapping[str, Any]) -> tuple[str, ...]:
        """The settings that name folders of this machine, given these settings as they are written.

        Whoever connects over the API may name only folders that the machine's operator allows.
        """
        del given
        return ()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub keeps to when it calls a partner.

    batch_size: levels in one call, of which at most 10,000 go. calls_per_s and burst count every
    call that is made, look-ups included, unless the connection paces itself (see verbs).
    longest_apply_delay_s: how long after its deadline a request we gave up on may still be applied.
    """

    batch_size: int
    calls_per_s: float
    burst: int
    concurrency: int
    timeout_s: float
    longest_apply_delay_s: float


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How the hub waits for a partner, beyond its limits.

    listing_rest_s: the least time between two calls for one listing, 0 where the partner has no
    such plan. increase_wait_s: how long an increase waits at most for a poll of the channel's
    orders; more than the partner takes to list an order. orders_every_s: such a poll is asked for
    no more often. longest_job_s: how long the partner may be at work on a job before that counts
    as a failure.
    """

    listing_rest_s: float = 0.0
    increase_wait_s: float = 120.0
    orders_every_s: float = 0.5
    longest_job_s: float = 7_200.0


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the partner offers.

    order_watermark: a complete poll of its orders proves that none before its start is unseen.
    versioned_writes: it keeps the version of a level and ignores an older one. idempotency_keys: it
    carries out a call under the same key once. documents: the kinds that `submit` takes.
    levels_are: gross where it subtracts its own open orders from the number it is given; then they
    are added to what it may sell. It shows what is left, so that no unit is taken off twice.
    announces: subscriptions can be told through it.
    """

    read_back: bool = False
    compare_and_set: bool = False
    order_watermark: bool = False
    versioned_writes: bool = False
    idempotency_keys: bool = False
    webhooks: bool = False
    announces: bool = False
    documents: tuple[DocumentKind, ...] = ()
    levels_are: LevelsAre = "net"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a connection's settings. field is a dotted name inside them."""

    field: str
    message: str


class Declaration(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """What there is to know about a connector before it is configured."""

    name: str
    roles: tuple[Role, ...]
    summary: str
    settings: type[S]
    limits: Limits
    capabilities: Capabilities
    partner_docs: str = ""
    patience: Patience = Patience()

    def problems(
        self, given: Mapping[str, Any], secret: Callable[[str], str] | None = None
    ) -> list[Problem]:
        """Everything wrong with the settings, in the order they are declared; unknown ones last.

        secret resolves references such as `env:NAME`; without it they are only checked for form.
        """
        found: list[Problem] = []
        fields = msgspec.structs.fields(self.settings)
        for field in fields:
            if field.name in given:
                found += _problem_with(field.name, given[field.name], field.type, secret)
            elif field.required:
                found.append(Problem(field=field.name, message="is required and was not given"))
        names = [field.name for field in fields]
        for name in given:
            if name not in names:
                hint = did_you_mean(name, names) or f"settings are {', '.join(names)}"
                message = f"is not a setting of the connector {self.name}; {hint}"
                found.append(Problem(field=name, message=message))
        return found or self._problem_of_the_whole(given, secret)

    def _problem_of_the_whole(
        self, given: Mapping[str, Any], secret: Callable[[str], str] | None
    ) -> list[Problem]:
        """What only shows when the settings are seen together (a Struct's __post_init__)."""
        try:
            _convert(given, self.settings, secret)
        except msgspec.ValidationError as error:
            return [Problem(field=_field_at("", error), message=_words(error, self.settings))]
        return []

    def parse_settings(
        self,
        given: Mapping[str, Any],
        secret: Callable[[str], str],
        where: str = "settings",
    ) -> S:
        """The settings, typed, with defaults filled in and secrets resolved.

        Raises Misconfigured with the full name of the first setting at fault, `where` in front.
        """
        for problem in self.problems(given, secret):
            setting = f"{where}.{problem.field}" if problem.field else where
            raise Misconfigured(setting, f"{setting} {problem.message}")
        settings: S = _convert(given, self.settings, secret)
        return settings

    def json_schema(self) -> dict[str, Any]:
        """The settings as JSON Schema 2020-12, for editors and for the reference page."""
        return msgspec.json.schema(self.settings, schema_hook=_schema_of_secret)


def _problem_with(
    name: str, value: Any, kind: Any, secret: Callable[[str], str] | None
) -> list[Problem]:
    try:
        _convert(value, kind, secret)
    except msgspec.ValidationError as error:
        return [Problem(field=_field_at(name, error), message=_words(error, kind))]
    return []


def _convert(value: Any, kind: Any, secret: Callable[[str], str] | None) -> Any:
    def hook(expected: type, found: Any) -> Any:
        if expected is Secret:
            return secret_from(found, secret)
        raise NotImplementedError(f"settings of type {expected} are not supported")

    return msgspec.convert(value, kind, dec_hook=hook)


def _field_at(name: str, error: msgspec.ValidationError) -> str:
    """The dotted name of what is wrong. An error of ours may stand deeper than the library saw: it
    says so in the same words, so that several ends of a sentence name a part of the way each.
    """
    for tail in _taken_apart(error)[1]:
        if tail:
            name = f"{name}{tail}" if tail.startswith("[") or not name else f"{name}.{tail}"
    return name


def _taken_apart(error: msgspec.ValidationError) -> tuple[str, list[str]]:
    """What is wrong, and the parts of where, the outermost first."""
    text, tails = str(error), []
    while found := _AT.search(text):
        tails.append(found[1])
        text = text[: found.start()]
    return text, tails


def _words(error: msgspec.ValidationError, kind: Any) -> str:
    text = _taken_apart(error)[0]
    other = _NO_CHOICE.search(text)
    if other:
        hint = did_you_mean(
            other[1], _choices(msgspec.json.schema(kind, schema_hook=_schema_of_secret))
        )
        return f"is {other[1]!r}, which is none of its values" + (f"; {hint}" if hint else "")
    unlike = _UNLIKE.search(text)
    if unlike:
        return f"is not {_form(unlike[1].replace(chr(92) * 2, chr(92)))}"
    text = text.replace("`", "'")
    return f"is wrong: {text[:1].lower()}{text[1:]}"


def _choices(schema: Any) -> list[str]:
    """Every value that some field of a schema is chosen from."""
    if isinstance(schema, list):
        return [value for part in schema for value in _choices(part)]
    if not isinstance(schema, dict):
        return []
    own = [value for value in schema.get("enum", ()) if isinstance(value, str)]
    return own + [value for part in schema.values() for value in _choices(part)]


def _form(pattern: str) -> str:
    """What a pattern asks for, in words where it is an address or a path; else the pattern."""
    if "://" not in pattern:
        path = pattern.startswith(("^/", "^(/"))
        return "a path that begins with /" if path else f"of the form {pattern}"
    if "https?://" in pattern:
        begins = "http:// or https://"
    elif "https://" in pattern:
        begins = "https:// (on this machine alone http://)" if "http://" in pattern else "https://"
    else:
        return f"of the form {pattern}"
    excluded = _NOT_IN_IT.search(pattern)
    others = "".join(f" or {each}" for each in excluded[1]) if excluded else ""
    return f"an address that begins with {begins}" + (
        f" without blanks{others}" if excluded else ""
    )


def _schema_of_secret(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "pattern": "^(env|file):", "writeOnly": True}
    raise NotImplementedError(f"settings of type {kind} are not supported")
