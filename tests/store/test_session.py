"""What the driver raises as branches of the house's error tree: come again, or do not."""

import psycopg
import pytest

from stockwright.domain.errors import Rejected, Throttled
from stockwright.store.connection import Pool
from stockwright.store.session import session, translated


@pytest.fixture
def write(database_url):
    """Runs statements in one transaction of a session."""
    with Pool(database_url, size=1) as pool:

        def run(*statements):
            with session(pool) as connection:
                for statement in statements:
                    connection.execute(statement)

        yield run


UNIT = "insert into unit (sku, code, factor) values ('A', 'BOX', {})"


@pytest.mark.parametrize(
    ("before", "again", "field", "words"),
    [
        ("insert into sku (code) values ('A')", "insert into sku (code) values ('A')", "code",
         "There is a sku of this code already."),
        ("insert into sku (code) values ('A'); " + UNIT.format(6), UNIT.format(12), "code",
         "There is a unit of this sku, code already."),
    ],
)  # fmt: skip
def test_a_second_row_of_a_key_is_refused_by_its_column_and_not_asked_for_again(
    write, before, again, field, words
):
    write(before)
    with pytest.raises(Rejected, match=words) as refused:
        write(again)
    assert (refused.value.reason, refused.value.field) == ("conflict", field)
    assert "'A'" not in refused.value.message


def test_a_column_is_named_whatever_the_language_of_the_server(database_url):
    told = "table = 'channel_pause', detail = 'Es gibt (\"channel\")=(WEB) schon.'"
    with (
        psycopg.connect(database_url) as connection,
        pytest.raises(Rejected) as refused,
        translated(),
    ):
        connection.execute(f"do $$ begin raise unique_violation using {told}; end $$")
    assert refused.value.field == "channel"
    assert refused.value.message.startswith("There is a channel pause of this channel already.")


def test_two_who_open_the_same_work_item_at_once_come_again(write):
    item = "insert into work_item (kind, subject) values ('shortage', 'A at MAIN')"
    write(item)
    with pytest.raises(Throttled):
        write(item)


def test_two_changes_of_a_row_at_one_time_come_again(write):
    write("insert into sku (code) values ('A')")
    with pytest.raises(Throttled):
        write("insert into history.sku select (one).* from (select sku as one from history.sku) x")
