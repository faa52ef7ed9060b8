"""What a connector's folder gives to the hub: one `Connector` with all there is to know."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic

import msgspec

from stockwright.sdk.declaration import Declaration, S
from stockwright.sdk.pacing import Buckets, OwnBuckets
from stockwright.sdk.transports import Transport
from stockwright.sdk.verbs import Connection


def utc_now() -> dt.datetime:
    """The wall clock, for where nobody hands in another."""
    return dt.datetime.now(dt.UTC)


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection is opened with besides its settings.

    system is the code it acts for, time_zone the IANA zone of its times without one. transport
    replaces the real network. buckets keep the plans of a partner that gives each operation one
    of its own; the hub's are shared by all its processes.
    """

    system: str
    time_zone: str = "UTC"
    transport: Transport | None = None
    clock: Callable[[], dt.datetime] = utc_now
    buckets: Buckets = msgspec.field(default_factory=OwnBuckets)


class Connector(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """A connector: its declaration, how a connection is opened, where its cases lie.

    sandbox makes a partner that speaks this protocol on this machine, for dry runs and the demo.
    """

    declaration: Declaration[S]
    open: Callable[[Opening, S], Connection]
    cases: Path
    sandbox: Callable[..., Any] | None = None
