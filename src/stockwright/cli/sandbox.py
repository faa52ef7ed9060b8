"""`stockwright sandbox`: a partner on this machine, for dry runs of a connection."""

import asyncio
import inspect
import os
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter
from rich.text import Text

from stockwright.cli import output
from stockwright.config.connectors import find_connector, usable_connectors
from stockwright.domain.connecting import SELLS
from stockwright.domain.errors import Rejected
from stockwright.sdk.secrets import Secret

PRODUCTS: Final = ("L-1", "L-2", "L-3")
PLACE: Final = "MAIN"
"""Stands for the place that a channel sells from, which only the user knows."""
TOKEN: Final = "sandbox-token"
"""What a partner of the user's own making asks for: a sandbox without one proves no credential."""


class Ready(msgspec.Struct):
    """Where a sandbox answers, and how a connection to it is configured.

    environment holds the variables that the settings refer to: a sandbox's secrets are no secrets.
    """

    connector: str
    address: str
    settings: dict[str, Any]
    environment: dict[str, str]


def command(
    name: Annotated[str, Parameter(help="The connector whose partner is played.")],
    /,
    *,
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes a free one.")] = 0,
    product: Annotated[
        list[str] | None,
        Parameter(negative="", help="Something the partner sells; repeat it for several."),
    ] = None,
    sell: Annotated[
        list[str] | None,
        Parameter(negative="", help="A customer's order at the start, PRODUCT=UNITS; repeat it."),
    ] = None,
    webhook_url: Annotated[str, Parameter(help="Where it sends its webhooks.")] = "",
    as_json: output.AsJson = False,
) -> int:
    """Play a partner on this machine, and print the settings of a connection to it.

    It keeps what it is told until Ctrl-C or SIGTERM, and listens on loopback only.
    """
    connector = find_connector(name)
    if connector is None or connector.sandbox is None:
        raise Rejected("unknown", "name", f"take one of: {', '.join(_names())}")
    sold = [_sold(text) for text in sell or ()]
    if sold and not hasattr(connector.sandbox, "sell"):
        raise Rejected("unknown", "--sell", f"the sandbox of {name} sells nothing")
    takes = inspect.signature(connector.sandbox).parameters
    products = product or (list(PRODUCTS) if "products" in takes else None)
    given = {"products": products, "webhook_url": webhook_url}
    asked = {key: value for key, value in given.items() if value}
    for key in asked:
        if key not in takes:
            field = key.replace("_", "-").removesuffix("s")
            raise Rejected("unknown", f"--{field}", f"the sandbox of {name} takes none")
    if "token" in takes:
        asked["token"] = TOKEN
    asyncio.run(_play(name, connector.sandbox(**asked), port, sold, webhook_url, as_json))
    return output.OK


def _sold(text: str) -> tuple[str, int]:
    product, equals, units = text.rpartition("=")
    if not (product and equals and units.isdecimal() and int(units)):
        raise Rejected("invalid", "--sell", f"write PRODUCT=UNITS, such as MUG=2, not {text!r}")
    return product, int(units)


async def _sell(partner: Any, number: int, line: tuple[str, int]) -> None:
    """An order of one line. Some partners number their orders, others are told the number."""
    numbers = "order" not in inspect.signature(partner.sell).parameters
    placed = partner.sell([line]) if numbers else partner.sell(f"SANDBOX-{number}", [line])
    if inspect.isawaitable(placed):
        await placed


def _names() -> Iterator[str]:
    for found in usable_connectors():
        if found.sandbox is not None:
            yield found.declaration.name


async def _play(
    name: str,
    partner: Any,
    port: int,
    sold: Sequence[tuple[str, int]],
    webhook_url: str,
    as_json: bool,
) -> None:
    with _until_stopped() as stopped:
        address = await _start(partner, port)
        try:
            for number, line in enumerate(sold, 1):
                await _sell(partner, number, line)
            ready = _ready(name, address, partner.settings())
            _announce(_with_webhooks(ready, webhook_url), as_json)
            await stopped.wait()
        finally:
            await partner.stop()


