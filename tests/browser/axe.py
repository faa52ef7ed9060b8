"""What axe-core, the rules that browsers' own inspectors use, finds wrong with a page."""

import importlib
from functools import cache
from typing import Any

import pytest

GRAVE = ("serious", "critical")
MISSING = "axe-core is not installed. Run the browser tests by: make browser-test"


@cache
def script() -> str:
    """axe-core's own code."""
    try:
        # By name: it comes with the browser's driver, and is no dependency of the type checks.
        base = importlib.import_module("axe_playwright_python.base")
    except ModuleNotFoundError:
        pytest.fail(MISSING, pytrace=False)
    return str(base.AXE_SCRIPT)


def findings(page: Any) -> list[str]:
    """Each grave finding on the page as it is: rule, place, and what axe says of it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(script())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}) at {' '.join(map(str, node['target']))}: "
        f"{node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]
