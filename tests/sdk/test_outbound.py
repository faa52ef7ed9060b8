"""The words of the mapping outwards: what goes out is read back the same, or told not to be."""

import datetime as dt
import string
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockwright.domain.events import Fact
from stockwright.sdk.bodies import form_out, lost_by, message_from, read_levels, write_facts
from stockwright.sdk.local_time import WallClock, zone_of
from stockwright.sdk.mapping import Rule, map_document
from stockwright.sdk.messages import (
    Cancellation,
    DocumentLine,
    Failure,
    LevelToSend,
    Refund,
    Shipment,
    ShownLevel,
)
from stockwright.sdk.outbound import HEADS, Out, elements_of
from stockwright.sdk.sources import Style, Wrong

JSON = Style()
MOMENT = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
SHIPMENT = Shipment(
    key="K-1",
    order="SO-7",
    shipped_at=MOMENT,
    tracking="00340",
    lines=(
        DocumentLine(line="1", quantity=2, listing="A"),
        DocumentLine(line="2", quantity=1, listing="B"),
    ),
)


def shipment(**parts):
    return Out(kind="shipment", **{"each": "$.rows", "fields": {"order": "$.no"}, **parts})


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ({}, {"rows": [], "no": "SO-7"}),
        (
            {"fields": {"order": "$.o.no", "line": "@.id", "quantity": "@.n[1]"}},
            {
                "o": {"no": "SO-7"},
                "rows": [{"id": "1", "n": [None, 2]}, {"id": "2", "n": [None, 1]}],
            },
        ),
        ({"fields": {"order": "@.no"}}, {"rows": [{"no": "SO-7"}, {"no": "SO-7"}]}),
        ({"fields": {"order": "SO-{$.no}"}}, {"rows": [], "no": "7"}),
        ({"fields": {"order": "$.no", "carrier": "$.by?"}}, {"rows": [], "no": "SO-7"}),
        ({"fields": {"order": "$.no | $.id"}}, {"rows": [], "no": "SO-7"}),
        ({"fields": {"order": "$.no", "line": "#"}}, {"rows": [], "no": "SO-7"}),
        ({"fields": {"order": "=SO-7"}, "when": {"$.is": "s"}}, {"rows": [], "is": "s"}),
        (
            {"each": "$", "fields": {"order": "@.no", "line": "@.id"}},
            [{"no": "SO-7", "id": "1"}, {"no": "SO-7", "id": "2"}],
        ),
        (
            {"body": {"@.pos": "#", "@.text": "{@.quantity} x {@.listing}", "@.u": "=PCE"}},
            {
                "no": "SO-7",
                "rows": [
                    {"pos": 1, "text": "2 x A", "u": "PCE"},
                    {"pos": 2, "text": "1 x B", "u": "PCE"},
                ],
            },
        ),
        ({"body": {"$.by": "$.carrier | =UNKNOWN"}}, {"rows": [], "no": "SO-7", "by": "UNKNOWN"}),
        ({"body": {"$.by": "$.carrier?"}}, {"rows": [], "no": "SO-7"}),
    ],
)
def test_a_form_writes_each_word_where_it_would_be_read(parts, body):
    out = shipment(**parts)
    # Without a word for lines the list stays empty, unless something is put there.
    assert form_out(out, SHIPMENT, JSON) == [body]


