"""The first stockwright.toml: every setting with its meaning, all of it commented out.

A line of prose begins with '# ', a setting that can be switched on with '#' alone.
"""

from collections.abc import Mapping
from itertools import groupby
from textwrap import wrap
from typing import Final

from stockwright.config.describe import Setting, settings

_HEAD: Final = """\
# Stockwright's configuration. It is read at start; `stockwright lint` checks it at any time.
#
# To switch a setting on, remove the '#' before it. Settings that stay commented have the value
# shown after "default". Secrets never stand in this file: write env:NAME or file:PATH.

"""

_INTRODUCTIONS: Final[Mapping[str, str]] = {
    "[server]": "Where the API and the console are served.",
    "[database]": "The database. Without any setting Stockwright runs its own PostgreSQL.\n"
    "# The environment variable STOCKWRIGHT_DATABASE_URL overrides this table.",
    "[api_log]": "What is kept of calls to the API, for the console's API log.",
    "[subscriptions]": "Where the webhooks of subscriptions may go.",
    "[connections]": "What connections made over the API or in the console may name on this "
    "machine.\n# They name no file and no folder of it otherwise, and no other variable.",
    "[systems.CODE]": "One table for each partner system, under the code you give it.",
    "[locations.CODE]": "One table for each place that holds goods.",
    "[[locations.CODE.authority]]": "Whose word counts for which movements at this location. "
    "The others' are observed.",
    "[channels.CODE]": "One table for each channel that sells.",
    "[[channels.CODE.policies]]": "What the channel shows of its pool, in base units. "
    "The first policy that matches applies.",
    "": "",
}
_EXAMPLE_CODES: Final[Mapping[str, str]] = {
    "systems": "WMS",
    "locations": "MAIN",
    "channels": "WEB",
}
_EXAMPLES: Final[Mapping[str, str]] = {
    "[server].host": '"127.0.0.1"',
    "[server].port": "8080",
    "[server].base": '"https://stock.example.com"',
    "[server].trusted_proxies": '["10.0.0.0/24"]',
    "[database].url": '"env:STOCKWRIGHT_DATABASE_URL"',
    "[database].data_dir": '"stockwright-data"',
    "[subscriptions].allowed_networks": '["10.20.0.0/16"]',
    "[subscriptions].patience_hours": "24",
    "[connections].secret_folders": '["/etc/stockwright/secrets"]',
    "[connections].secret_variables": '["STOCKWRIGHT_SECRET_*"]',
    "[connections].exchange_folders": '["/srv/stockwright"]',
    "[systems.CODE].role": '"wms"',
    "[systems.CODE].owner": '"warehouse team"',
    "[systems.CODE].latency_budget_s": "5",
    "[systems.CODE].criticality": '"high"',
    "[systems.CODE].clock_error_s": "2",
    "[systems.CODE].heartbeat_s": "60",
    "[systems.CODE].time_zone": '"Europe/Berlin"',
    "[systems.CODE].connector": '""',
    "[systems.CODE].settings": '{ url = "https://wms.example.com", token = "env:WMS_TOKEN" }',
    "[locations.CODE].name": '"Main warehouse"',
    "[locations.CODE].time_zone": '"Europe/Berlin"',
    "[locations.CODE].groups": '["EUROPE"]',
    "[[locations.CODE.authority]].group": '"outbound"',
    "[[locations.CODE.authority]].system": '"WMS"',
    "[[locations.CODE.authority]].from": "2026-01-01T00:00:00Z",
    "[channels.CODE].system": '"WMS"',
    "[channels.CODE].pool": '["EUROPE"]',
    "[[channels.CODE.policies]].sku": '"10002"',
    "[[channels.CODE.policies]].sku_group": '"GIFTS"',
    "[[channels.CODE.policies]].safety": "2",
    "[[channels.CODE.policies]].ring_fence": "5",
    "[[channels.CODE.policies]].buffer_percent": "5",
    "[[channels.CODE.policies]].buffer_risk": "0.01",
    "[[channels.CODE.policies]].buffer_most": "50",
    "[[channels.CODE.policies]].buffer_most_percent": "25",
    "[[channels.CODE.policies]].degraded_cap": "20",
    "[[channels.CODE.policies]].cap": "500",
    "imported_places": '["STORES"]',
}
# Written as tables of their own further down.
_NESTED: Final = ("[locations.CODE].authority", "[channels.CODE].policies")
# Two ways of one choice: the second stays prose, so that switching all on still lints clean.
_ALTERNATIVES: Final = ("[database].data_dir",)


def template() -> str:
    """The text of a first configuration file; it lints clean as it is and with all switched on."""
    ordered = sorted(settings(), key=lambda setting: setting.table != "")
    parts = [
        _table(table, list(group)) for table, group in groupby(ordered, lambda each: each.table)
    ]
    return _HEAD + "\n".join(parts)


def _table(table: str, group: list[Setting]) -> str:
    lines = [f"# {_INTRODUCTIONS[table]}"] if _INTRODUCTIONS[table] else []
    if table:
        lines.append("#" + _with_example_code(table))
    for setting in group:
        key = f"{table}.{setting.name}" if table else setting.name
        if key in _NESTED:
            continue
        default = f"; default {setting.default}" if setting.default else "; required"
        lines += wrap(
            f"{setting.what} ({setting.allowed}{default})",
            width=100,
            initial_indent="# ",
            subsequent_indent="#   ",
        )
        value = _EXAMPLES.get(key, setting.default)
        space = " " if key in _ALTERNATIVES else ""
        lines.append(f"#{space}{setting.name} = {value}")
    return "\n".join(lines) + "\n"


def _with_example_code(table: str) -> str:
    family = table.strip("[]").split(".")[0]
    return table.replace("CODE", _EXAMPLE_CODES.get(family, ""))
