"""Real processes that are killed at any moment: nothing acknowledged is lost, nothing is twice."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stockwright.connectors.json_http import Sandbox
from stockwright.domain.items import Component, Listing, Sku
from stockwright.sdk.hostile import Fault
from stockwright.store import master
from stockwright.store.connection import connect
from stockwright.store.embedded import EmbeddedServer
from stockwright.store.migrate import migrate
from tests.proof.serving import SKUS, Book, Up, calling, shop, wait_for_answers, write_config
from tests.proof.stage import PATIENCE_S, assert_audited, rows, wait_until

CYCLES = int(os.environ.get("STOCKWRIGHT_CYCLES", "20"))
"""How often the server is killed; more by environment variable."""
STOPS = [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL]
"""PostgreSQL's words: fast, immediate, and no word at all."""


@pytest.fixture
def partner() -> Iterator[tuple[Sandbox, str]]:
    with shop() as opened:
        yield opened


def furnish(url: str) -> None:
    """What the configuration does not hold: SKUs, and a listing of each."""
    with connect(url) as connection:
        master.save(connection, "skus", [Sku(code=sku) for sku in SKUS])
        listings = [
            Listing(channel="web", code=f"L-{sku}", components=(Component(sku=sku),))
            for sku in SKUS
        ]
        master.save(connection, "listings", listings)


def assert_nothing_lost(url: str, book: Book) -> None:
    """Every answer stands in the ledger under its number, once, and the balances follow."""
    assert book.faults == []
    stored = {
        document: (outcome, sequence)
        for document, outcome, sequence in rows(
            url,
            "select e.body ->> 'document', i.outcome, i.sequence "
            "from identity i join event e using (sequence)",
        )
    }
    assert stored == dict(book.answers)
    balances = {
        sku: (sellable, reserved)
        for sku, sellable, reserved in rows(url, "select sku, sellable, reserved from balance")
    }
    assert balances == {sku: book.expected(sku) for sku in SKUS}
    assert rows(url, "select count(*) from payload where state <> 'recorded'") == [(0,)]
    assert_audited(url)


def assert_published(url: str, book: Book, sandbox: Sandbox) -> None:
    """The shop comes to show what is free, and we know that it does."""
    unsettled = (
        "select channel, listing, state, desired, acknowledged, doubt_until, last_error from level "
        "where state <> 'settled' or acknowledged is distinct from desired"
    )
    free = {f"L-{sku}": book.expected(sku) for sku in SKUS}
    shown = {listing: max(0, sellable - held) for listing, (sellable, held) in free.items()}
    wait_until(
        lambda: (
            not rows(url, unsettled)
            and {listing: sandbox.shown(listing) for listing in shown} == shown
        ),
        f"{rows(url, unsettled)} is not settled, or the shop does not show {shown}",
    )


@pytest.mark.slow
def test_a_server_killed_again_and_again_loses_nothing_and_counts_nothing_twice(
    durable_cluster: EmbeddedServer, partner: tuple[Sandbox, str], tmp_path: Path
) -> None:
    sandbox, address = partner
    url = durable_cluster.url
    up = Up(write_config(tmp_path, address, url=url)).start()
    book = Book()
    chance = random.Random(5)
    try:
        furnish(url)
        with calling(lambda: [up.port] if up.port else [], book):
            for _ in range(CYCLES):
                wait_for_answers(book)
                time.sleep(chance.uniform(0.0, 0.4))
                up.kill()
                up.start()
        assert_published(url, book, sandbox)
    finally:
        up.kill()
    assert_nothing_lost(url, book)
    assert book.repeated > 0, f"of {len(book.answers)} answers none was ever asked for twice"


@pytest.mark.slow
def test_server_and_database_killed_together_come_back_with_all_that_was_acknowledged(
    data_dir: Path, partner: tuple[Sandbox, str], tmp_path: Path
) -> None:
    sandbox, address = partner
    up = Up(write_config(tmp_path, address, data_dir=data_dir)).start()
    book = Book()
    try:
        with EmbeddedServer.start(data_dir) as server:
            url = server.url
            furnish(url)
        with calling(lambda: [up.port] if up.port else [], book):
            for _ in range(max(2, CYCLES // 10)):
                wait_for_answers(book)
                kill_database(server)
                up.kill()
                up.start()
        assert_published(url, book, sandbox)
        assert_nothing_lost(url, book)
    finally:
        up.kill()


def kill_database(server: EmbeddedServer) -> None:
    """kill -9 of PostgreSQL and of the keeper that would start it again."""
    pid = server.pid
    if pid is not None:
        postmaster = psutil.Process(pid)
        keeper = postmaster.parent()
        if keeper is not None:
            keeper.kill()
        postmaster.kill()


@pytest.mark.slow
def test_a_database_stopped_under_load_costs_its_callers_a_second_try_and_no_more(
    durable_cluster: EmbeddedServer, partner: tuple[Sandbox, str], tmp_path: Path
) -> None:
    sandbox, address = partner
    url = durable_cluster.url
    up = Up(write_config(tmp_path, address, url=url)).start()
    book = Book()
    chance = random.Random(8)
    try:
        furnish(url)
        with calling(lambda: [up.port] if up.port else [], book):
            for stop in STOPS * max(1, CYCLES // 20):
                wait_for_answers(book)
                time.sleep(chance.uniform(0.0, 0.3))
                stop_database(durable_cluster, stop)
                wait_for_answers(book)
        assert_published(url, book, sandbox)
    finally:
        up.kill()
    assert_nothing_lost(url, book)


def stop_database(server: EmbeddedServer, word: signal.Signals) -> None:
    """Tells PostgreSQL to stop, and waits until it has."""
    pid = server.pid
    assert pid is not None
    postmaster = psutil.Process(pid)
    postmaster.send_signal(word)
    psutil.wait_procs([postmaster], timeout=PATIENCE_S)


@pytest.mark.slow
def test_of_two_servers_on_one_database_the_other_goes_on_and_takes_over_what_was_being_sent(
    durable_cluster: EmbeddedServer, partner: tuple[Sandbox, str], tmp_path: Path
) -> None:
    sandbox, address = partner
    url = durable_cluster.url
    migrate(url)
    first = Up(write_config(tmp_path / "first", address, url=url)).start()
    second = Up(write_config(tmp_path / "second", address, url=url))
    book = Book()

    def doors() -> list[int]:
        return [up.port for up in (first, second) if up.port]

    try:
        # The first call to the shop is under way, and held by the first server, when it freezes.
        sandbox.faults.plan(Fault(kind="slow", seconds=30.0))
        furnish(url)
        sending = "select count(*) from level where state = 'sending'"
        wait_until(lambda: rows(url, sending) != [(0,)], "nothing is ever sent")
        first.tell(signal.SIGSTOP)
        assert rows(url, sending) != [(0,)]
        second.start()
        assert_published(url, book, sandbox)
        first.tell(signal.SIGCONT)
        with calling(doors, book):
            wait_for_answers(book, 100)
            first.kill()
            wait_for_answers(book, 100)
        assert_published(url, book, sandbox)
    finally:
        first.kill()
        second.kill()
    assert_nothing_lost(url, book)
