"""The network behind one seam: what was surely not sent, what is in doubt, what is answered."""

import asyncio
import datetime as dt
import gzip
import socket
import tracemalloc

import pytest
from aiohttp import web

from stockwright.domain.errors import Misconfigured
from stockwright.sdk.auth import Exchanged, Grant
from stockwright.sdk.transports import (
    Http,
    HttpRequest,
    HttpResponse,
    InMemory,
    Meter,
    NotSent,
    TooLarge,
    Unanswered,
    metered,
    retry_after_s,
)

NOW = dt.datetime(2026, 3, 1, 12, 0, 0, tzinfo=dt.UTC)


@pytest.fixture
async def http():
    http = Http()
    yield http
    await http.close()


@pytest.fixture
async def server():
    """Serves one handler on loopback; answers its address."""
    runners = []

    async def serve(handler):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield serve
    for runner in runners:
        await runner.cleanup()


async def test_an_answer_comes_back_with_status_headers_and_body(http, server):
    async def handler(request):
        return web.Response(
            status=207, body=await request.read(), headers={"X-Was": request.headers["x-is"]}
        )

    url = await server(handler)
    answer = await http.send(
        HttpRequest(method="PUT", url=f"{url}/a", headers={"x-is": "1"}, body=b"abc")
    )
    assert (answer.status, answer.headers["x-was"], answer.body) == (207, "1", b"abc")


async def test_a_port_nobody_listens_on_is_surely_not_sent(http):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(NotSent):
            await http.send(HttpRequest(method="POST", url=f"http://127.0.0.1:{port}/"))


async def test_a_partner_that_does_not_answer_in_time_leaves_a_doubt(http, server):
    async def handler(request):
        await asyncio.sleep(60)

    url = await server(handler)
    with pytest.raises(Unanswered, match="did not answer within"):
        await http.send(HttpRequest(method="POST", url=url, timeout_s=2.0))


async def test_a_partner_that_hangs_up_leaves_a_doubt(http, server):
    async def handler(request):
        request.transport.abort()
        return web.Response()

    url = await server(handler)
    with pytest.raises(Unanswered):
        await http.send(HttpRequest(method="POST", url=url))


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_beyond_the_cap_is_not_read_to_its_end(http, server, packed):
    body = b" " * 3_000_000

    async def handler(request):
        if packed:
            return web.Response(body=gzip.compress(body), headers={"content-encoding": "gzip"})
        return web.Response(body=body)

    url = await server(handler)
    with pytest.raises(TooLarge, match="more than 100000 bytes"):
        await http.send(HttpRequest(method="GET", url=url, max_response_bytes=100_000))


async def test_reading_follows_a_redirect_on_the_same_host_only(http, server):
    async def target(request):
        return web.Response(text="elsewhere")

    other = await server(target)

    async def handler(request):
        places = {"/near": "/here", "/far": f"{other}/here", "/round": "/round"}
        if request.path in places:
            return web.Response(status=302, headers={"location": places[request.path]})
        return web.Response(text="here")

    url = await server(handler)

    async def status(method, path):
        return (await http.send(HttpRequest(method=method, url=url + path))).status

    assert [
        await status("GET", "/near"),
        await status("GET", "/far"),
        await status("GET", "/round"),
        await status("PUT", "/near"),
    ] == [200, 302, 302, 302]


async def test_each_hop_of_a_redirect_is_a_call_and_its_turn_is_not_the_partner_s_time(
    http, server, monkeypatch
):
    loop, waited = asyncio.get_running_loop(), [0.0]
    plain = loop.time
    monkeypatch.setattr(loop, "time", lambda: plain() + sum(waited))

    async def handler(_request):
        return web.Response(status=302, headers={"location": "/round"})

    async def turn():
        waited.append(3_600.0)

    url = await server(handler)
    with metered(Meter(turn)) as meter:
        told = await http.send(HttpRequest(method="GET", url=url + "/round", timeout_s=30.0))
    assert (told.status, meter.calls) == (302, 3)


