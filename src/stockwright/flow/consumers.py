"""One message to one consumer: by webhook or through a queue, and what its answer means."""

import asyncio
from collections.abc import Sequence
from typing import Final

from stockwright.domain.errors import StockwrightError, Throttled
from stockwright.flow.envelopes import Message, announcements
from stockwright.sdk.connector import utc_now
from stockwright.sdk.secrets import Secret
from stockwright.sdk.transports import HttpRequest, HttpResponse, Transport, retry_after_s
from stockwright.sdk.verbs import Announces
from stockwright.sdk.webhooks import signed_by
from stockwright.store.subscriptions import Turn

MAX_ANSWER_BYTES: Final = 64 * 1024
_GONE: Final = 410
_AGENT: Final = "Stockwright-Subscriptions"


class NotTaken(StockwrightError):
    """The consumer did not say yes: the same message again, after what it asked for in seconds."""

    def __init__(self, message: str, asked_s: float = 0.0) -> None:
        super().__init__(message)
        self.asked_s = asked_s


class Gone(StockwrightError):
    """The consumer says that it takes nothing any more."""


async def post(
    transport: Transport, turn: Turn, message: Message, secrets: Sequence[str], timeout_s: float
) -> None:
    """Sends a message as a signed webhook. Raises Gone at 410, NotTaken unless it is told 2xx."""
    body = message.body
    headers = signed_by([Secret(one) for one in secrets], message.id, body, utc_now())
    request = HttpRequest(
        method="POST",
        url=turn.url,
        headers={**headers, "content-type": message.content_type, "user-agent": _AGENT},
        body=body,
        timeout_s=timeout_s,
        max_response_bytes=MAX_ANSWER_BYTES,
    )
    try:
        response = await transport.send(request)
    except StockwrightError as failure:
        raise NotTaken(str(failure)) from None
    except Exception as failure:  # noqa: BLE001  whatever it answers, the next try comes later
        raise NotTaken(f"its answer made the call fail: {type(failure).__name__}") from None
    _judge(response)


async def announce(queue: Announces, turn: Turn, message: Message, timeout_s: float) -> None:
    """Hands a message to a queue. Raises NotTaken unless the broker has stored all of it."""
    try:
        async with asyncio.timeout(timeout_s):
            await queue.announce(announcements(turn, message))
    except TimeoutError:
        raise NotTaken(f"{turn.system} did not answer within {timeout_s:g} s") from None
    except Throttled as failure:
        raise NotTaken(str(failure), failure.retry_after_s) from None
    except StockwrightError as failure:
        raise NotTaken(str(failure)) from None
    except Exception as failure:  # noqa: BLE001  a connector may be anybody's code
        raise NotTaken(f"the connector failed: {failure!r}") from None


def _judge(response: HttpResponse) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    if status == _GONE:
        raise Gone("it answered 410: it takes nothing any more")
    if 300 <= status < 400:
        raise NotTaken(f"it answered {status}: redirects are not followed, give the new address")
    asked_s = retry_after_s(response.headers, utc_now(), 0.0)
    raise NotTaken(f"it answered {status}", asked_s)
