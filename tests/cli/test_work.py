"""`stockwright work`: what the API and the console say of work items, from the command line."""

import msgspec
import pytest

from stockwright.domain.work_words import MEANINGS
from stockwright.store.connection import connect
from stockwright.store.worklist import Which, work_items


@pytest.fixture
def items(database_url):
    """Three open work items and a closed one; their numbers by subject."""
    with connect(database_url) as connection:
        rows = connection.execute(
            "insert into work_item (kind, subject, sku, location, system, detail, seen,"
            " assigned_to, opened_at, closed_at, closed_by, closed_why) values"
            " ('shortage', 'A at MAIN', 'A', 'MAIN', '', '{\"missing\": 3}', 2, 'Ada',"
            "  '2026-11-26T09:00Z', null, '', ''),"
            " ('shortage', 'B at EAST [half]', 'B', 'EAST', '', '{}', 1, '',"
            "  '2026-11-26T09:00Z', null, '', ''),"
            " ('publication_refused', 'web: no such item', '', '', 'shop',"
            "  '{\"reason\": \"no such item\"}', 1, '', '2026-11-26T09:00Z', null, '', ''),"
            " ('shortage', 'C at MAIN', 'C', 'MAIN', '', '{}', 1, '', '2026-11-26T09:00Z',"
            "  '2026-11-26T10:00Z', 'user ada', 'counted') returning subject, id"
        ).fetchall()
        connection.commit()
    return dict(rows)


def subjects(ran):
    assert ran.code == 0, ran.err
    return [one["subject"] for one in ran.json["items"]]


def log(database_url):
    with connect(database_url) as connection:
        return connection.execute(
            "select action, actor, subject, detail from change_log"
            " where action like 'work_item.%' order by id"
        ).fetchall()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), ["web: no such item", "B at EAST [half]", "A at MAIN"]),
        (("--kind", "shortage"), ["B at EAST [half]", "A at MAIN"]),
        (("--system", "shop"), ["web: no such item"]),
        (("--kind", "shortage", "--system", "shop"), []),
        (("--sku", "A"), ["A at MAIN"]),
        (("--location", "EAST"), ["B at EAST [half]"]),
        (("--state", "closed"), ["C at MAIN"]),
        (("--state", "all", "--location", "MAIN"), ["C at MAIN", "A at MAIN"]),
        (("--assigned-to", "Ada"), ["A at MAIN"]),
        (("--unassigned", "--kind", "shortage"), ["B at EAST [half]"]),
        (("--text", "NO SUCH"), ["web: no such item"]),
    ],
    ids=str,
)
def test_the_list_is_narrowed_as_over_http(on_database, items, arguments, found):
    assert subjects(on_database("work", "list", *arguments, "--json")) == found


def test_the_list_as_json_is_what_the_api_says_of_each_item(on_database, items, database_url):
    with connect(database_url) as connection:
        expected = msgspec.json.encode(work_items(connection, Which()))
    listed = on_database("work", "list", "--json").json
    assert listed == {"total": 3, "items": msgspec.json.decode(expected)}


def test_the_list_in_words_and_page_by_page(on_database, items):
    assert on_database("work", "list", "--kind", "shortage").out == (
        f"{items['B at EAST [half]']} shortage: B at EAST [half]\n"
        "    SKU B at EAST, seen once since 2026-11-26 09:00 UTC\n"
        "    with nobody\n"
        f"{items['A at MAIN']} shortage: A at MAIN\n"
        "    SKU A at MAIN, seen 2 times since 2026-11-26 09:00 UTC\n"
        "    with Ada\n"
    )
    first = on_database("work", "list", "--limit", "2").out
    last = items["B at EAST [half]"]
    assert first.endswith(f"2 of 3; the next ones: --before {last}\n")
    assert subjects(on_database("work", "list", "--before", str(last), "--json")) == ["A at MAIN"]
    assert on_database("work", "list", "--kind", "none").out == "Nothing to decide.\n"
    refused = on_database("work", "list", "--limit", "0")
    assert (refused.code, "limit: Give 1 to 1,000." in refused.err) == (2, True)


def test_an_item_is_shown_with_what_settles_it(on_database, items):
    ran = on_database("work", "show", str(items["A at MAIN"]))
    assert "    missing: 3\n" in ran.out
    assert ran.out.endswith(f"\n{MEANINGS['shortage']}\n")
    closed = on_database("work", "show", str(items["C at MAIN"])).out
    assert "    closed 2026-11-26 10:00 UTC by user ada: counted\n" in closed