@pytest.mark.parametrize(
    ("parts", "path", "reason"),
    [
        ({"fields": {"order": "$.no", "carrier": "$.by"}}, "carrier", "is empty, but '$.by' must"),
        ({"fields": {"order": "X-{$.no}"}}, "order", "is not of the form 'X-{$.no}'"),
        ({"fields": {"order": "SO-7{$.no}"}}, "order", "leaves nothing for"),
        ({"fields": {"order": "=SO-8"}}, "order", "the partner's form always says 'SO-8'"),
        ({"fields": {"order": "$.no", "listing": "#"}}, "listing", "is 'A', but"),
        ({"fields": {"order": "$.no", "line": "$.id"}}, "$.id", "would be '1' and '2'"),
        ({"fields": {"order": "$.x", "key": "$.x"}}, "$.x", "would be 'SO-7' and 'K-1'"),
        (
            {"fields": {"order": "$.no", "carrier": "$.by | $.no?"}},
            "carrier",
            "is empty, but would be read from $.no as 'SO-7'",
        ),
        (
            {"fields": {"order": "$.no", "carrier": "$.by?"}, "body": {"$.by": "$.tracking"}},
            "carrier",
            "is empty, but would be read from $.by as '00340'",
        ),
        ({"body": {"$.by": "$.carrier"}}, "$.carrier", "is missing"),
    ],
)
def test_what_the_form_cannot_say_is_told_with_its_field(parts, path, reason):
    found = form_out(shipment(**parts), SHIPMENT, JSON)
    assert isinstance(found, Failure)
    assert found.path == path
    assert reason in found.reason


def test_a_document_without_lines_says_what_its_head_says():
    all_of_it = Cancellation(key="K", order="SO-7")
    out = Out(
        kind="cancellation",
        each="$.rows",
        fields={"order": "$.no", "line": "@.id", "quantity": "@.n"},
        when={"@.is": "row", "$.is": "cancel"},
        body={"@.pos": "#", "$.ref": "$.key"},
    )
    (body,) = form_out(out, all_of_it, JSON)
    assert body == {"rows": [], "no": "SO-7", "is": "cancel", "ref": "K"}
    assert lost_by(out, all_of_it, [body], JSON) == ()
    headed = Out(kind="cancellation", each="$.rows", fields={"order": "@.no"})
    found = form_out(headed, all_of_it, JSON)
    assert found == Failure(path="order", reason="is said on each line, and there is none")


def test_without_a_list_each_line_is_a_body_of_its_own():
    out = Out(kind="shipment", fields={"order": "@.no", "line": "@.id"}, body={"@.n": "#"})
    bodies = form_out(out, SHIPMENT, JSON)
    assert bodies == [{"no": "SO-7", "id": "1", "n": 1}, {"no": "SO-7", "id": "2", "n": 2}]
    head = Out(kind="shipment", fields={"order": "$.no", "tracking": "$.code"})
    assert form_out(head, SHIPMENT, JSON) == [{"no": "SO-7", "code": "00340"}]


@pytest.mark.parametrize(
    ("given_", "where", "words"),
    [
        ({"fields": {"ordr": "$.a"}}, "fields.ordr", "did you mean order?"),
        ({"fields": {"order": "a"}}, "fields.order", "'a' is not a source"),
        ({"fields": {"order": "{$.a}-{$.b}"}}, "fields.order", "joins 2 values, which cannot be"),
        ({"fields": {"order": "{#}"}}, "fields.order", "not around one path"),
        ({"fields": {"order": "$.a[100]"}}, "fields.order", "beyond the place 99"),
        ({"body": {"$.a": "$.ordr"}}, 'body."$.a"', "'$.ordr' is nothing of a shipment; it has"),
        ({"body": {"$.a": "{@.order}"}}, 'body."$.a"', "'@.order' is nothing of a shipment"),
        ({"body": {"a": "$.order"}}, "body.a", "is not a source"),
        ({"body": {"$.a?": "$.order"}}, 'body."$.a?"', "not a place that can be written"),
        ({"fields": {"order": "$.a"}, "when": {"#": "x"}}, 'when."#"', "not a place"),
        ({"fields": {"order": "$.a"}, "each": "@.b"}, "each", "begin with $"),
        ({"fields": {"order": "$.a.b"}, "when": {"$.a": "x"}}, 'when."$.a"', "in the way"),
        ({"fields": {"order": "$.r[0].b"}, "each": "$.r"}, "fields.order", "lies in the list"),
        ({"fields": {"key": "$.a"}}, "", "does not say where the order goes"),
    ],
)
def test_a_form_that_cannot_work_is_refused_with_the_word_at_fault(given_, where, words):
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert({"kind": "shipment", **given_}, Out)
    text = str(error.value)
    assert words in text
    if where:
        assert f"$.{where}`" in text


