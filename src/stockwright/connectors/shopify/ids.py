"""The shop's global ids: gid://shopify/Kind/NUMBER. We speak of numbers, it speaks of these."""

import re
from typing import Any, Final

_GID: Final = re.compile(r"gid://shopify/\w+/(\d{1,19})(?:\?.*)?")


def gid(kind: str, number: str) -> str:
    """The global id of a number; a global id stays as it is."""
    return number if number.startswith("gid://") else f"gid://shopify/{kind}/{number}"


def number_of(found: Any) -> str:
    """The number of a global id, or of a number as webhooks write it; '' where it is neither."""
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found) if 0 < found < 10**19 else ""
    if isinstance(found, str):
        match = _GID.fullmatch(found)
        if match:
            return match.group(1)
    return ""
