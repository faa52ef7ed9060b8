"""`stockwright map test`: a sample beside what it becomes, with the failing path."""

import json

import msgspec
import pytest

CONFIG = """\
[systems.SHOP]
role = "shop"
connector = "json_http"
time_zone = "Europe/Berlin"
[systems.SHOP.settings]
base_url = "https://shop.example"
token = "env:STOCKWRIGHT_NOT_SET_HERE"

[systems.API]
role = "wms"
"""
RULES = """
[[systems.SHOP.settings.rules]]
kind = "pos_sale"
each = "$.rows"
[systems.SHOP.settings.rules.fields]
document = "$.slip"
line = "#"
item = "@.ean"
quantity = "@.qty"
location = "=MAIN"
"""
LINE = {"line": "1", "sku": "A", "quantity": 2}
ORDER = {"type": "order.placed", "data": {"order": "SO-1", "lines": [LINE]}}


@pytest.fixture
def tried(stockwright, tmp_path):
    """Runs the command on a sample, by default without a database."""

    def run(sample, *more, config=CONFIG, connection="SHOP"):
        (tmp_path / "stockwright.toml").write_text(config, encoding="utf-8")
        body = sample if isinstance(sample, str) else json.dumps(sample)
        (tmp_path / "sample").write_text(body, encoding="utf-8")
        return stockwright("map", "test", connection, "sample", *(more or ("--no-bindings",)))

    return run


def test_each_part_stands_beside_the_event_it_becomes(tried):
    ran = tried(ORDER, "--no-bindings", "--json")
    assert ran.code == 0
    assert ran.json["bindings"] is False
    (part,) = ran.json["parts"]
    assert (part["place"], part["sample"]) == ("$.data.lines[0]", LINE)
    assert part["event"]["kind"] == "channel_order"
    assert part["event"]["system"] == "SHOP"
    assert part["event"]["quantity"] == 2
    shown = tried(ORDER)
    assert "sku = A" in shown.out
    assert "kind = channel_order" in shown.out
    assert "1 of 1 mapped by json_http, without bindings." in shown.out


def test_a_file_is_mapped_by_its_name_or_by_the_one_that_is_given(stockwright, tmp_path):
    config = '[systems.WMS]\nrole = "wms"\nconnector = "csv_drop"\nsettings = { inbox = "in" }\n'
    (tmp_path / "stockwright.toml").write_text(config, encoding="utf-8")
    rows = "receipt,sku,quantity,location\nGR-1,MUG,10,MAIN\n"
    (tmp_path / "receipts-1.csv").write_text(rows, encoding="utf-8")
    (tmp_path / "sample").write_text(rows, encoding="utf-8")
    command = ("map", "test", "WMS")
    named = stockwright(*command, "receipts-1.csv", "--no-bindings")
    assert "kind = receipt" in named.out
    unnamed = stockwright(*command, "sample", "--no-bindings")
    assert (unnamed.code, "no kind of file matches" in unnamed.out) == (1, True)
    given = stockwright(*command, "sample", "--header", "file: receipts-2.csv", "--no-bindings")
    assert "kind = receipt" in given.out


