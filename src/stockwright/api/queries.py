"""Reads the query of an address into its type."""

import typing
import urllib.parse
from functools import cache
from typing import Final

import msgspec

from stockwright.api.bodies import explain
from stockwright.api.problems import problem

MAX_VALUES: Final = 1_000


def read_query(kind: type[msgspec.Struct], raw: bytes) -> msgspec.Struct:
    """The query as its type has it; a name that holds a list may be given several times.

    Raises malformed with the name at fault, and bad_path where the text cannot be read.
    """
    lists = _list_fields(kind)
    told: dict[str, str | list[str]] = {}
    try:
        pairs = urllib.parse.parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_VALUES,
        )
        for name, value in pairs:
            if "\0" in value:
                raise problem("malformed", "A value holds a NUL character.", param=name)
            if name in lists:
                told.setdefault(name, []).append(value)  # type: ignore[union-attr]
            else:
                told[name] = value
        return msgspec.convert(told, kind, strict=False)
    except msgspec.ValidationError as failure:
        raise explain(failure, kind.__struct_fields__) from None
    except ValueError:
        raise problem("bad_path", "The query is not percent-encoded UTF-8.") from None


@cache
def _list_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    hints = typing.get_type_hints(kind)
    return frozenset(n for n in kind.__struct_fields__ if typing.get_origin(hints[n]) is list)
