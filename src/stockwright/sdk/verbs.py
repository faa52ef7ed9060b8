"""What a connection can do. A connection offers the verbs it knows; the hub asks with isinstance.

Errors every verb may raise: `Misconfigured` (an operator must act; nothing was done), `Transient`
and `Throttled` (nothing was done; again later). Nothing else may leave a connection.
"""

import datetime as dt
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from stockwright.domain.items import Binding, Sku, Unit
from stockwright.domain.supply import ToldSupply
from stockwright.sdk.declaration import Limits
from stockwright.sdk.mapping import Rule
from stockwright.sdk.messages import (
    Announcement,
    Document,
    Failure,
    LevelKey,
    LevelToSend,
    Mapped,
    Outbound,
    Outgoing,
    Page,
    Payload,
    PublishResult,
    ShownLevel,
    SubmitResult,
    WebhookOff,
)


@runtime_checkable
class Publishes(Protocol):
    """Shows levels to a channel.

    One with an attribute `patience` is waited for as that says, others as their declaration does.
    """

    async def publish(self, levels: Sequence[LevelToSend]) -> Sequence[PublishResult]:
        """Sends absolute levels, at most `limits.batch_size` of one channel, each key once.

        Results are aligned with levels. Returns within `limits.timeout_s`, also where the partner
        does not answer: what was not answered is in doubt. Safe to repeat.
        """
        ...


@runtime_checkable
class ReadsBack(Protocol):
    """Tells what a channel shows now."""

    async def read_back(self, keys: Sequence[LevelKey]) -> Sequence[ShownLevel | None]:
        """What the partner shows, aligned with keys; None where it does not know the listing.

        Raises pacing.NothingToSpare where changes that may come would have to wait for it.
        """
        ...


@runtime_checkable
class Submits(Protocol):
    """Takes documents: shipments, cancellations, refunds."""

    async def submit(self, document: Document) -> SubmitResult:
        """Tells the partner of one document. Returns within `limits.timeout_s`.

        Safe to repeat under the same key: a partner that keeps no keys is asked first whether it
        has the document, so that it is never told twice.
        """
        ...


@runtime_checkable
class Follows(Protocol):
    """Can be asked for a document by the name of the job that the partner took it as."""

    async def follow(self, document: Document, reference: str) -> SubmitResult:
        """What became of a document that is in doubt, by its `InDoubt.reference`.

        For a process that did not submit it itself; as `submit` otherwise.
        """
        ...


@runtime_checkable
class Announces(Protocol):
    """Takes announcements for whoever listens: a message broker."""

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Hands announcements over in their order; returns once the broker has stored all of them.

        Safe to repeat: those of the same id are stored once, for as long as the broker remembers
        ids. Raises what every verb may raise: then some of them may be stored.
        """
        ...


@runtime_checkable
class Reads(Protocol):
    """Is asked for what happened since a cursor.

    One with an attribute `poll_every_s` is asked that often: 0 where `read` waits by itself.
    """

    limits: Limits

    async def read(self, cursor: str) -> Page:
        """The page after cursor; the empty cursor is the beginning. Reads again what it read
        before.
        """
        ...

    async def acknowledge(self, page: Page) -> None:
        """The payloads of page are kept for good. Safe to repeat, and not called after a crash."""
        ...


@runtime_checkable
class Peeks(Protocol):
    """Shows what a read would bring and takes nothing, for partners of whom reading takes."""

    async def peek(self) -> Page:
        """The page that `read` would begin with. Whatever is done with it, it is there afterwards
        as it was before.
        """
        ...


@runtime_checkable
class Checks(Protocol):
    """Tells whether what is sent would find its way, for partners who show nothing of it."""

    async def check(self) -> bool:
        """Asks whether all that the settings send to is there, and sends nothing; False where there
        is nothing to ask for. Raises Misconfigured with the setting that names what is missing.
        """
        ...


@runtime_checkable
class Receives(Protocol):
    """Accepts what a partner sends by itself."""

    def receive(self, headers: Mapping[str, str], body: bytes) -> Payload | None:
        """The payload, proven to come from the partner by a signature over the raw body; None for
        what says nothing, such as a greeting when a webhook is set up.

        Header names are matched without case. Raises Rejected where nothing may be kept: reason
        `signature` (with field `headers`) or `too_large` (with field `body`).
        """
        ...


@runtime_checkable
class WatchesWebhooks(Protocol):
    """Sees to it that a partner goes on telling us by itself, which gives up after some failures.

    webhook_look_s: seconds between two looks.
    """

    webhook_look_s: float

    async def watch_webhooks(self) -> Sequence[WebhookOff]:
        """Switches on again what the partner has switched off; [] where nothing was off.

        Safe to repeat. What a person switched off is left so.
        """
        ...


@runtime_checkable
class Snapshots(Protocol):
    """Gives a partner's own count of everything."""

    async def snapshot(self) -> Sequence[ShownLevel]:
        """All the partner shows, each (listing, location) once."""
        ...


