"""The reference pages say what the declarations say, and their examples are good."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from stockwright.config.connectors import OURS
from stockwright.connectors import (
    amazon,
    bigcommerce,
    csv_drop,
    json_http,
    kafka,
    magento,
    medusa,
    nats,
    pos_file,
    rabbitmq,
    shopify,
    tryton,
    woocommerce,
)
from stockwright.connectors.json_http.answers import FIELDS, Answer
from stockwright.domain.events import Fact
from stockwright.sdk.bodies import message_from
from stockwright.sdk.mapping import rules_from
from stockwright.sdk.messages import Shipment
from stockwright.sdk.outbound import HEADS, Out, elements_of
from stockwright.sdk.reference import settings_table

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"
PAGES = {
    "json-http.md": json_http.CONNECTOR,
    "csv-drop.md": csv_drop.CONNECTOR,
    "woocommerce.md": woocommerce.CONNECTOR,
    "shopify.md": shopify.CONNECTOR,
    "amazon.md": amazon.CONNECTOR,
    "pos-file.md": pos_file.CONNECTOR,
    "bigcommerce.md": bigcommerce.CONNECTOR,
    "magento.md": magento.CONNECTOR,
    "nats.md": nats.CONNECTOR,
    "rabbitmq.md": rabbitmq.CONNECTOR,
    "kafka.md": kafka.CONNECTOR,
    "tryton.md": tryton.CONNECTOR,
    "medusa.md": medusa.CONNECTOR,
}


def page(name):
    return (REFERENCE / name).read_text(encoding="utf-8")


def toml_of(text):
    return tomllib.loads(text.split("```toml\n")[1].split("```")[0])


def test_every_connector_has_its_page():
    assert sorted(one.declaration.name for one in PAGES.values()) == sorted(OURS)
    assert {f"connectors/{name}" for name in PAGES} | {"connectors/index.md"} == {
        f"connectors/{path.name}" for path in (REFERENCE / "connectors").glob("*.md")
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_page_lists_every_setting_as_the_connector_declares_it(name):
    assert settings_table(PAGES[name].declaration) in page(f"connectors/{name}")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_to_grant_what_to_set_its_limits_and_what_goes_wrong(name):
    heads = [line[3:] for line in page(f"connectors/{name}").splitlines() if line[:3] == "## "]
    needed = ("Permissions to grant", "Settings", "Limits", "What goes wrong")
    assert [head.split(",")[0] for head in heads if head.split(",")[0] in needed] == [*needed]
    assert page(f"connectors/{name}").startswith(f"# Connector `{PAGES[name].declaration.name}`")


def test_every_connector_of_ours_has_a_page_and_stands_in_the_table_of_all():
    ours = {one.declaration.name for one in PAGES.values()}
    assert ours == set(OURS)
    table = page("connectors/index.md")
    assert [name for name in PAGES if f"({name})" not in table] == []


@pytest.mark.parametrize("name", PAGES)
def test_the_example_of_a_page_is_accepted(name):
    (system,) = toml_of(page(f"connectors/{name}"))["systems"].values()
    assert system["connector"] == PAGES[name].declaration.name
    assert PAGES[name].declaration.problems(system["settings"]) == []


def test_every_type_of_message_with_a_rule_is_on_the_page():
    types = {kind for rule in json_http.mapping.DEFAULT_RULES for kind in rule.when.values()}
    assert [kind for kind in types if f"`{kind}`" not in page("connectors/json-http.md")] == []


def test_every_default_pattern_is_on_the_page_with_the_columns_it_needs():
    text = page("connectors/csv-drop.md")
    for file in csv_drop.declaration.DEFAULT_FILES:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{file.pattern}`")]
        for column in csv_drop.mapping.needed_columns(file):
            assert column in row


def test_the_form_of_the_mapping_page_is_accepted_and_every_field_of_ours_is_named():
    text = page("mapping.md").split("## Out: forms")[1]
    (form,) = toml_of(text)["systems"]["SHOP"]["settings"]["out"]
    assert msgspec.convert(form, Out).kind == "shipment"
    for kind, head in HEADS.items():
        told = f"| `{kind}` | `{', '.join(head)}` | `{', '.join(elements_of(kind))}` |"
        assert told in text
    sample = msgspec.json.decode(text.split("```json\n")[1].split("```")[0])
    assert isinstance(message_from(sample, "web"), Shipment)
    for part in msgspec.structs.fields(Out):
        assert f"| `{part.name}` |" in text


def test_every_part_of_an_answer_is_on_the_page():
    text = page("connectors/json-http.md")
    for part in msgspec.structs.fields(Answer):
        assert f"| `{part.name}` |" in text
    assert f"`{', '.join(FIELDS)}`" in text


def test_the_rule_of_the_mapping_page_is_accepted_and_every_field_is_named():
    text = page("mapping.md")
    (rule,) = toml_of(text)["systems"]["TILL"]["settings"]["rules"]
    assert rules_from([rule])[0].kind == "pos_sale"
    fields = text.split("Fields are those of a fact:")[1].split("`system` is always")[0]
    named = {word.strip("`,. \n") for word in fields.replace("(", " ").split()}
    assert set(Fact.__struct_fields__) - {"kind", "system"} <= named
