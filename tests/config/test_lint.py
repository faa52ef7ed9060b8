from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stockwright.config import Finding, lint

GOOD = """\
[systems.WMS]
role = "wms"

[systems.SHOP]
role = "shop"

[locations.MAIN]
groups = ["EUROPE"]

[channels.WEB]
system = "SHOP"
pool = ["MAIN"]
"""

# name, text, then for each finding: line, field, level, words of the problem, words of the fix
Expected = tuple[int, str, str, str, str]
CASES: list[tuple[str, str, list[Expected]]] = [
    ("a good file has no findings", GOOD, []),
    ("an empty file has no findings", "", []),
    (
        "unknown tables and keys are told with the closest known word",
        '[system.A]\nrole = "wms"\n[server]\nprot = 1\n[zzz]\n',
        [
            (1, "system", "error", "is unknown", "did you mean systems?"),
            (4, "server.prot", "error", "is unknown", "did you mean port?"),
            (
                5,
                "zzz",
                "error",
                "is unknown",
                "known here: server, database, api_log, subscriptions, connections",
            ),
        ],
    ),
    (
        "a missing field has the line of its table",
        "\n[systems.A]\nowner = 'x'\n[channels.C]\npool = ['L']\n[locations.L]\n",
        [
            (2, "systems.A.role", "error", "is missing", "one of 3pl"),
            (4, "channels.C.system", "error", "is missing", "a code"),
        ],
    ),
    (
        "wrong types say what is allowed",
        "[server]\nport = '80'\nhost = ''\n[systems.A]\nrole = 7\nlatency_budget_s = true\n"
        "settings = 'x'\n",
        [
            (2, "server.port", "error", "is text", "a whole number, 0 to 65535"),
            (3, "server.host", "error", "is empty", "text that is not empty"),
            (5, "systems.A.role", "error", "is a whole number", "one of 3pl"),
            (6, "systems.A.latency_budget_s", "error", "is true or false", "a number, 0 to"),
            (7, "systems.A.settings", "error", "is text", "a table"),
        ],
    ),
    (
        "numbers out of range, among them those that are none",
        "[server]\nport = 70000\n[systems.A]\nrole = 'erp'\nclock_error_s = -1\n"
        "latency_budget_s = nan\n[locations.L]\npriority = 1_000_001\n",
        [
            (2, "server.port", "error", "is out of range", "0 to 65535"),
            (5, "systems.A.clock_error_s", "error", "is out of range", "0 to"),
            (6, "systems.A.latency_budget_s", "error", "is out of range", "0 to"),
            (8, "locations.L.priority", "error", "is out of range", "0 to 1000000"),
        ],
    ),
    (
        "folders that others may name are whole paths, apart, and not all there is",
        "[connections]\nsecret_folders = ['/srv/secrets', 'secrets', '/']\n"
        "exchange_folders = ['/srv/files', '/srv', '/srv/secrets/a', '/srv/x/..']\n",
        [
            (2, "connections.secret_folders[1]", "error", "is no absolute path", "such as /srv"),
            (2, "connections.secret_folders[2]", "error", "allows every file", "name a folder"),
            (3, "connections.exchange_folders[0]", "error", "holds secrets", "apart"),
            (3, "connections.exchange_folders[1]", "error", "holds secrets", "apart"),
            (3, "connections.exchange_folders[2]", "error", "lies among them", "apart"),
            (3, "connections.exchange_folders[3]", "error", "holds secrets", "apart"),
        ],
    ),
    (
        "proxies are networks, and not all the world",
        "[server]\ntrusted_proxies = ['10.0.0.0/24', '10.0.0.7/24', 'proxy', '0.0.0.0/0', 7]\n",
        [
            (2, "server.trusted_proxies[4]", "error", "is a whole number", "text"),
        ],
    ),
    (
        "each network of proxies is told by itself",
        "[server]\ntrusted_proxies = [\n'10.0.0.0/24',\n'10.0.0.7/24',\n'proxy',\n'::/0']\n",
        [
            (4, "server.trusted_proxies[1]", "error", "bits set", "write 10.0.0.0/24"),
            (5, "server.trusted_proxies[2]", "error", "is no network", "10.0.0.0/24"),
            (6, "server.trusted_proxies[3]", "error", "every address", "the proxies' networks"),
        ],
    ),
    (
        "the API log has its bounds",
        "[api_log]\nsample = -1\nrows = 10\ndays = 0\nbodies = 'no'\nslow_ms = 1.5\n",
        [
            (2, "api_log.sample", "error", "is out of range", "0 to 1000000"),
            (3, "api_log.rows", "error", "is out of range", "1000 to 10000000"),
            (4, "api_log.days", "error", "is out of range", "1 to 400"),
            (5, "api_log.bodies", "error", "is text", "true or false"),
            (6, "api_log.slow_ms", "error", "is a number", "a whole number, 1 to 600000"),
        ],
    ),
    (
        "words that are nearly right",
        "[systems.A]\nrole = 'WMS'\ncriticality = 'hihg'\nsnapshot_basis = 'x'\n",
        [
            (2, "systems.A.role", "error", "is not one of", "did you mean wms?"),
            (3, "systems.A.criticality", "error", "is not one of", "did you mean high?"),
            (4, "systems.A.snapshot_basis", "error", "is not one of", "one of gross, net"),
        ],
    ),
    (
        "time zones are checked by name",
        "[systems.A]\nrole = 'erp'\ntime_zone = 'Europe/Berln'\n[locations.L]\ntime_zone = ''\n",
        [
            (3, "systems.A.time_zone", "error", "no IANA time zone", "did you mean Europe/Berlin"),
            (5, "locations.L.time_zone", "error", "no IANA time zone", "such as"),
        ],
    ),
    (
        "codes are not empty, not too long and have no blanks at their ends",
        f"[systems.'']\nrole = 'erp'\n[locations.'{'x' * 129}']\n[locations.' L']\n"
        '[locations."a\\u0000"]\n',
        [
            (1, 'systems.""', "error", "is empty", "1 to 128"),
            (3, f"locations.{'x' * 129}", "error", "longer than 128", "1 to 128"),
            (4, 'locations." L"', "error", "begins or ends with a blank", "1 to 128"),
            (5, 'locations."a\\u0000"', "error", "invisible character U+0000", "1 to 128"),
        ],
    ),
    (
        "a pool names what does not exist",
        GOOD.replace('"MAIN"]', '\n  "MIAN",\n  "ELSEWHERE", "MAIN", "MAIN"]'),
        [
            (13, "channels.WEB.pool[0]", "error", "no location or group MIAN", "mean MAIN?"),
            (14, "channels.WEB.pool[1]", "error", "group ELSEWHERE", "[locations.ELSEWHERE]"),
            (14, "channels.WEB.pool[3]", "error", "MAIN stands twice", "remove one"),
        ],
    ),
    (
        "a pool may name groups and what is imported",
        'imported_places = ["STORES"]\n' + GOOD.replace('["MAIN"]', '["EUROPE", "STORES"]'),
        [],
    ),
    (
        "an empty pool sells nothing",
        GOOD.replace('["MAIN"]', "[]"),
        [(12, "channels.WEB.pool", "error", "is empty", "a list that is not empty")],
    ),
    (
        "a pool of numbers",
        GOOD.replace('["MAIN"]', '["MAIN",\n 7]'),
        [(13, "channels.WEB.pool[1]", "error", "is a whole number", "a code")],
    ),
    (
        "systems that do not exist",
        GOOD.replace('system = "SHOP"', 'system = "SOHP"')
        + '[[locations.MAIN.authority]]\ngroup = "outbound"\nsystem = "X"\n',
        [
            (11, "channels.WEB.system", "error", "no system SOHP", "did you mean SHOP?"),
            (15, "locations.MAIN.authority[0].system", "error", "no system X", "[systems.X]"),
        ],
    ),
    (
        "authorities: unknown group, no time zone, given twice",
        GOOD.replace(
            "groups =",
            "authority = [\n"
            '  { group = "outbund", system = "WMS" },\n'
            '  { group = "count", system = "WMS", from = 2026-01-01T00:00:00 },\n'
            '  { group = "pos", system = "WMS" },\n'
            '  { group = "pos", system = "SHOP" },\n'
            '  { group = "inbound", system = "WMS", form = 2026-01-01 },\n'
            '  { group = "internal", from = "2026-01-01" },\n'
            "]\ngroups =",
        ),
        [
            (9, "locations.MAIN.authority[0].group", "error", "is not one of", "mean outbound?"),
            (10, "locations.MAIN.authority[1].from", "error", "is a date or time", "its zone"),
            (12, "locations.MAIN.authority[3]", "error", "pos is given twice", "remove one"),
            (13, "locations.MAIN.authority[4].form", "error", "is unknown", "did you mean from?"),
            (14, "locations.MAIN.authority[5].from", "error", "is text", "its zone"),
            (14, "locations.MAIN.authority[5].system", "error", "is missing", "a code"),
        ],
    ),
    (
        "two systems that post movements need to know whose word counts",
        GOOD.replace('"shop"', '"3pl"'),
        [
            (
                7,
                "locations.MAIN.authority",
                "warning",
                "nobody holds inbound, outbound, internal, and WMS and SHOP may post both",
                'group = "inbound", system = "WMS"',
            )
        ],
    ),
    (
        "an authority for all that is posted settles it",
        GOOD.replace('"shop"', '"3pl"')
        + "".join(
            f'[[locations.MAIN.authority]]\ngroup = "{group}"\nsystem = "WMS"\n'
            for group in ("inbound", "outbound", "internal")
        ),
        [],
    ),
    (
        "priorities that were stated alike",
        "[locations.A]\npriority = 1\n[locations.B]\n[locations.C]\npriority = 1\n[locations.D]\n",
        [(5, "locations.C.priority", "warning", "is that of A too", "give each its own")],
    ),
    (
        "a group that has the code of a location",
        "[locations.A]\n[locations.B]\ngroups = ['X', 'A']\n",
        [(3, "locations.B.groups[1]", "error", "the group A has the code", "another code")],
    ),
    (
        "orders of a channel that there is not",
        "[locations.A]\n"
        "[systems.SHOP]\nrole = 'shop'\nconnector = 'json_http'\n"
        "settings = { base_url = 'https://shop.example' }\n"
        "[systems.SECOND]\nrole = 'shop'\nconnector = 'json_http'\n"
        "settings = { base_url = 'https://shop.example', channel = 'TWO' }\n"
        "[channels.WEB]\nsystem = 'SHOP'\npool = ['A']\n"
        "[channels.TWO]\nsystem = 'SECOND'\npool = ['A']\n",
        [
            (5, "systems.SHOP.settings.channel", "warning", "the channel SHOP", 'channel = "WEB"'),
        ],
    ),
    (
        "policies: negative, unknown, never reached, a cap below the pack",
        GOOD + "policies = [\n"
        "  { sku = '1', cap = 3, pack_size = 6 },\n"
        "  { sku_group = 'G', safety = -1 },\n"
        "  { sku = '1', sku_group = 'G' },\n"
        "  { buffer = 1 },\n"
        "  { group = 'H' },\n"
        "  { sku = '2', pack_size = 0 },\n"
        "]\n",
        [
            (14, "channels.WEB.policies[0].cap", "warning", "is below pack_size", "raise cap"),
            (15, "channels.WEB.policies[1].safety", "error", "is out of range", "0 to"),
            (16, "channels.WEB.policies[2]", "warning", "policies[0] matches before", "last"),
            (18, "channels.WEB.policies[4]", "warning", "policies[3] matches before", "last"),
            (18, "channels.WEB.policies[4].group", "error", "is unknown", "mean sku_group?"),
            (19, "channels.WEB.policies[5]", "warning", "policies[3] matches before", "last"),
            (19, "channels.WEB.policies[5].pack_size", "error", "is out of range", "1 to"),
        ],
    ),
    (
        "policies: buffers and fences that do nothing, or nothing but harm",
        GOOD + "policies = [\n"
        "  { sku = '1', buffer_most = 3, blind_s = 5.0 },\n"
        "  { sku = '2', buffer_risk = 0.0001 },\n"
        "  { sku = '3', buffer_risk = 0.01, buffer = 9, buffer_most = 3 },\n"
        "  { sku = '4', buffer_percent = 100.0 },\n"
        "  { sku = '5', ring_fence_mode = 'standing' },\n"
        "  { sku = '6', degraded_cap = 5 },\n"
        "  { sku = '7', buffer_risk = 1.0 },\n"
        "  { sku = '8', ring_fence_mode = 'stading' },\n"
        "]\n",
        [
            (14, "channels.WEB.policies[0].blind_s", "warning", "no effect", "buffer_risk"),
            (14, "channels.WEB.policies[0].buffer_most", "warning", "no effect", "buffer_risk"),
            (15, "channels.WEB.policies[1].buffer_risk", "warning", "smaller than", "0.001"),
            (16, "channels.WEB.policies[2].buffer_most", "warning", "below buffer", "raise"),
            (17, "channels.WEB.policies[3].buffer_percent", "warning", "is 100", "less"),
            (18, "channels.WEB.policies[4].ring_fence_mode", "warning", "no effect", "ring_fence"),
            (19, "channels.WEB.policies[5].degraded_cap", "warning", "never holds", "heartbeat_s"),
            (20, "channels.WEB.policies[6].buffer_risk", "error", "out of range", "below 1"),
            (21, "channels.WEB.policies[7].ring_fence_mode", "error", "is not", "standing"),
        ],
    ),
    (
        "tables where a value is meant, and the other way round",
        "server = 1\nsystems = []\nchannels.C = 'x'\n[locations.L]\nauthority = 'WMS'\n",
        [
            (1, "server", "error", "is not a table", "[server]"),
            (2, "systems", "error", "is not a table", "[systems.CODE]"),
            (3, "channels.C", "error", "is not a table", "[channels.C]"),
            (5, "locations.L.authority", "error", "is not a list of tables", "group, system, from"),
        ],
    ),
    (
        "connectors and what cannot be kept",
        "[systems.A]\nrole = 'shop'\nconnector = 'json-http'\n[systems.A.settings]\nx = inf\n"
        "y = ['a', \"\\u0000\"]\n",
        [
            (3, "systems.A.connector", "error", "no connector", "did you mean json_http?"),
            (5, "systems.A.settings.x", "error", "cannot be kept as JSON", "finite"),
            (6, "systems.A.settings.y[1]", "error", "cannot be kept as JSON", "text"),
        ],
    ),
    (
        "a connector's own settings are checked by its declaration",
        "[systems.A]\nrole = 'shop'\nconnector = 'json_http'\n[systems.A.settings]\n"
        "base_url = 'http://127.0.0.1:1'\ntoken = 'env:T'\nbach_size = 3\n",
        [
            (
                7,
                "systems.A.settings.bach_size",
                "error",
                "is not a setting of the connector json_http",
                "did you mean batch_size?",
            )
        ],
    ),
    (
        "a word of a mapping that cannot be inverted is told where it stands",
        "[systems.A]\nrole = 'shop'\nconnector = 'json_http'\n[systems.A.settings]\n"
        "base_url = 'http://127.0.0.1:1'\n[[systems.A.settings.out]]\nkind = 'level'\n"
        "each = '$.items'\n[systems.A.settings.out.fields]\nquantity = '@.n'\n"
        "listing = '{@.a}-{@.b}'\n",
        [
            (
                11,
                "systems.A.settings.out[0].fields.listing",
                "error",
                "joins 2 values, which cannot be taken apart again",
                "",
            )
        ],
    ),
    (
        "a place of the partner's is found among the keys of the file",
        "[systems.A]\nrole = 'shop'\nconnector = 'json_http'\n[systems.A.settings]\n"
        "base_url = 'http://127.0.0.1:1'\n[[systems.A.settings.out]]\nkind = 'level'\n"
        "each = '$.items'\nfields = { listing = '@.a', quantity = '@.n' }\n"
        "[systems.A.settings.out.body]\n'@.b' = '@.lokation'\n",
        [
            (
                11,
                'systems.A.settings.out[0].body."@.b"',
                "error",
                "'@.lokation' is nothing of a level",
                "",
            )
        ],
    ),
    (
        "the database is given once, as an address we can use",
        "[database]\nurl = 'mysql://h/d'\ndata_dir = 'x'\n[server]\nbase = 'stock.example.com'\n",
        [
            (2, "database.url", "error", "is given beside data_dir", "one of the two"),
            (2, "database.url", "error", "is no PostgreSQL address", "postgresql://"),
            (5, "server.base", "error", "is no web address", "https://"),
        ],
    ),
    (
        "a line that is not TOML",
        GOOD + "pool = = 3\n",
        [(13, "(syntax)", "error", "is not TOML", "correct the line at column 8")],
    ),
    (
        "a key given twice",
        "[server]\nport = 1\nport = 2\n",
        [(3, "(syntax)", "error", "cannot overwrite a value", "column")],
    ),
    (
        "a file that breaks off",
        "[server]\nhost = 'x'\n[systems.A",
        [(3, "(syntax)", "error", "is not TOML", "complete the last line")],
    ),
]


