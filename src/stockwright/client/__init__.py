"""The typed Python client: every operation of the API as a method, generated from the route table.

    async with Client("http://127.0.0.1:8080", key) as client:
        answer = await client.post_availability(types.AvailabilityAsk(skus=["A-100"]))

`BlockingClient` offers the same without `await`. Calls that were not answered, or answered 429 or
503, are sent again: each is made safe to repeat. What a call may raise is in `errors`.
"""

from stockwright.client import errors, types
from stockwright.client.blocking import BlockingClient
from stockwright.client.client import Client
from stockwright.client.errors import Busy, Misset, Refused, Unavailable
from stockwright.client.transport import Retries

__all__ = [
    "BlockingClient",
    "Busy",
    "Client",
    "Misset",
    "Refused",
    "Retries",
    "Unavailable",
    "errors",
    "types",
]