async def test_nobody_waits_for_a_token_whose_call_waits_for_its_turn():
    """A poll fetched the token, and waited for its turn with everybody's lock in its hand."""

    async def answer(_request):
        return HttpResponse(status=200, body=b'{"access_token": "t"}')

    async def never():
        await asyncio.Event().wait()

    issuer = InMemory(answer)
    grant = Grant(url="https://shop.example/token", fields={"client_id": "a"})
    token = Exchanged(grant, issuer, lambda: dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
    async with asyncio.timeout(30):
        with metered(Meter(never)) as meter:
            meter.calls = 1
            assert await token.headers() == {"authorization": "Bearer t"}
    assert (meter.calls, len(issuer.requests)) == (1, 1)


async def test_calls_are_counted_in_the_tasks_of_a_verb_and_in_no_other():
    async def answer(_request):
        return HttpResponse(status=200)

    partner, call = InMemory(answer), HttpRequest(method="GET", url="http://shop.example/")

    async def verb(meter, times):
        with metered(meter):
            await asyncio.gather(*(partner.send(call) for _ in range(times)))
        await partner.send(call)

    meters = [Meter(), Meter()]
    await asyncio.gather(verb(meters[0], 3), verb(meters[1], 5), partner.send(call))
    assert [meter.calls for meter in meters] == [3, 5]


@pytest.mark.parametrize(
    "url", ["ftp://x/", "file:///etc/passwd", "shop.example/levels", "http://"]
)
async def test_what_is_no_address_is_a_setting_to_mend(http, url):
    with pytest.raises(Misconfigured):
        await http.send(HttpRequest(method="GET", url=url))


async def test_errors_do_not_show_what_may_be_secret_in_an_address(http):
    with pytest.raises(NotSent) as error:
        await http.send(HttpRequest(method="GET", url="http://me:hush@127.0.0.1:1/x?token=hush"))
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("-3", 0),
        ("1e9", 3600),
        ("nan", 5),
        ("inf", 3600),
        ("", 5),
        ("soon", 5),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(header, seconds):
    assert retry_after_s({"retry-after": header}, NOW, default=5) == seconds


async def test_the_transport_in_memory_keeps_what_was_sent_and_keeps_the_time_out():
    async def answer(request):
        if request.url.endswith("slow"):
            await asyncio.sleep(60)
        return HttpResponse(status=200)

    memory = InMemory(answer)
    assert (await memory.send(HttpRequest(method="GET", url="http://x/"))).status == 200
    with pytest.raises(Unanswered):
        await memory.send(HttpRequest(method="GET", url="http://x/slow", timeout_s=0.01))
    assert [request.url for request in memory.requests] == ["http://x/", "http://x/slow"]


@pytest.mark.parametrize("status", [200, 301, 500])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_location_that_is_no_address_is_an_answer_like_any_other(
    http, server, method, status
):
    async def handler(request):
        return web.Response(status=status, headers={"location": "http://["})

    url = await server(handler)
    assert (await http.send(HttpRequest(method=method, url=url))).status == status


async def test_cookies_are_neither_kept_nor_sent_back(http, server):
    sent = []

    async def handler(request):
        sent.append(request.headers.get("cookie"))
        response = web.Response()
        response.set_cookie(f"n{len(sent)}", "x" * 1000)
        return response

    url = (await server(handler)).replace("127.0.0.1", "localhost")
    for _ in range(3):
        await http.send(HttpRequest(method="GET", url=url))
    assert sent == [None, None, None]


async def test_a_bomb_of_compressed_nothing_is_cut_off_early(http, server):
    """Thirty kilobytes that would be thirty megabytes, packed twice as some servers may."""

    async def handler(request):
        body = gzip.compress(b"\0" * 33_000_000)
        return web.Response(body=body, headers={"content-encoding": "gzip"})

    url = await server(handler)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        await http.send(HttpRequest(method="GET", url=url, max_response_bytes=1_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60_000_000, "33 MB of it are the test's own"


async def test_a_body_that_trickles_for_ever_ends_with_the_time_of_the_call(http, server):
    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1_000):
            await response.write(b".")
            await asyncio.sleep(0.02)
        return response

    url = await server(handler)
    with pytest.raises(Unanswered, match="did not answer within"):
        await http.send(HttpRequest(method="GET", url=url, timeout_s=2.0))


@pytest.mark.parametrize(
    "header",
    [
        "Thu, 01 Jan 99999999999 00:00:00 GMT",
        "Thu, 01 Jan 2026 00:00:00 +99999999999999999",
        "\x00",
        "",
    ],
)
def test_a_retry_after_that_is_no_time_at_all_says_nothing(header):
    assert retry_after_s({"retry-after": header}, NOW, 5.0) == 5.0


@pytest.mark.parametrize(
    "url", ["http://host:99999/x", "http://host:abc/x", "http://[", "http://:80"]
)
async def test_an_address_with_no_port_or_host_there_can_be_is_a_setting_to_mend(http, url):
    with pytest.raises(Misconfigured) as told:
        await http.send(HttpRequest(method="GET", url=url))
    assert told.value.setting == "base_url"
