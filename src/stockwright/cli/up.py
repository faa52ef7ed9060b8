"""`stockwright up`: the process that runs Stockwright."""

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Final

import structlog
from cyclopts import Parameter

from stockwright.app import ROLES, Role, Services, open_services
from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import Config, load_config
from stockwright.flow.interpreter import settle_interpreter
from stockwright.telemetry import configure_logging

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_log = structlog.get_logger("stockwright.up")


def command(
    *,
    only: Annotated[
        list[Role] | None,
        Parameter(negative="", help="Run only this part; repeat it to run several."),
    ] = None,
    config: ConfigFile = None,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 takes a free one.")] = None,
    demo_open: Annotated[
        bool, Parameter(negative="", help="Ask for no API key; on this machine's loopback only.")
    ] = False,
    log_level: Annotated[str, Parameter(help="debug, info, warning or error.")] = "info",
    as_json: AsJson = False,
) -> int:
    """Run the API, the workers and the console, in one process or as separate ones.

    Serves until SIGTERM or Ctrl-C, then lets calls under way end and records what was taken in.
    With --json, one line on standard output tells the address once it answers.
    """
    configure_logging(level=log_level, as_json=True if as_json else None)
    loaded = load_config(config)
    roles = tuple(only) if only else ROLES
    with open_services(loaded, roles, progress=lambda text: _log.info(text)) as services:
        settle_interpreter()
        if "api" in roles or "console" in roles:
            _serve(services, loaded, roles, host, port, demo_open, as_json)
        else:
            _announce("", roles, as_json)
            _wait_for_signal(lambda: services.recorder.alive)
        _log.info("stopping")
        # A part that cannot be started again in here is started again with the whole process.
        well = services.recorder.alive
    return output.OK if well else output.INTERNAL


def _serve(
    services: Services,
    config: Config,
    roles: tuple[Role, ...],
    host: str | None,
    port: int | None,
    demo_open: bool,
    as_json: bool,
) -> None:
    # Imported here: a process that only works needs no web server in its memory.
    from stockwright.api.routes import TABLE
    from stockwright.api.server import WebServer
    from stockwright.console import routes

    base = config.server.base
    pages = routes(services, open_to_all=demo_open, base=base) if "console" in roles else ()
    # A console alone still tells whether it lives; everything under /v1 is the API's.
    table = [row for row in TABLE if "api" in roles or row.tag == "health"]
    web = WebServer(
        services,
        host=host or config.server.host,
        port=config.server.port if port is None else port,
        open_to_all=demo_open,
        routes=pages,
        table=table,
    )
    with ExitStack() as stack:
        stack.enter_context(web)
        _announce(web.url, roles, as_json)
        if pages and not demo_open:
            _tell_of_first_user(services)
        _wait_for_signal(lambda: web.serving and services.recorder.alive)


def _announce(url: str, roles: tuple[Role, ...], as_json: bool) -> None:
    said = {"url": url, "roles": list(roles)}
    _log.info("ready", **said)
    if as_json:
        sys.stdout.write(output.encoded(said) + "\n")
        sys.stdout.flush()
    elif url:
        output.err().print(f"Stockwright answers at [bold]{url}[/bold]; Ctrl-C stops it.")


def _tell_of_first_user(services: Services) -> None:
    """Says what to do where nobody can sign in to the console yet."""
    from stockwright.store.session import session
    from stockwright.store.users import anybody

    with session(services.pool) as connection:
        if anybody(connection):
            return
    _log.warning("nobody can sign in", next="stockwright user add NAME --role admin")


def _wait_for_signal(well: Callable[[], bool]) -> None:
    """Returns at SIGTERM, at SIGINT, or once all is no longer well."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in _STOPPING}
    try:
        # Signals are handled between waits; a wait without end would never let them.
        while well() and not stop.wait(0.5):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