async def _start(partner: Any, port: int) -> str:
    """Begins to answer; where. Raises Rejected where nothing can listen on the port."""
    if "port" not in inspect.signature(partner.start).parameters:
        started: str = await partner.start()
        return started
    try:
        started = await partner.start(port)
    except OverflowError:
        raise Rejected("invalid", "--port", f"ports are from 0 to 65535, not {port}") from None
    except OSError as failure:
        why = os.strerror(failure.errno) if failure.errno else str(failure)
        message = f"cannot listen on port {port}: {why}; stop what uses it, or choose another port"
        raise Rejected("invalid", "--port", message) from None
    return started


def _ready(name: str, address: str, settings: Mapping[str, Any]) -> Ready:
    environment: dict[str, str] = {}

    def referred(field: str, value: Any) -> Any:
        if isinstance(value, Secret):
            variable = f"SANDBOX_{field}".upper()
            environment[variable] = value.reveal()
            return f"env:{variable}"
        if isinstance(value, list | tuple):
            return [referred(f"{field}_{n}", one) for n, one in enumerate(value, 1)]
        return value

    told = {field: referred(field, value) for field, value in settings.items()}
    return Ready(connector=name, address=address, settings=told, environment=environment)


def _with_webhooks(ready: Ready, webhook_url: str) -> Ready:
    """The same with the address of webhooks, where the connector may make them there itself."""
    connector = find_connector(ready.connector)
    assert connector is not None
    settings = ready.settings | {"webhook_url": webhook_url}
    if not webhook_url or connector.declaration.problems(settings):
        return ready
    return msgspec.structs.replace(ready, settings=settings)


def _announce(ready: Ready, as_json: bool) -> None:
    if as_json:
        # One line, so that whoever reads a pipe knows when it is whole.
        print(_json(ready), flush=True)
    else:
        output.out().print(_text(ready))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _text(ready: Ready) -> Text:
    environment = ready.environment.items()
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment]
    role = _roles(ready.connector)[0]
    lines += ["", "[systems.SANDBOX]", f'role = "{role}"', f'connector = "{ready.connector}"', ""]
    lines += ["[systems.SANDBOX.settings]"]
    # JSON's texts, numbers and lists are TOML's as well.
    lines += [f"{name} = {_json(value)}" for name, value in ready.settings.items()]
    if _sells(ready.connector):
        lines += ["", "[channels.SANDBOX]", 'system = "SANDBOX"', f'pool = ["{PLACE}"]']
        lines += [f"# {PLACE}: the place, or a group, that it sells from; put your own."]
    lines += ["", f"# Or: {_command(ready)}", f"# It answers at {ready.address} until Ctrl-C."]
    return Text("\n".join(lines))


def _command(ready: Ready) -> str:
    """How `stockwright connection add` is told the same; lists are parted by commas."""
    given = []
    for name, value in ready.settings.items():
        simple = isinstance(value, list) and all(isinstance(one, str) for one in value)
        plain = ",".join(value) if simple else value if isinstance(value, str) else _json(value)
        given.append(f"--set {shlex.quote(f'{name}={plain}')}")
    words = ["stockwright connection add SANDBOX --connector", ready.connector]
    roles = _roles(ready.connector)
    if len(roles) > 1:
        words += ["--role", roles[0]]
    channel = ["--channel SANDBOX --pool", PLACE] if _sells(ready.connector) else []
    return " ".join([*words, *given, *channel])


def _sells(name: str) -> bool:
    """Whether the system that is printed sells, and so needs a channel."""
    return _roles(name)[0] in SELLS


def _roles(name: str) -> tuple[str, ...]:
    connector = find_connector(name)
    assert connector is not None
    return connector.declaration.roles


@contextmanager
def _until_stopped() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    stop: Callable[[], None] = stopped.set
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield stopped
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
