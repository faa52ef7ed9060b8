"""A name leads only to addresses that may be called, whatever it led to before."""

import socket

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from stockwright.domain.proxies import networks
from stockwright.sdk.guarded import GuardedHttp, GuardedResolver
from stockwright.sdk.transports import HttpRequest, NotSent


class Names(AbstractResolver):
    """Answers what a test says, one answer after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {
                "hostname": host, "host": one, "port": port, "family": socket.AF_INET,
                "proto": 0, "flags": 0,
            }
            for one in self.answers.pop(0)
        ]  # fmt: skip

    async def close(self):
        """Nothing to give back."""


async def test_of_a_names_addresses_only_those_that_may_be_called_are_left():
    resolver = GuardedResolver((), secure=True, names=Names(["10.0.0.1", "93.184.216.34"]))
    assert [one["host"] for one in await resolver.resolve("plan.example", 443)] == ["93.184.216.34"]


async def test_a_name_that_leads_inside_is_not_called_at_all():
    http = GuardedHttp(networks(["10.20.0.0/16"]), names=Names(["127.0.0.1"], ["93.184.216.34"]))
    for url, why in (
        ("https://plan.example/hook", "is in a private network"),
        ("http://plan.example/hook", "would be called without TLS"),
    ):
        with pytest.raises(NotSent, match=why):
            await http.send(HttpRequest(method="POST", url=url))
    await http.close()


async def test_a_name_that_is_rebound_is_judged_with_every_connection():
    """First to an allowed network, then elsewhere on the same machine."""
    calls = []

    async def hook(request):
        calls.append(request.host)
        response = web.Response(status=204)
        response.force_close()
        return response

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    http = GuardedHttp(networks(["127.0.0.1/32"]), names=names)
    request = HttpRequest(method="POST", url=f"http://plan.example:{port}/hook")
    assert (await http.send(request)).status == 204
    http_plain = http._by_tls[False]
    http_plain._session.connector.clear_dns_cache()
    with pytest.raises(NotSent):
        await http.send(request)
    assert len(calls) == 1
    await http.close()
    await runner.cleanup()


@pytest.mark.parametrize(
    "host",
    [
        "１２７.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "[::ffff:127.0.0.1]",
        "[fec0::1]",
        "[::7f00:1]",
    ],
)
async def test_an_address_in_other_letters_is_no_way_in(host):
    http = GuardedHttp(())
    with pytest.raises(NotSent, match="private network|xn--"):
        await http.send(HttpRequest(method="POST", url=f"https://{host}:1/"))
    await http.close()