@runtime_checkable
class OpensStock(Protocol):
    """Dates what happened by the day, so that its figures of now hold an unknown part of today."""

    async def opening(self) -> tuple[dt.datetime, Sequence[ShownLevel]]:
        """What it held at a time, as a snapshot does: all that it dates at or before that time is
        in it, and nothing else. No two answers are of the same time.
        """
        ...


@runtime_checkable
class ListsItems(Protocol):
    """Knows the items: an ERP as a rule.

    sku_fields: what it tells of an SKU; the other fields keep what is known of it here.
    """

    sku_fields: Sequence[str]

    def items(self) -> AsyncIterator[Sequence[Sku | Unit | Binding]]:
        """Pages of rows for the item master, each as the partner has it now.

        A row's SKU comes before its units and bindings. Nothing is checked yet: the import does,
        and reports what it refuses.
        """
        ...


@runtime_checkable
class Expects(Protocol):
    """Knows what suppliers will send."""

    async def expected(self) -> Sequence[ToldSupply]:
        """Every line that is expected now; what is no longer among them is expected no more.

        Locations are the partner's own codes.
        """
        ...


@runtime_checkable
class Maps(Protocol):
    """Turns a partner's payload into items for the ledger."""

    def map(self, payload: Payload) -> list[Mapped]:
        """The parts of a payload in its own order. Pure: the same bytes give the same list for
        ever.

        Never raises on any bytes: what cannot be mapped is a Failure at its place; one Failure at
        the place "$" says that no part of the payload can be told.
        """
        ...


@runtime_checkable
class Restocks(Protocol):
    """Tells where a partner put units back on sale by itself, of which no fact tells us."""

    def restocked(self, payload: Payload) -> Collection[str]:
        """The listings of which that is so: what is shown of them is read back soon. Pure, as
        `map`, and never raises on any bytes.

        A fact of a cancellation or a return says the same of its item without this.
        """
        ...


@runtime_checkable
class MapsOut(Protocol):
    """Puts what goes out into the partner's form, as `publish` and `submit` do."""

    def map_out(self, message: Outgoing) -> list[Outbound] | Failure:
        """The bodies that would be sent, in their order. Pure, and sends nothing.

        Never raises: what the partner's form cannot say is a Failure whose path is the field of
        ours. [] where the partner is told nothing of this kind.
        """
        ...


@runtime_checkable
class MapsByRules(Maps, Protocol):
    """Maps JSON by rules alone, so that the way back can be tried."""

    rules: Sequence[Rule]


class Connection(Maps, Protocol):
    """One configured instance of a connector. Other verbs are found with isinstance.

    limits are the declaration's, with what the settings say in their place. One with an attribute
    `paces_itself` that is true keeps plans of its own for its calls: then `calls_per_s` counts
    verbs, else every call that is made. One with `keeps_jobs` remembers by itself the jobs that
    its partner is at work on: then one process at a time publishes.
    """

    system: str
    limits: Limits

    async def close(self) -> None:
        """Gives back sockets and files. Safe to repeat."""
        ...


def paces_itself(connection: object) -> bool:
    """Whether a connection's calls are counted by plans of its own."""
    return bool(getattr(connection, "paces_itself", False))


def keeps_jobs(connection: object) -> bool:
    """Whether a connection remembers jobs of its partner that no other process knows."""
    return bool(getattr(connection, "keeps_jobs", False))
