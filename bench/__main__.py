"""`make bench [NAME=ledger_spread]`: JSON on standard output, progress on standard error."""

import json
import sys
from collections.abc import Callable, Iterator

import msgspec

from bench import (
    availability,
    backtest,
    ground,
    latency,
    ledger,
    memory,
    over_http,
    publication,
    webhooks,
)
from bench.measure import Measure, keep, tell

BENCHES: dict[str, Callable[[str], Iterator[Measure]]] = {
    "ledger_spread": ledger.spread,
    "ledger_hot": ledger.hot,
    "http_spread": over_http.spread,
    "http_hot": over_http.hot,
    "http_bulk_events": over_http.bulk_events,
    "http_webhooks": webhooks.measure,
    "availability_single": availability.single,
    "availability_bulk": availability.bulk,
    "latency": latency.measure,
    "memory": memory.measure,
    "ledger_grown": ledger.grown,
    "backtest": backtest.measure,
    **{f"publication_{name}": publication.bench(name) for name in publication.PLANS},
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        tell(f"No bench {', '.join(unknown)}; there are {', '.join(BENCHES)}.")
        return 2
    taken: list[Measure] = []
    for name in names or BENCHES:
        tell(f"{name}: {(BENCHES[name].__doc__ or '').strip()}")
        with ground.server() as server:
            for one in BENCHES[name](server):
                taken.append(one)
                keep(taken)
                tell(f"{name}: {json.dumps(msgspec.to_builtins(one))}")
    print(json.dumps(msgspec.to_builtins(taken), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
