"""`stockwright why` and `stockwright trace`, as a person and as a machine reads them."""

import datetime as dt
import json

import pytest

from stockwright.cli import main
from stockwright.cli.trace import _event
from stockwright.domain.events import Fact, Request, RequestLine
from stockwright.flow.projection import Projection
from stockwright.flow.publication import Publisher
from stockwright.flow.recording import Recorder
from stockwright.flow.tracing import EventTrace
from stockwright.store.connection import Pool
from tests.flow.channels import Shop, World, link


@pytest.fixture
async def shown(database_url, monkeypatch, tmp_path):
    """A receipt and a reservation, projected; the receipt's number is on the channel."""
    monkeypatch.setenv("STOCKWRIGHT_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    world = World(database_url)
    world.policy("WEB", safety=10)
    world.run(
        "insert into binding (system, subject, partner_code, code) "
        "values ('WEB', 'item', 'shop-0', 'SKU-000')"
    )
    receipt = Fact(
        kind="receipt",
        system="WMS",
        document="GR-1",
        sku="SKU-000",
        location="MAIN",
        quantity=100,
    )
    ask = Request(
        kind="reserve",
        system="WEB",
        document="O-1",
        channel="WEB",
        lines=[RequestLine(sku="SKU-000", quantity=8)],
    )
    with Recorder(database_url) as recorder, Pool(database_url, size=2) as pool:
        recorder.submit([receipt]).result(30)
        Projection(pool).step()
        await Publisher(pool, Shop(), link()).step()
        recorder.submit([ask]).result(30)
        Projection(pool).step()
    return world


def test_why_shows_every_number_with_its_steps(shown, capsys):
    assert main(["why", "SKU-000"]) == 0
    text = capsys.readouterr().out
    for line in (
        "on_hand: 100",
        "free: 92",
        "grantable to WEB: 92",
        "available_to_sell on WEB as SKU-000: 82",
        "MAIN: sellable 100 - reserved 8",
        "safety stock 10, at most what is free",
        "should show 82",
        "acknowledged 90",
        "WEB O-1",
    ):
        assert line in text


def test_why_answers_one_json_document(shown, capsys):
    assert main(["why", "SKU-000", "--channel", "WEB", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (channel,) = found["quantities"]["channels"]
    (listing,) = channel["listings"]
    assert [step["amount"] for step in listing["available_to_sell"]["steps"]] == [92, 0, -10]
    assert listing["level"]["acknowledged"] == 90
    assert found["ledger"][-1]["kind"] == "receipt"


def test_why_at_an_earlier_time_tells_the_number_shown_then_and_its_way(shown, capsys):
    ((first, second),) = shown.rows(
        "select min(projected_at)::text, max(projected_at)::text from level_change"
    )
    shown.run("update exposure_policy set safety = 40")
    assert main(["why", "SKU-000", "--channel", "WEB", "--at", first.replace("+00", "Z")]) == 0
    text = capsys.readouterr().out
    for part in (
        "at ledger sequence 1",
        "available_to_sell on WEB as SKU-000: 90",
        "safety stock 10",
        "should show 90",
        "by ledger sequence 1",
        "database user",
        "receipt",
        "call 1 carried 90",
        "acknowledged",
    ):
        assert part in text
    assert main(["why", "SKU-000", "--at", second.replace("+00", "Z"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (listing,) = found["quantities"]["channels"][0]["listings"]
    assert listing["available_to_sell"]["result"] == listing["then"]["value"] == 82
    assert listing["then"]["acknowledged"] == 90
    assert [row["kind"] for row in listing["shown"]["causes"]] == ["reserve"]
    assert [claim["order"] for claim in found["claims"]] == ["O-1"]


def test_why_before_there_was_anything_says_so(shown, capsys):
    assert main(["why", "SKU-000", "--at", "2001-01-01T00:00:00Z"]) == 2
    assert "No SKU SKU-000 at 2001" in capsys.readouterr().err


@pytest.mark.parametrize("time", ["yesterday", "2026-01-31T14:05:00"])
def test_why_asks_for_a_time_with_its_zone(shown, capsys, time):
    assert main(["why", "SKU-000", "--at", time]) == 2
    assert "at: " in capsys.readouterr().err


def test_why_tells_what_may_be_promised_by_a_day(shown, capsys):
    assert (
        main(["why", "SKU-000", "--channel", "WEB", "--by", "2999-12-24", "--quantity", "1"]) == 0
    )
    text = capsys.readouterr().out
    assert "available_to_promise through WEB by 2999-12-24 23:59 UTC" in text
    assert "1 may be promised by" in text
    assert main(["why", "SKU-000", "--by", "2999-12-24", "--json"]) == 0
    (told, *_) = json.loads(capsys.readouterr().out)["promised"]
    assert told["promise"]["by"].startswith("2999-12-24")


def test_why_says_how_a_day_is_written(shown, capsys):
    assert main(["why", "SKU-000", "--by", "Christmas"]) == 2
    assert "2026-12-24" in capsys.readouterr().err


def test_why_understands_a_partners_code(shown, capsys):
    assert main(["why", "shop-0"]) == 0
    assert "SKU-000 at ledger sequence 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "field"),
    [(["NO-SUCH"], "sku"), (["SKU-000", "--channel", "webb"], "channel")],
)
def test_why_names_an_unknown_code(shown, capsys, arguments, field):
    assert main(["why", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {field}: No ")


def test_trace_follows_a_document_to_the_channel(shown, capsys):
    assert main(["trace", "GR-1"]) == 0
    text = capsys.readouterr().out
    for part in ("receipt GR-1 of WMS: recorded", "received", "SKU-000", "acknowledged", "90"):
        assert part in text


def test_trace_gives_nobody_the_order_of_another():
    """A warehouse ships what a shop sold: the order is the shop's, the event the warehouse's."""
    then = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    event = EventTrace(
        sequence=8, kind="shipment", system="WMS", document="SH-1", order="15", outcome="recorded",
        payload=None, occurred_at=then, received_at=then, recorded_at=then, skus=[], channels=[],
    )  # fmt: skip
    first = next(iter(_event(event)))
    assert first.plain == "8  shipment SH-1 of WMS, order 15: recorded"


def test_trace_answers_one_json_document(shown, capsys):
    assert main(["trace", "2", "--sequence", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (event,) = found["events"]
    assert (event["kind"], event["document"]) == ("reserve", "O-1")
    assert [channel["reach"] for channel in event["channels"]] == ["projected"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["GR-9"], 1), (["GR-1", "--system", "ERP"], 1), (["GR-1", "--sequence"], 2)],
)
def test_trace_tells_when_there_is_nothing(shown, capsys, arguments, code):
    assert main(["trace", *arguments]) == code


def test_trace_of_nothing_says_what_it_looked_for(shown, capsys):
    main(["trace", "GR-9"])
    assert "Nothing in the ledger is called GR-9. " in capsys.readouterr().out


def test_why_says_where_a_channel_does_not_list_the_sku(shown, capsys):
    shown.run("delete from level")
    shown.run("delete from listing_component")
    shown.run("delete from listing")
    assert main(["why", "SKU-000"]) == 0
    assert "WEB lists no such SKU, and shows no number of it" in capsys.readouterr().out
