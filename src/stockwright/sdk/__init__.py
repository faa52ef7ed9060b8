"""The kit a connector is written with. A connector imports this and `domain`, nothing else.

messages      what crosses between the hub and a connector
verbs         what a connection can do, as Protocols
declaration   a connector declared once: settings, limits, capabilities
mapping       a partner's form into facts, as data
local_time    a partner's wall clock into instants
transports    the network behind one seam
auth          credentials: tokens, passwords, tokens that are exchanged
calling       a partner's HTTP API: addresses, refusals, what an answer to a write means
graphql       documents and variables over the same, errors by code, budgets by cost
webhooks      Standard Webhooks
signatures    an HMAC over the raw body
pacing        calls per second, as arithmetic
secrets       values that are never shown, from env:NAME or file:PATH
connector     what a connector's package gives to the hub
sources       where a field comes from: the words of the mapping
reference     a connector's page, from its declaration
contract      the tests every connector passes
hostile       a partner that misbehaves, over real HTTP
pytest_plugin marks and fixtures for the tests of other packages

What it promises to other packages: docs/reference/sdk.md.
"""

__all__ = [
    "auth",
    "calling",
    "connector",
    "contract",
    "declaration",
    "graphql",
    "hostile",
    "local_time",
    "mapping",
    "messages",
    "pacing",
    "pytest_plugin",
    "reference",
    "secrets",
    "signatures",
    "sources",
    "transports",
    "verbs",
    "webhooks",
]
