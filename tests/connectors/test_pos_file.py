"""Sales files of tills: the same receipt is the same sale, in whatever file it comes."""

import pytest

from stockwright.connectors.pos_file import CONNECTOR, Sandbox
from stockwright.sdk.connector import Opening
from stockwright.sdk.messages import LevelToSend, Payload
from stockwright.sdk.verbs import Reads

HEADER = "store,terminal,receipt,line,sku,quantity,time\n"


@pytest.fixture
async def till(tmp_path):
    async with Sandbox(tmp_path) as till:
        await till.start()
        yield till


def connected(till=None, **settings):
    given = {"stable_s": 0, **(till.settings() if till else {}), **settings}
    parsed = CONNECTOR.declaration.parse_settings(given, str)
    return CONNECTOR.open(Opening(system="tills", time_zone="Europe/Berlin"), parsed)


def mapped(body, **settings):
    payload = Payload(body=body.encode(), headers={"file": "sales.csv"})
    return [part.item for part in connected(**settings).map(payload)]


def identities(items):
    return [(one.document, one.line, one.kind, one.revision) for one in items]


async def test_a_day_of_a_till_becomes_sales_and_returns(till):
    connection = connected(till)
    await connection.publish([LevelToSend(channel="t", listing="MUG", quantity=9, version=1)])
    till.collect()
    till.ring_up(("MUG", 2), ("CUP", 1))
    till.ring_up(("MUG", -1))
    assert till.shown("MUG") == 8
    till.close_day()
    page = await connection.read("")
    items = [part.item for payload in page.payloads for part in connection.map(payload)]
    assert [(one.kind, one.item, one.quantity) for one in items] == [
        ("pos_sale", "MUG", 2),
        ("pos_sale", "CUP", 1),
        ("return_receipt", "MUG", 1),
    ]
    await connection.acknowledge(page)
    assert [path.name for path in (till.inbox / "done").iterdir()] == ["sales-000001.csv"]


def test_files_that_overlap_tell_the_same_facts_under_the_same_identities():
    rows = [f"12,1,000{n},1,A,{n},2026-03-02T09:1{n}:00\n" for n in range(1, 6)]
    morning, whole_day = mapped(HEADER + "".join(rows[:3])), mapped(HEADER + "".join(rows))
    again = mapped(HEADER + "".join(reversed(rows)))
    assert whole_day[:3] == morning
    assert len(set(identities(whole_day))) == 5
    assert sorted(identities(again)) == sorted(identities(whole_day))


def test_lines_without_a_number_are_counted_within_their_receipt():
    reads = {"store": "store", "receipt": "receipt", "sku": "sku", "quantity": "quantity",
             "time": "time"}  # fmt: skip
    header = "store,receipt,sku,quantity,time\n"
    rows = [
        "12,7,A,1,2026-03-02T09:10:00\n",
        "12,8,A,1,2026-03-02T09:11:00\n",
        "12,7,B,x,2026-03-02T09:10:00\n",
        "12,7,A,1,2026-03-02T09:10:00\n",
    ]
    broken = mapped(header + "".join(rows), reads=reads)
    mended = mapped(header + "".join(rows).replace("B,x", "B,1"), reads=reads)
    assert identities([broken[0], broken[1], broken[3]]) == identities(
        [mended[0], mended[1], mended[3]]
    )
    assert [one.line for one in mended] == ["1", "1", "2", "3"]


@pytest.mark.parametrize(
    ("restart", "second", "same"),
    [
        ("daily", "2026-03-03T09:00:00", False),
        ("yearly", "2026-03-03T09:00:00", True),
        ("yearly", "2027-03-02T09:00:00", False),
        ("never", "2027-03-02T09:00:00", True),
    ],
)
def test_a_receipt_number_is_one_receipt_until_numbers_begin_anew(restart, second, same):
    body = HEADER + f"12,1,7,1,A,1,2026-03-02T09:00:00\n12,1,7,1,A,1,{second}\n"
    first, other = mapped(body, receipts_restart=restart)
    assert (first.document == other.document) == same


