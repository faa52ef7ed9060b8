"""`stockwright key`: create, list and revoke API keys."""

import datetime as dt
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.table import Table

from stockwright.app import open_database
from stockwright.cli import output
from stockwright.cli.output import AsJson, ConfigFile
from stockwright.config import load_config
from stockwright.domain.errors import Rejected
from stockwright.flow.configuring import start_with
from stockwright.store.access import (
    SCOPES,
    KeyEntry,
    NewKey,
    add_key,
    list_keys,
    revoke_key,
)
from stockwright.store.connection import Pool
from stockwright.store.history import Said
from stockwright.store.session import session

app = App(name="key", help="Create, list and revoke API keys.", help_format="markdown")
_SCOPES = "; ".join(f"{scope}: {allows}" for scope, allows in SCOPES.items())


@app.command
def create(
    name: Annotated[str, Parameter(help="Who will use it, such as 'web shop'.")],
    /,
    *,
    scope: Annotated[
        list[str], Parameter(negative="", help=f"What it may do; repeat it for more. {_SCOPES}.")
    ],
    system: Annotated[str, Parameter(help="The one system it speaks for; empty for any.")] = "",
    days: Annotated[int | None, Parameter(help="Days until it expires; never by default.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Create an API key and show it, this once."""
    if days is not None and not 0 < days <= 36_500:
        raise Rejected("malformed", "days", "Days are from 1 to 36,500.")
    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=days) if days else None
    loaded = load_config(config)
    with open_database(loaded) as url, Pool(url, size=1) as pool, session(pool) as connection:
        # A key may be bound to a system that was configured a moment ago.
        person = output.person()
        start_with(connection, loaded, Said(actor=person, source="file", reason="key create"))
        made = add_key(
            connection, name=name, scopes=scope, system=system, actor=person, expires_at=expires_at
        )
    output.emit(made, as_json, _show_new)
    return output.OK


@app.command(name="list")
def list_(*, config: ConfigFile = None, as_json: AsJson = False) -> int:
    """List every API key, revoked ones too; never the key itself."""
    with (
        open_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        found = list_keys(connection)
    output.emit(found, as_json, _show_all)
    return output.OK


@app.command
def revoke(
    key_id: Annotated[str, Parameter(help="The id, as `stockwright key list` shows it.")],
    /,
    *,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> int:
    """Revoke an API key; it stops working within five seconds."""
    with (
        open_database(load_config(config)) as url,
        Pool(url, size=1) as pool,
        session(pool) as connection,
    ):
        name = revoke_key(connection, key_id, output.person())
    if name is None:
        raise Rejected(
            "not_found", "key_id", f"No live key has the id {key_id!r}; see: stockwright key list"
        )
    output.emit({"revoked": key_id, "name": name}, as_json, lambda d: f"Revoked {d['name']}.")
    return output.OK


def _show_new(made: NewKey) -> RenderableType:
    bound = f", for the system {made.system}" if made.system else ""
    return (
        f"{made.key}\n\n"
        f"This is the only time it is shown. It may: {', '.join(made.scopes)}{bound}.\n"
        "Send it as the header  Authorization: Bearer KEY"
    )


def _show_all(found: list[KeyEntry]) -> RenderableType:
    table = Table("id", "name", "scopes", "system", "created", "last used", "state")
    now = dt.datetime.now(dt.UTC)
    for key in found:
        table.add_row(
            key.id,
            key.name,
            " ".join(key.scopes),
            key.system or "any",
            f"{key.created_at:%Y-%m-%d}",
            f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
            _state(key, now),
        )
    return table


def _state(key: KeyEntry, now: dt.datetime) -> str:
    if key.revoked_at:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at and key.expires_at <= now:
        return f"expired {key.expires_at:%Y-%m-%d}"
    return "live"