@pytest.mark.parametrize(
    ("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_every_fault_is_found_at_once_with_its_line_field_and_fix(
    tmp_path: Path, text: str, expected: list[Expected]
) -> None:
    path = tmp_path / "stockwright.toml"
    path.write_text(text, encoding="utf-8")
    found = lint(path)
    assert [(each.line, each.field, each.level) for each in found] == [row[:3] for row in expected]
    for finding, (*_, problem, fix) in zip(found, expected, strict=True):
        assert finding.file == str(path)
        assert problem in finding.problem
        assert fix in finding.fix


def test_a_finding_reads_as_one_line_that_editors_can_follow() -> None:
    finding = Finding(file="s.toml", line=3, field="a.b", problem="is wrong", fix="mend it")
    assert str(finding) == "s.toml:3: error: a.b: is wrong; mend it"


@pytest.mark.parametrize(
    ("raw", "line", "problem"),
    [
        (b"a = 1\nb = '\xff'\n", 2, "is not UTF-8"),
        (b"a = " + b"[" * 5_000, 1, "nested too deeply"),
        (b"#" * 10_000_001, 1, "is larger than"),
        (b"\xff\xfea\x00", 1, "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_has_one_finding(
    tmp_path: Path, raw: bytes, line: int, problem: str
) -> None:
    path = tmp_path / "stockwright.toml"
    path.write_bytes(raw)
    (finding,) = lint(path)
    assert (finding.line, finding.level) == (line, "error")
    assert problem in finding.problem


def test_a_missing_file_is_a_finding_not_a_traceback(tmp_path: Path) -> None:
    (finding,) = lint(tmp_path / "none.toml")
    assert "No such file" in finding.problem


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "stockwright.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert lint(path) == []


PIECES = st.sampled_from(
    [*"[]{}=.,\"'\n#\\ \t\x00\u2028é", '"""', "'''", "nan", "true", "[[", "]]", "systems", "1e9999"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 9), PIECES), max_size=6))
def test_no_file_is_too_broken_to_be_explained(
    tmp_path: Path, edits: list[tuple[int, int, str]]
) -> None:
    text = GOOD
    for start, removed, piece in edits:
        text = text[:start] + piece + text[start + removed :]
    path = tmp_path / "stockwright.toml"
    path.write_text(text, encoding="utf-8", newline="")
    for finding in lint(path):
        assert 1 <= finding.line <= text.count("\n") + 1
        assert finding.field
        assert finding.problem
        assert finding.fix


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (GOOD.replace('role = "wms"', '  rolle = "wms"'), 2, 3),
        (GOOD.replace('["MAIN"]', '["MAIN", "NONE"]'), 12, 17),
        (GOOD.replace('["EUROPE"]', "[ 7]"), 8, 12),
        (GOOD + "policies = [{ cap = 1 }, { buffr = 1 }]\n", 13, 28),
        (GOOD + "  [oddly]\n", 13, 3),
        (GOOD + "pool = = 3\n", 13, 8),
        (
            "[systems.A]\nrole = 'shop'\nconnector = 'json_http'\n[systems.A.settings]\n"
            "base_url = 'http://127.0.0.1:1'\nout = [{ kind = 'level', each = '$.a', fields = "
            "{ quantity = '@.n', listing = '{@.a}-{@.b}' } }]\n",
            6,
            69,
        ),
    ],
)
def test_a_finding_names_the_column_where_it_begins(
    tmp_path: Path, text: str, line: int, column: int
) -> None:
    path = tmp_path / "stockwright.toml"
    path.write_text(text, encoding="utf-8")
    assert (line, column) in [(one.line, one.column) for one in lint(path)]
    assert any(f":{line}:{column}: error: " in str(one) for one in lint(path))


@pytest.mark.parametrize(
    "setting",
    ["a" + ".a" * 20_000 + " = 1", "a = " + "{b=" * 60 + "1" + "}" * 60, "a = " + "[" * 300],
    ids=["a key without end", "tables in tables", "lists in lists"],
)
def test_settings_without_end_are_told_at_once(tmp_path, setting):
    path = tmp_path / "stockwright.toml"
    path.write_text(f"[systems.A]\nrole = 'shop'\n[systems.A.settings]\n{setting}\n")
    (finding,) = lint(path)
    assert finding.problem.startswith(("is nested too deeply", "is not TOML"))


def test_a_text_with_many_dots_is_no_key(tmp_path):
    path = tmp_path / "stockwright.toml"
    path.write_text("[systems.A]\nrole = 'shop'\nowner = 'so ......... " + "on. " * 99 + "'\n")
    assert [one.problem for one in lint(path) if "nested" in one.problem] == []
