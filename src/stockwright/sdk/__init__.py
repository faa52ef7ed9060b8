"""The kit a connector is written with. A connector imports this and `domain`, nothing else.

messages         what crosses between the hub and a connector
verbs            what a connection can do, as Protocols
declaration      a connector declared once: settings, limits, capabilities
mapping          a partner's form into facts, as data
outbound         levels and documents into a partner's form, in the same words
bodies           what such a form writes, and what is read from it again
inverting        a source read the other way
local_time       a partner's wall clock into instants
transports       the network behind one seam
files            files exchanged through folders, here or by SFTP
auth             credentials: tokens, passwords, tokens that are exchanged
calling          a partner's HTTP API: addresses, refusals, what an answer to a write means
graphql          documents and variables over the same, errors by code, budgets by cost
webhooks         Standard Webhooks
signatures       an HMAC over the raw body
pacing           calls per second, as arithmetic
quotas           how many calls a partner says are left, kept to
passes           polls of what changed, where it is listed by the time of its change
secrets          values that are never shown, from env:NAME or file:PATH
connector        what a connector's package gives to the hub
sources          where a field comes from: the words of the mapping
guarded          calls to addresses that strangers gave us
jobs             jobs that a partner works off later, and when to look at one
json_messages    JSON messages into facts, by rules that hold unless others are given
json_text        JSON as partners write it: wrong characters in a text are replaced
queues           message brokers behind one seam: take, settle, rest, put, close
queue_connection a connection to a broker, whichever
queue_kafka      Kafka behind that seam
queue_nats       NATS JetStream behind that seam
queue_rabbitmq   RabbitMQ behind that seam
reference        a connector's page, from its declaration
contract         the tests every connector passes
hostile          a partner that misbehaves, over real HTTP
pytest_plugin    marks and fixtures for the tests of other packages

What it promises to other packages: docs/reference/sdk.md.
"""

__all__ = [
    "auth",
    "bodies",
    "calling",
    "connector",
    "contract",
    "declaration",
    "graphql",
    "guarded",
    "hostile",
    "inverting",
    "jobs",
    "json_messages",
    "json_text",
    "local_time",
    "mapping",
    "messages",
    "outbound",
    "pacing",
    "passes",
    "pytest_plugin",
    "queue_connection",
    "queue_kafka",
    "queue_nats",
    "queue_rabbitmq",
    "queues",
    "quotas",
    "reference",
    "secrets",
    "signatures",
    "sources",
    "transports",
    "verbs",
    "webhooks",
]
