"""Sales files of tills, from the folder to the books: overlapping and resent files count once."""

import pytest

from stockwright.connectors.pos_file import CONNECTOR, Sandbox
from stockwright.flow.intake import Intake
from stockwright.flow.polling import Poller
from stockwright.flow.recording import Recorder
from stockwright.sdk.connector import Opening
from stockwright.store.connection import Pool
from tests.flow.partners import rows, set_up

HEADER = ["store", "terminal", "receipt", "line", "sku", "quantity", "time"]


def rung(receipt, sku, quantity):
    return ["MAIN", "1", receipt, "1", sku, quantity, f"2026-03-01T10:0{receipt}:00Z"]


@pytest.fixture
def database(database_url):
    with set_up(database_url) as connection:
        yield connection


async def test_receipts_in_several_files_move_the_goods_once(database, database_url, tmp_path):
    sold = [rung("1", "shop-a", "2"), rung("2", "shop-a", "1"), rung("3", "shop-b", "4")]
    back = rung("4", "shop-a", "-1")
    files = {
        "morning.csv": [HEADER, *sold[:2], ["#total", "2", "3"]],
        "day.csv": [HEADER, *sold, back, ["#total", "4", "6"]],
        "day-again.csv": [HEADER, *reversed([*sold, back]), ["#total", "4", "6"]],
        # A day with a line more than its totals: nothing of it counts.
        "wrong.csv": [HEADER, *sold, rung("5", "shop-a", "9"), ["#total", "3", "7"]],
    }
    async with Sandbox(tmp_path) as till:
        await till.start()
        given = {**till.settings(), "stable_s": 0, "totals": {"at": "trailer"}}
        settings = CONNECTOR.declaration.parse_settings(given, str)
        connection = CONNECTOR.open(Opening(system="shop"), settings)
        with Pool(database_url, size=4) as pool, Recorder(database_url) as recorder:
            poller = Poller(pool, worker="p1")
            intake = Intake(pool, recorder, {"shop": connection}, worker="w1")
            for name, content in files.items():
                till.drop(name, content)
                assert (await poller.poll("shop", connection, now=True)).payloads == 1
                intake.step()
        assert sorted(path.name for path in (till.inbox / "quarantine").iterdir()) == [
            "wrong.csv",
            "wrong.csv.reason.txt",
        ]
    moved = rows(
        database,
        "select kind, body->>'document', (body->>'quantity')::int from event order by 2",
    )
    assert moved == [
        ("pos_sale", "MAIN/1/2026-03-01/1", 2),
        ("pos_sale", "MAIN/1/2026-03-01/2", 1),
        ("pos_sale", "MAIN/1/2026-03-01/3", 4),
        ("return_receipt", "MAIN/1/2026-03-01/4", 1),
    ]
    (parked,) = rows(database, "select path, reason from payload where state = 'parked'")
    assert parked == ("line 6", "says 3 rows, the file has 4")
