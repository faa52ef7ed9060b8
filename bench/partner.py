"""A partner's sandbox in a process of its own, so that it shares no interpreter with the publisher.

    python -m bench.partner shopify 100000 1

It says its settings as one line of JSON, keeps its own limits from the first line it reads on, and
ends with its input. The last argument makes its limits that many times as large.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from stockwright.connectors import amazon, bigcommerce, magento, shopify, woocommerce
from stockwright.connectors.amazon.plans import PLANS, Plan
from stockwright.sdk.secrets import Secret
from stockwright.store.baseline import code_of

FEED_TAKES_S = 120.0
"""Amazon says nothing of how long it reads a feed: so long it takes here."""
UNLIMITED = 1e9


def _shopify(skus: Sequence[str], faster: float) -> tuple[Any, Callable[[], None]]:
    sandbox = shopify.Sandbox(skus, points=UNLIMITED, restores_per_s=UNLIMITED)
    return sandbox, lambda: sandbox.limit(2_000.0, 100.0 * faster)


def _amazon(skus: Sequence[str], faster: float) -> tuple[Any, Callable[[], None]]:
    plans = {name: Plan(plan.rate_per_s * faster, plan.burst) for name, plan in PLANS.items()}
    sandbox = amazon.Sandbox(skus, plans=plans)
    sandbox.desk.takes_s = FEED_TAKES_S / faster
    return sandbox, lambda: None


# The three others publish how much one call holds, and keep to that always.
MAKERS: dict[str, Callable[[Sequence[str], float], tuple[Any, Callable[[], None]]]] = {
    "shopify": _shopify,
    "amazon": _amazon,
    "woocommerce": lambda skus, _: (woocommerce.Sandbox(skus), lambda: None),
    "bigcommerce": lambda skus, _: (bigcommerce.Sandbox(skus), lambda: None),
    "magento": lambda skus, _: (magento.Sandbox(skus), lambda: None),
}


def _said(settings: dict[str, Any]) -> str:
    """Settings with references in the place of secrets, and the secrets by reference."""
    secrets: dict[str, str] = {}

    def refer(value: Any) -> Any:
        if isinstance(value, list):
            return [refer(one) for one in value]
        if not isinstance(value, Secret):
            return value
        reference = f"env:SECRET_{len(secrets)}"
        secrets[reference] = value.reveal()
        return reference

    told = {name: refer(value) for name, value in settings.items()}
    return json.dumps({"settings": told, "secrets": secrets})


async def main(name: str, items: int, faster: float) -> None:
    sandbox, keep_limits = MAKERS[name]([code_of(n) for n in range(items)], faster)
    await sandbox.start()
    print(_said(sandbox.settings()), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        keep_limits()
        print(line.strip(), flush=True)
    await sandbox.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
