"""The connector to Kafka, declared."""

from typing import Annotated, Literal

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
from stockwright.sdk.queue_kafka import KafkaAccess, KafkaQueue
from stockwright.sdk.secrets import Secret


class KafkaSettings(QueueSettings, frozen=True, kw_only=True):
    """What an operator sets for one Kafka cluster."""

    bootstrap_servers: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[^\s/@]+:\d+$")], ...],
        Meta(min_length=1, description="brokers to begin with, such as kafka:9092"),
    ]
    security: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Meta(description="how the brokers are spoken to; SASL is by user and password (PLAIN)"),
    ] = "SASL_SSL"
    user: Annotated[str, Meta(description="user to sign in as")] = ""
    password: Annotated[Secret | None, Meta(description="password; env:NAME or file:PATH")] = None
    topic: Annotated[str, Meta(description="topic that is consumed; empty: none")] = ""
    group: Annotated[str, Meta(min_length=1, description="consumer group that we are")] = (
        "stockwright"
    )
    out_topic: Annotated[
        str, Meta(description="topic to send to, with the subject as key; empty: nothing is sent")
    ] = ""


DECLARATION: Declaration[KafkaSettings] = Declaration(
    name="kafka",
    roles=("shop", "marketplace", "erp", "wms", "3pl", "store", "pos", "planning", "crm"),
    summary="A Kafka cluster: JSON messages in, levels, documents and subscriptions out.",
    settings=KafkaSettings,
    limits=LIMITS,
    capabilities=CAPABILITIES,
    partner_docs="https://kafka.apache.org/documentation/",
)


def open_connection(opening: Opening, settings: KafkaSettings) -> QueueConnection:
    """A connection to the cluster; nothing is sent yet."""
    access = KafkaAccess(
        bootstrap_servers=settings.bootstrap_servers,
        security=settings.security,
        user=settings.user,
        password=settings.password,
        topic=settings.topic,
        group=settings.group,
        out_topic=settings.out_topic,
        timeout_s=settings.timeout_s,
    )
    return connection_of(opening, settings, KafkaQueue(access), consumes=bool(settings.topic))
