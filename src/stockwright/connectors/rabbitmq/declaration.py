"""The connector to RabbitMQ, declared."""

from typing import Annotated

from msgspec import Meta

from stockwright.sdk.connector import Opening
from stockwright.sdk.declaration import Declaration
from stockwright.sdk.queue_connection import (
    CAPABILITIES,
    LIMITS,
    QueueConnection,
    QueueSettings,
    connection_of,
)
from stockwright.sdk.queue_rabbitmq import RabbitAccess, RabbitQueue
from stockwright.sdk.secrets import Secret


class RabbitSettings(QueueSettings, frozen=True, kw_only=True):
    """What an operator sets for one RabbitMQ."""

    host: Annotated[
        str,
        Meta(
            pattern=r"^[^\s/@\[\]]+$",
            description="where the broker answers: a name or an address, nothing more",
        ),
    ]
    port: Annotated[int, Meta(ge=1, le=65535, description="its port")] = 5672
    tls: Annotated[bool, Meta(description="whether to speak TLS, mostly on port 5671")] = False
    virtual_host: Annotated[str, Meta(description="the virtual host")] = "/"
    user: Annotated[str, Meta(description="user to sign in as")] = "guest"
    password: Annotated[Secret | None, Meta(description="password; env:NAME or file:PATH")] = None
    queue: Annotated[
        str, Meta(description="queue that is consumed; it must be there; empty: none")
    ] = ""
    exchange: Annotated[
        str, Meta(description="exchange to send to; empty: the default one, a queue a subject")
    ] = ""


DECLARATION: Declaration[RabbitSettings] = Declaration(
    name="rabbitmq",
    roles=("shop", "marketplace", "erp", "wms", "3pl", "store", "pos", "planning", "crm"),
    summary="A RabbitMQ broker: JSON messages in, levels, documents and subscriptions out.",
    settings=RabbitSettings,
    limits=LIMITS,
    capabilities=CAPABILITIES,
    partner_docs="https://www.rabbitmq.com/docs/confirms",
)


def open_connection(opening: Opening, settings: RabbitSettings) -> QueueConnection:
    """A connection to the broker; nothing is sent yet."""
    access = RabbitAccess(
        host=settings.host,
        port=settings.port,
        tls=settings.tls,
        virtual_host=settings.virtual_host,
        user=settings.user,
        password=settings.password,
        queue=settings.queue,
        exchange=settings.exchange,
        timeout_s=settings.timeout_s,
        in_flight=settings.page_size,
    )
    return connection_of(opening, settings, RabbitQueue(access), consumes=bool(settings.queue))
