"""What is promised of webhooks: taken as they were signed, and not otherwise.

A sandbox is asked for a little more:

deliver  it sends webhooks to its `webhook_url`: what `receive` is tried with
SIGNS    False where whoever brings a webhook knows a key, and the body is not signed
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from stockwright.domain.errors import Rejected
from stockwright.sdk.hostile import HostilePartner
from stockwright.sdk.promises.declarations import HOSTILE_BYTES
from stockwright.sdk.promises.trial import Test, Trial
from stockwright.sdk.secrets import Secret
from stockwright.sdk.webhooks import new_secret


def received(trial: Trial) -> dict[str, Test]:
    """For connections with `receive`."""

    async def test_a_webhook_is_taken_as_it_was_signed_and_not_otherwise(self: object) -> None:
        async with trial.meet() as meeting:
            receive, partner = meeting.connection.receive, meeting.partner
            for headers, body in await _webhooks(meeting):
                for given in (headers, {name.swapcase(): one for name, one in headers.items()}):
                    payload = receive(given, body)
                    assert payload is None or payload.body == body, "byte for byte"
                proof = _proof_in(receive, headers, body)
                assert proof, "a webhook without its proof is refused"
                for name in proof:
                    for value in ("", "x", headers[name][::-1]):
                        assert _is_refused(receive, {**headers, name: value}, body)
                if getattr(partner, "SIGNS", True):
                    assert _is_refused(receive, headers, body + b" ")
                    assert _is_refused(receive, headers, body[:-1])

    async def test_each_of_several_secrets_is_believed_and_no_other(self: object) -> None:
        async with trial.meet() as meeting:
            told = await _webhooks(meeting)
            known = meeting.partner.settings()
            for name in _lists_of_secrets(known):
                both = {**trial.settings, **known, name: [new_secret(), *known[name]]}
                other = {**trial.settings, **known, name: [new_secret()]}
                for headers, body in told:
                    payload = trial.connect(both).receive(headers, body)  # type: ignore[attr-defined]
                    assert payload is None or payload.body == body
                    assert _is_refused(trial.connect(other).receive, headers, body)  # type: ignore[attr-defined]

    async def test_what_strangers_send_is_refused_whatever_it_is(self: object) -> None:
        async with trial.meet() as meeting:
            ((headers, _body), *_) = await _webhooks(meeting)
            odd = ("", "x", "=" * 10_000, "\x00", "\udcff", "ÿ", "9" * 400)
            for body in HOSTILE_BYTES:
                for value in odd:
                    given = dict.fromkeys(headers, value)
                    assert _is_refused(meeting.connection.receive, given, body)
            many = [new_secret().reveal()] * 100
            given = dict.fromkeys(headers, " ".join(many))
            assert _is_refused(meeting.connection.receive, given, b"{}")

    async def test_a_webhook_and_a_poll_tell_the_same(self: object) -> None:
        async with trial.meet() as meeting:
            connection = meeting.connection
            heard = [
                part.item
                for headers, body in await _webhooks(meeting)
                if (payload := connection.receive(headers, body)) is not None and not payload.hint
                for part in connection.map(payload)
            ]
            page = await connection.read("")
            polled = [part.item for one in page.payloads for part in connection.map(one)]
            assert all(item in polled for item in heard)

    return {name: test for name, test in locals().items() if name.startswith("test_")}


async def _webhooks(meeting: Any) -> list[tuple[dict[str, str], bytes]]:
    """What the partner sends by itself when something happens there."""
    told: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        told.append((dict(request.headers), await request.read()))
        return web.Response(status=202)

    async with HostilePartner([web.post("/", take)]) as hub:
        meeting.partner.webhook_url = f"{hub.url}/"
        await meeting.happen()
        meeting.partner.webhook_url = ""
    assert told, "the sandbox sends a webhook when something happens"
    return told


def _proof_in(
    receive: Callable[..., Any], headers: Mapping[str, str], body: bytes
) -> Sequence[str]:
    """The headers without which a webhook is not believed."""
    return [
        name
        for name in headers
        if _is_refused(receive, {other: headers[other] for other in headers if other != name}, body)
    ]


def _is_refused(receive: Callable[..., Any], headers: Mapping[str, str], body: bytes) -> bool:
    try:
        receive(headers, body)
    except Rejected as refusal:
        return (refusal.reason, refusal.field) in (("signature", "headers"), ("too_large", "body"))
    return False


def _lists_of_secrets(settings: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name, value in settings.items()
        if isinstance(value, list) and value and isinstance(value[0], Secret)
    ]
