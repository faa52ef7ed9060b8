"""The shape of stockwright.toml: what is declared here is what `stockwright lint` checks."""

from typing import Annotated

from msgspec import Meta, Struct

from stockwright.domain.call_log import ApiLog
from stockwright.domain.codes import Code
from stockwright.domain.network import Network


class Server(Struct, frozen=True, kw_only=True):
    """Where the API and the console are served."""

    host: Annotated[
        str, Meta(min_length=1, description="address to listen on; 0.0.0.0 for every network")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on")] = 8080
    base: Annotated[
        str, Meta(description="address under which others reach us; empty for the one above")
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="networks of our own proxies, whose X-Forwarded-For and -Proto we believe"
        ),
    ] = ()


class Database(Struct, frozen=True, kw_only=True):
    """Where the truth is kept: in an embedded PostgreSQL, or in a server of your own."""

    url: Annotated[
        str,
        Meta(description="PostgreSQL 15 or newer as postgresql://..., or env:NAME or file:PATH"),
    ] = ""
    data_dir: Annotated[
        str,
        Meta(description="folder of the embedded database; empty for the user's data folder"),
    ] = ""


class Subscriptions(Struct, frozen=True, kw_only=True):
    """Where outside consumers may be, and how long one may fail before it is paused."""

    allowed_networks: Annotated[
        tuple[str, ...],
        Meta(description="private networks that webhooks may go to, also without TLS"),
    ] = ()
    patience_hours: Annotated[
        float, Meta(ge=1, le=8760, description="hours a consumer may fail before it is paused")
    ] = 24


class Connections(Struct, frozen=True, kw_only=True):
    """What connections that are made over the API or in the console may name on this machine.

    Commands on this machine and the file itself may name all that the process can read.
    """

    secret_folders: Annotated[
        tuple[str, ...],
        Meta(description="folders of the secrets that the API and the console may name"),
    ] = ()
    secret_variables: Annotated[
        tuple[str, ...],
        Meta(description="variables of the environment that they may name; * stands for any text"),
    ] = ("STOCKWRIGHT_SECRET_*",)
    exchange_folders: Annotated[
        tuple[str, ...],
        Meta(description="folders that inboxes and outboxes from there may lie in"),
    ] = ()


class Config(Network, frozen=True, kw_only=True):
    """Everything a process needs to know at its start. Secrets are references, never values."""

    server: Server = Server()
    database: Database = Database()
    api_log: ApiLog = ApiLog()
    subscriptions: Subscriptions = Subscriptions()
    connections: Connections = Connections()
    imported_places: Annotated[
        tuple[Code, ...],
        Meta(description="locations and groups that come by CSV import; pools may name them"),
    ] = ()
    file: str = ""
    """The file this was read from; empty where there is none and all is default."""
