"""What a connector's cases say: what comes in is mapped to, and what goes out is written as."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stockwright.sdk.bodies import message_from
from stockwright.sdk.messages import Failure, Mapped, Outbound, Payload
from stockwright.sdk.promises.trial import Test, Trial
from stockwright.sdk.verbs import MapsOut


def as_expected(trial: Trial) -> dict[str, Test]:
    """A test for each case."""
    paths = sorted(trial.connector.cases.glob("*.json"))
    return {f"test_case_{path.stem}": _case(trial, path) for path in paths}


def _mapped_as_data(mapped: Sequence[Mapped]) -> list[dict[str, Any]]:
    """Mapped parts as they are written in a case: defaults left out."""
    return [
        {
            "place": part.place,
            "failure" if isinstance(part.item, Failure) else "item": msgspec.to_builtins(part.item),
        }
        for part in mapped
    ]


def sent_as_data(sent: list[Outbound] | Failure) -> list[dict[str, Any]]:
    """What goes out, as it is written in a case: bodies as JSON where they are, else as text."""
    if isinstance(sent, Failure):
        return [{"failure": msgspec.to_builtins(sent)}]
    return [_outbound_as_data(one) for one in sent]


def _outbound_as_data(one: Outbound) -> dict[str, Any]:
    found: dict[str, Any] = {"to": one.to}
    if one.content_type == "application/json":
        found["json"] = msgspec.json.decode(one.body)
    else:
        found["text"] = one.body.decode("utf-8", "replace")
    return found if one.lost is None else {**found, "lost": list(one.lost)}


def run_case(trial: Trial, path: Path) -> tuple[Any, Any]:
    """What a case's payload or message is mapped to, and what the case expects."""
    case = msgspec.json.decode(path.read_bytes())
    given: Mapping[str, Any] = {**trial.settings, **case.get("settings", {})}
    connection = trial.connect(given, case.get("time_zone", "UTC"))
    if "out" in case:
        assert isinstance(connection, MapsOut), f"{path.name}: the connection has no map_out"
        message = message_from(case["out"], connection.system)
        return sent_as_data(connection.map_out(message)), case["expected"]
    body = msgspec.json.encode(case["json"]) if "json" in case else case["body"].encode()
    payload = Payload(body=body, headers=case.get("headers", {}))
    return _mapped_as_data(connection.map(payload)), case["expected"]


def paths_of(trial: Trial, *, out: bool) -> list[Path]:
    """The cases of what goes out, or of what comes in."""
    paths = sorted(trial.connector.cases.glob("*.json"))
    return [path for path in paths if ("out" in msgspec.json.decode(path.read_bytes())) is out]


def _case(trial: Trial, path: Path) -> Test:
    def test(self: object) -> None:
        mapped, expected = run_case(trial, path)
        assert mapped == expected, f"{path.name}: mapped to {msgspec.json.encode(mapped).decode()}"

    return test