def test_a_sample_of_many_lines_is_taken_apart_once(tried, monkeypatch):
    """It was decoded anew for each line: a minute for ten thousand, hours for ten times as many."""
    decode, decoded = msgspec.json.decode, []

    def counted(body, **more):
        decoded.append(len(body))
        return decode(body, **more)

    monkeypatch.setattr(msgspec.json, "decode", counted)
    lines = [{**LINE, "line": str(number)} for number in range(200)]
    ran = tried({"type": "order.placed", "data": {"order": "SO-1", "lines": lines}})
    assert "200 of 200 mapped" in ran.out
    assert len([size for size in decoded if size > 200 * 20]) <= 3


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        ("[" * 1_000_000, "is nested too deep"),
        ('{"a":' * 100_000, "is nested too deep"),
        ("{}", "no rule is for this value"),
        ("null", "no rule is for this value"),
        ('{"type": NaN}', "no rule is for this value"),
        ("\x00" * 100, "no JSON"),
        ("", "no JSON"),
        (
            '{"type": "order.placed", "data": {"order": "\\ud83d", "lines":'
            ' [{"line": "1", "sku": "C", "quantity": 1}]}}',
            "$.data.order: has a character that was lost",
        ),
        ('{"type": "order.placed", "data": {"order": ' + "9" * 5_000 + "}}", "out of range"),
        ('{"type": "order.placed", "data": {"order": "S", "lines": []}}', "is an empty list"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_hostile_sample_has_a_reason(tried, sample, told):
    ran = tried(sample)
    assert ran.code == 1
    assert told in " ".join(ran.out.split())


@pytest.mark.parametrize(
    ("quantity", "told"),
    [
        ("-0", "needs a quantity above zero"),
        ("1e400", "out of range"),
        ("1e15", "is beyond"),
        ("9" * 400, "is beyond"),
        ('"1,000"', "not a whole number"),
        ('"1_000"', "not a whole number"),
        ('"0x10"', "not a whole number"),
        ('"NaN"', "not a whole number"),
        ('"5\\u0000"', "not a whole number"),
        ("true", "not a whole number"),
        ("1.5", "not a whole number"),
        ('" "', "is missing"),
        ('"' + "A" * 10_000_000 + '"', "not a whole number"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_hostile_quantity_is_refused_in_few_words(tried, quantity, told):
    line = '{"line": "1", "sku": "A", "quantity": ' + quantity + "}"
    sample = '{"type": "order.placed", "data": {"order": "S", "lines": [' + line + "]}}"
    ran = tried(sample, "--no-bindings", "--json")
    assert ran.code == 1
    (part,) = ran.json["parts"]
    assert told in part["failure"]["reason"]
    assert len(part["failure"]["reason"]) < 300


def test_what_cannot_be_mapped_is_shown_with_its_path_and_its_neighbour_goes_on(tried):
    bad = {**LINE, "quantity": 1.5}
    ran = tried({"type": "order.placed", "data": {"order": "SO-1", "lines": [LINE, bad]}})
    assert ran.code == 1
    assert "$.data.lines[1].quantity: is not a whole number" in ran.out
    assert "1 of 2 mapped" in ran.out


def test_what_came_in_is_written_back_by_its_rules_and_read_again(tried):
    shown = tried(ORDER)
    assert "Written back and read again: the same." in shown.out
    joined = RULES.replace('"$.slip"', '"{$.shop}-{$.slip}"')
    sample = {"shop": "S1", "slip": 7, "rows": [{"ean": "400", "qty": 1}]}
    ran = tried(sample, "--json", config=CONFIG + joined)
    assert ran.code == 0
    assert ran.json["back"].startswith("'{$.shop}-{$.slip}' joins 2 values")
    bad = {"type": "order.placed", "data": {"order": "SO-1", "lines": [{"line": "1"}]}}
    assert tried(bad, "--json").json["back"] is None


FORM = """
[[systems.SHOP.settings.out]]
kind = "level"
each = "$.items"
[systems.SHOP.settings.out.fields]
listing = "SKU-{@.sku}"
quantity = "@.stock"
"""
LEVELS = {"levels": [{"listing": "SKU-7", "quantity": 3}]}


def test_a_message_of_ours_stands_beside_the_partner_s_body_and_is_read_back(tried):
    shown = tried(LEVELS, "--out", config=CONFIG + FORM)
    assert shown.code == 0
    assert "PUT /levels" in shown.out
    assert '"sku": "7"' in shown.out
    assert "Written by json_http; nothing was sent. Read back, it is the same." in shown.out
    ran = tried(LEVELS, "--out", "--json", config=CONFIG + FORM)
    assert ran.json["message"]["levels"][0]["channel"] == "SHOP"
    (body,) = ran.json["bodies"]
    assert (body["body"], body["lost"]) == ({"items": [{"sku": "7", "stock": 3}]}, [])


def test_what_is_not_read_back_the_same_is_named(tried):
    more = '[systems.SHOP.settings.out.body]\n"@.text" = "{@.version} {@.listing}"\n'
    shown = tried(LEVELS, "--out", config=CONFIG + FORM + more)
    assert shown.code == 0
    assert "Read back otherwise: version." in shown.out


def test_what_the_partner_s_form_cannot_say_is_shown_with_its_field(tried):
    ran = tried({"levels": [{"listing": "7", "quantity": 3}]}, "--out", config=CONFIG + FORM)
    assert ran.code == 1
    assert "cannot be written: listing is '7', which is not of the form 'SKU-{@.sku}'" in ran.out


def test_a_kind_that_is_told_to_nobody_and_a_sample_that_is_none_of_ours_are_named(tried):
    document = {"type": "cancellation", "key": "K", "order": "SO-1"}
    ran = tried(document, "--out")
    assert ran.code == 1
    assert "SHOP is told nothing of this kind" in ran.out
    ran = tried(ORDER, "--out")
    assert ran.code == 2
    assert "sample: is no message of ours" in ran.err


def test_a_connector_that_must_ask_its_partner_says_so(tried):
    config = CONFIG.replace('"json_http"', '"shopify"').replace(
        'token = "env', 'location = "1"\naccess_token = "env'
    )
    ran = tried(LEVELS, "--out", config=config)
    assert ran.code == 2
    assert "the connector shopify asks its partner for ids" in ran.err


@pytest.mark.parametrize(("body", "words"), [("{", "no JSON"), ('{"type": "x"}', "no rule is for")])
def test_a_sample_that_is_no_message_fails_as_a_whole(tried, body, words):
    ran = tried(body)
    assert ran.code == 1
    assert words in ran.out


def test_the_connection_s_own_rules_are_used(tried):
    ran = tried({"slip": 7, "rows": [{"ean": "400", "qty": 1}]}, "--json", config=CONFIG + RULES)
    (part,) = ran.json["parts"]
    assert (part["event"]["kind"], part["event"]["document"]) == ("pos_sale", "7")


@pytest.mark.parametrize(
    ("connection", "words"),
    [("SHPO", "did you mean SHOP?"), ("API", "names no connector")],
)
def test_a_connection_that_maps_nothing_is_told(tried, connection, words):
    ran = tried(ORDER, connection=connection)
    assert ran.code == 2
    assert words in ran.err


def test_a_header_that_is_none_and_a_file_that_is_not_there_are_named(tried, stockwright):
    assert "is no header" in tried(ORDER, "--header", "nonsense").err
    ran = stockwright("map", "test", "SHOP", "nothing-here")
    assert ran.code == 2
    assert "sample: nothing-here cannot be read" in ran.err


def test_codes_that_are_not_bound_fail_where_the_database_is_asked(on_database, tried, tmp_path):
    (tmp_path / "skus.csv").write_text("code,description\nB,Kettle\n", encoding="utf-8")
    assert on_database("import", "skus", "skus.csv").code == 0
    ran = tried(ORDER, "--bindings", "--json")
    assert ran.code == 1
    (part,) = ran.json["parts"]
    assert part["failure"]["missing"].startswith("item:A")
    assert part["sample"] == LINE


def test_without_a_database_bindings_that_were_asked_for_are_an_error(tried, tmp_path):
    config = CONFIG + f'\n[database]\ndata_dir = "{tmp_path / "none"}"\n'
    assert tried(ORDER, "--json", config=config).json["bindings"] is False
    shown = tried(ORDER, "--header", "x: y", config=config).out
    assert "without bindings: the database does not run." in shown
    ran = tried(ORDER, "--bindings", config=config)
    assert ran.code == 3


def test_a_connection_that_the_file_does_not_name_is_found_in_the_database(on_database, tmp_path):
    given = ("--role", "shop", "--set", "base_url=http://127.0.0.1:9", "--channel", "WEB")
    (tmp_path / "stockwright.toml").write_text("[locations.MAIN]\n", encoding="utf-8")
    added = on_database(
        "connection", "add", "NEW", "--connector", "json_http", *given, "--pool", "MAIN"
    )
    assert added.code == 0, added.err
    (tmp_path / "sample").write_text(json.dumps(ORDER), encoding="utf-8")
    ran = on_database("map", "test", "NEW", "sample", "--no-bindings", "--json")
    assert (ran.code, ran.json["connector"]) == (0, "json_http"), ran.err
    unknown = on_database("map", "test", "NEWW", "sample")
    assert (unknown.code, "did you mean NEW?" in unknown.err) == (2, True)