def test_an_item_is_closed_with_a_reason_and_opened_again(on_database, items, database_url):
    number = str(items["A at MAIN"])
    ran = on_database("work", "close", number, "--why", " moved 3 in ", "--author", "ann", "--json")
    assert (ran.code, ran.json["closed_by"], ran.json["closed_why"]) == (
        0, "cli ann", "moved 3 in",
    )  # fmt: skip
    again = on_database("work", "close", number, "--why", "moved 3 in")
    assert (again.code, f"number: The work item {number} is closed." in again.err) == (2, True)
    assert on_database("work", "reopen", number, "--why", "it was B", "--author", "ann").code == 0
    twice = on_database("work", "reopen", number, "--why", "it was B")
    assert (twice.code, f"The work item {number} is open." in twice.err) == (2, True)
    assert log(database_url) == [
        ("work_item.close", "cli ann", number, {"why": "moved 3 in"}),
        ("work_item.reopen", "cli ann", number, {"why": "it was B"}),
    ]


def test_an_item_whose_cause_came_up_again_is_not_opened_beside_the_new_one(
    on_database, items, database_url
):
    with connect(database_url) as connection:
        connection.execute("insert into work_item (kind, subject) values ('shortage', 'C at MAIN')")
        connection.commit()
    ran = on_database("work", "reopen", str(items["C at MAIN"]), "--why", "still short")
    assert (ran.code, "came up again and has an open work item by now" in ran.err) == (2, True)
    assert log(database_url) == []


def test_an_item_is_given_to_somebody_and_to_nobody(on_database, items, database_url):
    number = str(items["B at EAST [half]"])
    assert on_database("work", "assign", number, "--to", " Bo ").out.endswith("    with Bo\n")
    assert on_database("work", "assign", number, "--to", "").out.endswith("    with nobody\n")
    closed = on_database("work", "assign", str(items["C at MAIN"]), "--to", "Bo")
    assert (closed.code, "is closed" in closed.err) == (2, True)
    assert [row[3] for row in log(database_url)] == [{"assigned_to": "Bo"}, {"assigned_to": ""}]


def test_nobodys_text_commands_the_terminal(on_database, items, database_url):
    number = str(items["A at MAIN"])
    why = "gone\x1b]0;owned\x07 \x9b2J\u202e"
    ran = on_database("work", "close", number, "--why", why, "--author", "\x1b[31mann")
    assert ran.out.endswith("by cli \ufffd[31mann: gone\ufffd]0;owned \ufffd2J\ufffd\n")
    assert on_database("work", "list", "--kind", "\x1b[31m").code == 0
    unknown = on_database("connection", "retry", "\x1b[31mSHOP", "--reason", "x")
    assert (unknown.code, "\x1b" in unknown.err) == (2, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("work", "close", "{number}", "--why", "\udcff"),
        ("work", "close", "{number}", "--why", "x", "--author", "\udcff"),
        ("work", "assign", "{number}", "--to", "\udcff"),
        ("work", "list", "--text", "\udcff"),
        ("connection", "retry", "\udcff", "--reason", "x"),
        ("publish", "pause", "WEB", "--reason", "\udcff"),
    ],
    ids=str,
)
def test_an_argument_that_is_no_utf_8_is_no_fault_of_ours(on_database, items, arguments):
    number = str(items["A at MAIN"])
    ran = on_database(*(one.replace("{number}", number) for one in arguments))
    assert (ran.code, "Traceback" in ran.err) == (2, False), ran.err


def test_a_name_of_two_lines_is_no_name(on_database, items):
    ran = on_database("work", "assign", str(items["A at MAIN"]), "--to", "Bo\nwith Ada")
    assert (ran.code, "printable characters" in ran.err) == (2, True)


@pytest.mark.parametrize("number", ["999999", "0", str(2**70)])
@pytest.mark.parametrize(
    "command",
    [("show",), ("close", "--why", "x"), ("reopen", "--why", "x"), ("assign", "--to", "")],
)
def test_an_item_that_is_not_there_is_told(on_database, items, command, number):
    ran = on_database("work", command[0], number, *command[1:])
    assert (ran.code, f"number: There is no work item {number}" in ran.err) == (2, True)


@pytest.mark.parametrize("command", ["close", "reopen"])
def test_a_reason_is_asked_for(on_database, items, database_url, command):
    number = str(items["A at MAIN"])
    assert on_database("work", command, number).code == 2
    blank = on_database("work", command, number, "--why", "  ")
    assert (blank.code, "why: Say why in 1 to 1,000 characters" in blank.err) == (2, True)
    assert log(database_url) == []
