"""What reading would take can be looked at before, and lies there afterwards as it was."""

import os
import time

import pytest

from stockwright.connectors.csv_drop import CONNECTOR, Sandbox
from stockwright.domain.errors import Misconfigured
from stockwright.sdk.connector import Opening
from stockwright.sdk.verbs import Peeks

ROWS = [["order", "line", "sku", "quantity"], ["O-1", "1", "MUG", "2"]]


def connection(**settings):
    parsed = CONNECTOR.declaration.parse_settings(settings, lambda reference: reference)
    return CONNECTOR.open(Opening(system="SHOP"), parsed)


async def test_a_look_takes_no_file_and_the_read_after_it_takes_all(tmp_path):
    async with Sandbox(tmp_path) as partner:
        await partner.start()
        partner.drop("orders-1.csv", ROWS)
        open_ = connection(inbox=str(partner.inbox), complete="marker")
        assert isinstance(open_, Peeks)
        before = sorted(path.name for path in partner.inbox.iterdir())
        for _ in range(2):
            page = await open_.peek()
            assert [payload.headers["file"] for payload in page.payloads] == ["orders-1.csv"]
            assert [part.item.order for part in open_.map(page.payloads[0])] == ["O-1"]
        assert sorted(path.name for path in partner.inbox.iterdir()) == before
        assert len((await open_.read("")).payloads) == 1


async def test_a_file_that_still_grows_is_not_looked_at(tmp_path):
    (tmp_path / "orders-2.csv").write_text("order,line,sku,quantity\n")
    open_ = connection(inbox=str(tmp_path), stable_s=60)
    assert (await open_.peek()).payloads == ()
    old = time.time() - 61
    os.utime(tmp_path / "orders-2.csv", (old, old))
    assert len((await open_.peek()).payloads) == 1


async def test_a_folder_that_is_not_there_is_an_operators_matter(tmp_path):
    with pytest.raises(Misconfigured) as wrong:
        await connection(inbox=str(tmp_path / "gone")).peek()
    assert wrong.value.setting == "inbox"
