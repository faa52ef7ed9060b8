"""The command line: `stockwright COMMAND`. A command is a module, loaded when it is used."""

import difflib
import sys
import traceback
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError

from stockwright import __version__
from stockwright.cli import output
from stockwright.domain.errors import StockwrightError

COMMANDS: Final[dict[str, str]] = {
    "init": "Write a commented stockwright.toml.",
    "lint": "Check the configuration: file, line, field and fix.",
    "up": "Run the API, the workers and the console.",
    "status": "Show whether everything runs, and what waits.",
    "doctor": "Check this machine, the database and the configuration.",
    "connector": "List, describe and begin connectors.",
    "map": "Map a partner's sample, side by side with what it becomes.",
    "import": "Import items, units, kits, listings, bindings or locations.",
    "export": "Export items, units, kits, listings, bindings or locations.",
    "pull": "Take over a partner's items, or what it expects from suppliers.",
    "config": "Plan, apply and roll back the configuration.",
    "connection": "Connect a partner step by step: add, test, shadow, live.",
    "key": "Create, list and revoke API keys.",
    "user": "Add, list, change and disable users of the console.",
    "publish": "Show, pause, resume and resync channels.",
    "work": "List, show, close, reopen and assign work items.",
    "subscription": "Add, list, pause, resume, replay and delete subscriptions.",
    "why": "Explain every quantity of a SKU.",
    "policy": "Try exposure policies before they are in force.",
    "trace": "Follow one event from the door to the channels.",
    "audit": "Prove that the books add up.",
    "sandbox": "Play a partner on this machine, for dry runs.",
    "demo": "Replay a wholesaler's real days, live in the console.",
    "bench": "Measure speed against a stored procedure.",
}
"""Every command and its one-line help, in the order a newcomer meets them."""

_GROUPS: Final = frozenset(
    {
        *("config", "connection", "connector", "key", "map", "policy", "publish"),
        *("subscription", "user", "work"),
    }
)


def build_app(chosen: str = "") -> App:
    """The command line as a cyclopts app; no command's module is loaded yet.

    The chosen command helps with its function's whole docstring, the others with their summary,
    so that listing them loads none.
    """
    app = App(
        name="stockwright",
        help="One true stock position across every system that holds or sells goods.",
        version=__version__,
        # Plain text would keep the lines of the source, which are longer than those of a terminal.
        help_format="markdown",
        suppress_keyboard_interrupt=False,
    )
    for order, (name, summary) in enumerate(COMMANDS.items()):
        module = f"stockwright.cli.{name}_" if name == "import" else f"stockwright.cli.{name}"
        target = "app" if name in _GROUPS else "command"
        shown = {} if name == chosen else {"help": summary}
        app.command(f"{module}:{target}", name=name, sort_key=order, **shown)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and answers its exit code; failures are explained in one line."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    if tokens and not tokens[0].startswith("-") and tokens[0] not in COMMANDS:
        return _unknown(tokens[0])
    try:
        result = build_app(tokens[0] if tokens else "")(
            tokens, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as failure:
        command = " ".join(failure.command_chain or tokens[:1])
        sys.stderr.write(f"error: {failure}\nSee: stockwright {command} --help\n")
        return output.USAGE
    except StockwrightError as failure:
        output.explain(failure, "--json" in tokens)
        return output.exit_code_of(failure)
    except KeyboardInterrupt:
        return output.INTERRUPTED
    except BrokenPipeError:
        # The reader of our pipe has seen enough; that is no failure.
        sys.stderr.close()
        return output.OK
    except Exception:  # noqa: BLE001  a fault of ours: shown whole, under its own exit code
        traceback.print_exc()
        return output.INTERNAL
    return result if isinstance(result, int) else output.OK


def _unknown(name: str) -> int:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"one of: {', '.join(COMMANDS)}"
    sys.stderr.write(f"error: no command {name!r}; {hint}\n")
    return output.USAGE