def test_a_template_of_several_values_is_written_and_said_to_be_lost():
    out = shipment(fields={"order": "$.no", "key": "$.key"}, body={"$.ref": "{$.order}/{$.key}"})
    (body,) = form_out(out, SHIPMENT, JSON)
    assert body["ref"] == "SO-7/K-1"
    assert lost_by(out, SHIPMENT, [body], JSON) == ()
    joined = shipment(fields={"order": "$.no"}, body={"$.ref": "{$.order}/{$.key}"})
    assert lost_by(joined, SHIPMENT, form_out(joined, SHIPMENT, JSON), JSON) == ("key",)


def test_a_time_in_the_partner_s_form_loses_what_that_form_does_not_hold():
    out = Out(kind="shipment", fields={"order": "@.no", "shipped_at": "@.at"})
    style = Style(file=True, time_format="%d.%m.%Y %H:%M")
    berlin = zone_of("Europe/Berlin")
    for moment, lost in ((MOMENT, ()), (MOMENT.replace(second=7), ("shipped_at",))):
        message = msgspec.structs.replace(SHIPMENT, shipped_at=moment)
        bodies = form_out(out, message, style, berlin)
        assert bodies[0]["at"] == "01.03.2026 13:00"
        assert lost_by(out, message, bodies, style, berlin) == lost


def test_levels_that_a_partner_shows_are_read_in_the_form_they_are_written_in():
    out = Out(
        kind="level",
        each="$.items",
        fields={"listing": "SKU-{@.sku}", "quantity": "@.stock", "location": "@.at?"},
    )
    body = {"items": [{"sku": "1", "stock": "7"}, {"sku": 2, "stock": 0, "at": "E"}]}
    assert read_levels(out, body, JSON) == [
        ShownLevel(listing="SKU-1", quantity=7),
        ShownLevel(listing="SKU-2", quantity=0, location="E"),
    ]
    assert read_levels(out, {"items": []}, JSON) == []
    for wrong, path in (({}, "$.items"), ({"items": [{"sku": "1", "stock": "x"}]}, "[0].stock")):
        with pytest.raises(Wrong) as error:
            read_levels(out, wrong, JSON)
        assert error.value.path.endswith(path)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"levels": []}, "a level in it"),
        ({"levels": [1]}, "each must be an object"),
        ({"levels": [{"listing": "A"}]}, "quantity"),
        ({"type": "parcel"}, "parcel"),
        ([], "object"),
    ],
)
def test_a_sample_that_is_no_message_of_ours_is_refused(given_, words):
    with pytest.raises(ValueError, match=words):
        message_from(given_, "web")


# -------------------------------------------------------------------- laws


def _told(text):
    """Nothing but blanks says as little as nothing, in both directions."""
    return not text.isspace()


NAME = st.text(string.ascii_letters + " -/{}|?#=ß€中", min_size=1, max_size=12).filter(_told)
TEXT = st.text(min_size=1, max_size=12).filter(_told)
YEARS = [dt.datetime(year, 1, 1) for year in (1971, 2199)]  # noqa: DTZ001 - a zone is drawn
VALUES = {
    "quantity": st.integers(0, 10**12),
    "version": st.integers(1, 2**62),
    "expected": st.none() | st.integers(0, 10**12),
    "shipped_at": st.datetimes(*YEARS, timezones=st.just(dt.UTC)),
    "amount": st.none() | st.decimals(0, 10**9, places=4),
}
REQUIRED = {"key", "order", "line", "listing", "channel", "quantity", "version", "shipped_at"}
MADE = {"shipment": Shipment, "cancellation": Cancellation, "refund": Refund}