def test_sales_after_midnight_belong_to_the_business_day_where_the_till_names_it():
    reads = {**CONNECTOR.declaration.parse_settings({}, str).reads, "business_date": "day"}
    body = HEADER.strip() + ",day\n12,1,7,1,A,1,2026-03-03T00:30:00,2026-03-02\n"
    (sale,) = mapped(body, reads=reads)
    assert sale.document == "12/1/2026-03-02/7"


def test_codes_with_the_sign_between_parts_never_make_one_receipt_of_two():
    one, other = mapped(
        HEADER + "a/b,c,7,1,A,1,2026-03-02T09:00:00\na,b/c,7,1,A,1,2026-03-02T09:00:00\n"
    )
    assert one.document != other.document


TYPES = {
    "reads": {**CONNECTOR.declaration.parse_settings({}, str).reads, "type": "type"},
    "types": {"S": "sale", "R": "return", "V": "void", "P": "ignore"},
}


@pytest.mark.parametrize(
    ("kind", "quantity", "facts"),
    [
        ("S", "2", [("pos_sale", 2)]),
        ("S", "-2", [("return_receipt", 2)]),
        ("R", "2", [("return_receipt", 2)]),
        ("R", "2-", [("return_receipt", 2)]),
        ("V", "-2", [("return_receipt", 2), ("inspection_result", 2)]),
        ("P", "x", []),
        ("S", "0", []),
    ],
)
def test_the_type_and_the_sign_say_which_way_goods_went(kind, quantity, facts):
    body = HEADER.strip() + f",type\n12,1,7,1,A,{quantity},2026-03-02T09:00:00,{kind}\n"
    assert [(one.kind, one.quantity) for one in mapped(body, **TYPES)] == facts


def test_a_type_nobody_declared_waits_with_what_is_known():
    body = HEADER.strip() + ",type\n12,1,7,1,A,1,2026-03-02T09:00:00,X\n"
    (failure,) = mapped(body, **TYPES)
    assert failure.path == "line 2, column type"
    assert "P, R, S, V" in failure.reason


def test_goods_that_need_no_look_go_back_to_the_shelf():
    body = HEADER + "12,1,7,1,A,-1,2026-03-02T09:00:00\n"
    back, shelf = mapped(body, returns_to="sellable")
    assert (back.kind, shelf.kind, shelf.to_bucket) == (
        "return_receipt",
        "inspection_result",
        "sellable",
    )


def test_a_code_is_the_sku_or_else_the_ean():
    reads = {**CONNECTOR.declaration.parse_settings({}, str).reads, "ean": "ean"}
    body = HEADER.strip() + ",ean\n12,1,7,1,,1,2026-03-02T09:00:00,4006381333931\n"
    (sale,) = mapped(body, reads=reads)
    assert sale.item == "4006381333931"


async def test_a_file_whose_sum_is_wrong_lies_in_quarantine_and_counts_in_nothing(till):
    connection = connected(till, totals={"at": "trailer"})
    body = HEADER + "12,1,7,1,A,2,2026-03-02T09:00:00\n#total,1,3\n"
    (till.inbox / "sales-1.csv").write_text(body)
    page = await connection.read("")
    assert "the rows make 2" in page.payloads[0].problem.reason
    assert [part.place for part in connection.map(page.payloads[0])] == ["$"]
    await connection.acknowledge(page)
    reason = till.inbox / "quarantine" / "sales-1.csv.reason.txt"
    assert "says 3 as the sum of quantity" in reason.read_text()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"reads": {"store": "s", "receipt": "r", "sku": "i", "time": "t"}}, "the quantity"),
        (
            {"reads": {"store": "s", "receipt": "r", "quantity": "q", "time": "t"}},
            "the sku or the ean",
        ),
        ({"types": {"S": "sale"}}, "types must say"),
        ({"store_zones": {"12": "Europe/Nowhere"}}, "is no IANA zone"),
        ({"form": "fixed", "inbox": "/in"}, "cells must list the columns"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_with_what_to_set(settings, problem):
    (found,) = CONNECTOR.declaration.problems(settings)
    assert problem in found.message


def test_without_an_inbox_nothing_is_read():
    assert not isinstance(connected(), Reads)
