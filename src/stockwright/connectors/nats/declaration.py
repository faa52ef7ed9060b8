"""The connector to NATS JetStream, declared."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from stockwright.sdk.connector import Opening
from stockwright.sdk.declaration import Declaration
from stockwright.sdk.queue_connection import (
    CAPABILITIES,
    LIMITS,
    QueueConnection,
    QueueSettings,
    connection_of,
)
from stockwright.sdk.queue_nats import NatsAccess, NatsQueue
from stockwright.sdk.secrets import Secret

_TOKEN = r"^[^\s.*>]*$"


class NatsSettings(QueueSettings, frozen=True, kw_only=True):
    """What an operator sets for one NATS server."""

    servers: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(nats|tls)://[^\s/@]+$")], ...],
        Meta(min_length=1, description="the servers of the cluster, such as nats://nats:4222"),
    ]
    token: Annotated[
        Secret | None, Meta(description="token to sign in with; env:NAME or file:PATH")
    ] = None
    user: Annotated[str, Meta(description="user to sign in as, with password")] = ""
    password: Annotated[Secret | None, Meta(description="password; env:NAME or file:PATH")] = None
    credentials_file: Annotated[
        str, Meta(description="path of a .creds file with JWT and seed, instead of the above")
    ] = ""
    stream: Annotated[
        str, Meta(pattern=_TOKEN, description="stream that is consumed; it must be there")
    ] = ""
    consumer: Annotated[
        str,
        Meta(
            pattern=_TOKEN,
            description="durable consumer, made where there is none; empty: none is consumed",
        ),
    ] = ""
    subject: Annotated[
        str, Meta(description="of the stream only this subject, such as wms.>; empty: all")
    ] = ""
    ack_wait_s: Annotated[
        float,
        Meta(ge=1, le=3600, description="seconds after which what was not kept comes again"),
    ] = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.stream) != bool(self.consumer):
            raise ValueError("stream and consumer go together: give both, or none to only send")


DECLARATION: Declaration[NatsSettings] = Declaration(
    name="nats",
    roles=("shop", "marketplace", "erp", "wms", "3pl", "store", "pos", "planning", "crm"),
    summary="A NATS JetStream server: JSON messages in, levels, documents and subscriptions out.",
    settings=NatsSettings,
    limits=LIMITS,
    # Within the time that the stream remembers ids, two minutes unless it says otherwise.
    capabilities=replace(CAPABILITIES, idempotency_keys=True),
    partner_docs="https://docs.nats.io/nats-concepts/jetstream",
)


def open_connection(opening: Opening, settings: NatsSettings) -> QueueConnection:
    """A connection to the servers; nothing is sent yet."""
    access = NatsAccess(
        servers=settings.servers,
        timeout_s=settings.timeout_s,
        token=settings.token,
        user=settings.user,
        password=settings.password,
        credentials_file=settings.credentials_file,
        stream=settings.stream,
        consumer=settings.consumer,
        subject=settings.subject,
        ack_wait_s=settings.ack_wait_s,
        in_flight=settings.page_size,
    )
    return connection_of(opening, settings, NatsQueue(access), consumes=bool(settings.consumer))