@st.composite
def forms(draw):
    """A form whose words can all be inverted, and a message it can say."""
    kind = draw(st.sampled_from(["level", "shipment", "cancellation", "refund"]))
    heads, elements = HEADS[kind], elements_of(kind)
    fields, body, prefixed = {}, {}, {}
    for number, name in enumerate([*heads, *elements]):
        root = draw(st.sampled_from(["$.h", "$"])) if name in heads else "@"
        place = f"{root}.k{number}" + draw(st.sampled_from(["", ".x", "[0]", "[2].y"]))
        optional = "" if name in REQUIRED else "?"
        match draw(st.sampled_from(["path", "template", "body", "either"])):
            case "path":
                fields[name] = place + optional
            case "either":
                fields[name] = f"{place} | {root}.never{optional}"
            case "template" if name not in VALUES and name in REQUIRED:
                fields[name] = f"ID({{{place}}})"
                prefixed[name] = "ID({})"
            case _:
                body[place] = ("$." if name in heads else "@.") + name + optional
    out = Out(kind=kind, each="$.list.of[1]", fields=fields, body=body, when={"$.w": "x"})

    def value(name):
        made = draw(VALUES.get(name, TEXT if name in REQUIRED else st.just("") | TEXT))
        return prefixed.get(name, "{}").format(made) if name in prefixed else made

    head = {name: value(name) for name in heads}
    least = 1 if kind == "level" else 0
    lines = [{name: value(name) for name in elements} for _ in range(draw(st.integers(least, 3)))]
    if kind == "level":
        return out, tuple(LevelToSend(**head, **line) for line in lines)
    return out, MADE[kind](**head, lines=tuple(DocumentLine(**line) for line in lines))


@settings(max_examples=60, deadline=None)
@given(forms())
def test_what_goes_out_by_an_invertible_form_is_read_back_the_same(drawn):
    out, message = drawn
    bodies = form_out(out, message, JSON)
    assert not isinstance(bodies, Failure)
    received = [msgspec.json.decode(msgspec.json.encode(body)) for body in bodies]
    assert received == bodies
    assert lost_by(out, message, received, JSON) == ()


FACT_VALUES = {
    "document": NAME,
    "line": NAME,
    "item": st.just("") | NAME,
    "quantity": st.integers(1, 10**12),
    "location": st.just("") | NAME,
    "final": st.booleans(),
    "bucket": st.sampled_from(["sellable", "damaged"]),
    "expires_on": st.none() | st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1)),
    "occurred_at": st.none() | VALUES["shipped_at"],
}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_facts_written_by_a_rule_inverted_are_read_by_the_rule_the_same(data):
    shared = data.draw(st.booleans())
    sign = data.draw(st.sampled_from(["any", "positive", "negative"]))
    fields = {
        name: ("$." if name == "document" and shared else "@.")
        + f"k{number}"
        + ("" if name in ("document", "line", "quantity") else "?")
        for number, name in enumerate(FACT_VALUES)
    }
    rule = Rule(
        kind="shipment",
        each=data.draw(st.sampled_from(["$.rows", "$", "$.a.b[1]"])) if not shared else "$.rows",
        when={"@.kind": ["out", "sent"]},
        sign=sign,
        fields=fields,
    )
    document = data.draw(NAME)
    facts = []
    for _ in range(data.draw(st.integers(1, 3))):
        values = {name: data.draw(one) for name, one in FACT_VALUES.items()}
        facts.append(Fact(kind="shipment", **values | ({"document": document} if shared else {})))
    body = msgspec.json.decode(msgspec.json.encode(write_facts(rule, facts)))
    mapped = map_document((rule,), body, WallClock(zone_of("UTC")), JSON)
    assert [part.item for part in mapped] == facts


def test_a_rule_that_joins_values_cannot_be_inverted_and_says_which():
    rule = Rule(kind="pos_sale", fields={"document": "{$.shop}-{$.slip}", "quantity": "$.n"})
    with pytest.raises(ValueError, match=r"'\{\$\.shop\}-\{\$\.slip\}' joins 2 values"):
        write_facts(rule, [])


def test_an_amount_keeps_every_digit():
    out = Out(kind="refund", fields={"order": "$.o", "amount": "$.m"})
    message = Refund(key="K", order="S", lines=(), amount=Decimal("12.50"))
    (body,) = form_out(out, message, JSON)
    assert body == {"o": "S", "m": "12.50"}
    style = Style(file=True, decimal=",")
    bodies = form_out(out, message, style)
    assert bodies == [{"o": "S", "m": "12,50"}]
    assert lost_by(out, message, bodies, style) == ()
