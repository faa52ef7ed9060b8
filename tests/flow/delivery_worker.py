"""A worker of its own process that delivers one step and tells how many changes were taken."""

import asyncio
import sys

from stockwright.domain.proxies import networks
from stockwright.flow.deliveries import Deliveries
from stockwright.sdk.guarded import GuardedHttp
from stockwright.store.connection import Pool


async def main(url: str, lease_s: float) -> None:
    with Pool(url, size=3) as pool:
        deliveries = Deliveries(
            pool,
            {},
            GuardedHttp(networks(["127.0.0.0/8"])),
            worker="mortal",
            source="urn:test",
            lease_s=lease_s,
            timeout_s=lease_s / 2,
        )
        print(await deliveries.step(), flush=True)
        await deliveries.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
