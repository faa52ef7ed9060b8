"""`stockwright connector`: which there are, what each says about itself, and a new one begun."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stockwright.app import find_connector
from stockwright.cli import output
from stockwright.cli.output import AsJson
from stockwright.cli.scaffold import Scaffold, write_scaffold
from stockwright.config.connectors import connector_names
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.connector import Connector
from stockwright.sdk.declaration import Capabilities, Limits
from stockwright.sdk.reference import page, verbs_of

app = App(name="connector", help="List, describe and begin connectors.", help_format="markdown")

Name = Annotated[str, Parameter(help="The connector's name; see: connector list.")]


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector says about itself. settings are their names, in declared order."""

    name: str
    summary: str
    roles: tuple[str, ...]
    verbs: tuple[str, ...]
    settings: tuple[str, ...]
    limits: Limits
    capabilities: Capabilities
    partner_docs: str
    sandbox: bool


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> int:
    """List every connector that is installed, other packages' included.

    Ends with 1 where one cannot be loaded; the others are listed.
    """
    found, broken = [], []
    for name in connector_names():
        try:
            found.append(_described(find_connector(name, "name")))
        except Misconfigured as fault:
            broken.append(fault)
    output.emit(found, as_json, _table)
    for one in broken:
        output.explain(one, as_json)
    return output.FINDINGS if broken else output.OK


@app.command
def show(name: Name, /, *, as_json: AsJson = False) -> int:
    """Show what a connector can do: roles, verbs, settings, limits, capabilities, links."""
    connector = find_connector(name, "name")
    output.emit(_described(connector), as_json, lambda _: Text(page(connector)))
    return output.OK


@app.command
def schema(name: Name, /, *, as_json: AsJson = False) -> int:
    """Print the JSON Schema (2020-12) of a connector's settings, for editors and forms."""
    found = find_connector(name, "name").declaration.json_schema()
    output.emit(found, as_json, lambda data: Text(output.json_text(data)))
    return output.OK


@app.command
def docs(name: Name, /, *, as_json: AsJson = False) -> int:
    """Print a connector's reference page in Markdown, made from its declaration."""
    text = page(find_connector(name, "name"))
    output.emit({"markdown": text}, as_json, lambda _: Text(text.rstrip("\n")))
    return output.OK


@app.command
def new(
    name: Annotated[str, Parameter(help="Name of the connector: small letters, digits, _.")],
    /,
    *,
    folder: Annotated[
        Path | None, Parameter(help="Where to write it; stockwright-NAME here by default.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Begin a connector: a package with a declaration, a REST client, cases and tests that pass.

    Nothing that is there is overwritten.
    """
    made = write_scaffold(name, folder or Path(f"stockwright-{name.replace('_', '-')}"))
    output.emit(made, as_json, _made)
    return output.OK


def _described(connector: Connector[Any]) -> Described:
    declaration = connector.declaration
    return Described(
        name=declaration.name,
        summary=declaration.summary,
        roles=declaration.roles,
        verbs=(*verbs_of(connector), "map"),
        settings=tuple(one.name for one in msgspec.structs.fields(declaration.settings)),
        limits=declaration.limits,
        capabilities=declaration.capabilities,
        partner_docs=declaration.partner_docs,
        sandbox=connector.sandbox is not None,
    )


def _table(found: list[Described]) -> RenderableType:
    table = Table("connector", "verbs", "what for", box=None)
    for one in found:
        table.add_row(Text(one.name), Text(", ".join(one.verbs)), Text(one.summary))
    return table


def _path(folder: str) -> str:
    """A folder as pip tells it from the name of a package."""
    return folder if Path(folder).is_absolute() else f"./{folder}"


def _made(made: Scaffold) -> Text:
    files = "\n".join(f"  {file}" for file in made.files)
    return Text(
        f"Wrote {made.folder}:\n{files}\n"
        f'Install it (pip install -e "{_path(made.folder)}[test]"), then run its tests:'
        f" pytest {made.folder}"
    )
