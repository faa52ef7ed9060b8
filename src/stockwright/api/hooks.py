"""The webhook door: the payload is proven, kept, and only then answered; it is mapped later."""

from collections.abc import Mapping

import msgspec

from stockwright.api.call import Call
from stockwright.api.problems import problem
from stockwright.api.reply import Reply, reply
from stockwright.app import Services
from stockwright.domain.errors import Rejected
from stockwright.sdk.verbs import Receives


class Kept(msgspec.Struct, kw_only=True):
    """The payload is kept for good under this number; null where there was nothing to keep."""

    payload: int | None


def receiver(services: Services, path: Mapping[str, str]) -> Receives:
    """The connection that takes the webhooks of an address. Raises the problem not_found."""
    system = path["connection"]
    connection = services.connections.get(system)
    if connection is None or not isinstance(connection, Receives):
        raise problem("not_found", f"No connection {system} takes webhooks.", param="connection")
    return connection


async def post_hook(call: Call) -> Reply:
    """Takes a webhook that its partner signed; it is kept before it is answered, mapped later."""
    system = call.path["connection"]
    connection = receiver(call.services, call.path)
    headers = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in call.headers.items()
    }
    try:
        payload = connection.receive(headers, call.body)
    except Rejected as refusal:
        if refusal.reason == "signature":
            raise problem("bad_signature", refusal.message, param=refusal.field) from None
        raise
    if payload is None:
        return reply(Kept(payload=None), 202)
    services = call.services
    kept = await services.intake.accept_soon(system, "webhook", payload, services.threads)
    services.received(system, "webhook")
    return reply(Kept(payload=kept), 202)
