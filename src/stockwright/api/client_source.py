"""Writes the typed client from the route table: its types, and a method for each operation.

`python -m stockwright.api.client_source` writes `stockwright/client/{types,operations,
blocking_operations}.py` into the working copy. Types that the domain defines are imported from
there; those of the server's own floors are written out, so that the client needs none of them.
"""

import subprocess
import sys
import textwrap
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from msgspec.structs import FieldInfo, fields

from stockwright.api.client_types import HEAD, Types, default_of, types_source
from stockwright.api.operations import Operation
from stockwright.api.paging import Page
from stockwright.api.routes import TABLE
from stockwright.api.streaming import NDJSON

CLIENT: Final = Path(__file__).parents[1] / "client"


class Method:
    """One operation as a method: its arguments, what it answers, and how it calls."""

    def __init__(self, types: Types, row: Operation) -> None:
        self.row = row
        self._types = types
        self.parts = _parts_of(row.path)
        self.filters = list(fields(row.query)) if row.query is not None else []

    def name_of(self, kind: Any) -> str:
        """A type as the methods name it."""
        return self._types.name(kind, "types.")

    @property
    def answer(self) -> str:
        """The type of the answer."""
        kinds = list(dict.fromkeys(self.row.answers.values()))
        return " | ".join("bytes" if kind is None else self.name_of(kind) for kind in kinds)

    @property
    def item(self) -> str:
        """The type of one item where the answer is a page of a list; else ''."""
        kind = self.row.answers.get(200)
        if get_origin(kind) is Page:
            return self.name_of(get_args(kind)[0])
        names = getattr(kind, "__struct_fields__", ())
        if self.row.method == "GET" and "items" in names and "next_cursor" in names:
            hints = typing.get_type_hints(kind)
            return self.name_of(get_args(hints["items"])[0])
        return ""

    def arguments(self, *, paged: bool = False, call: bool = True) -> str:
        """The parameters of the method, `self` first."""
        told = ["self", *(_part(part) for part in self.parts)]
        row, named = self.row, []
        if call and row.body is not None:
            told.append(f"body: {'bytes' if row.body is bytes else self.name_of(row.body)}")
            if len(row.media) > 1 and row.body is bytes:
                named.append(f"media: Literal[{', '.join(map(repr, row.media))}]")
        named += [
            f"{one.name}: {self._filter(one)}"
            for one in self.filters
            if not (paged and one.name == "cursor")
        ]
        if call and not row.answers.get(200) and len(row.produces) > 1:
            medias = list(row.produces)
            named.append(f"accept: Literal[{', '.join(map(repr, medias))}] = {medias[0]!r}")
        if call and (row.stored or row.own_key):
            named.append("idempotency_key: str | None = None")
        if call and row.reasoned:
            named.append('change_reason: str = ""')
        if call and self.signed:
            named.append("headers: Mapping[str, str]")
        return ", ".join(told + (["*", *named] if named else []))

    def _filter(self, one: FieldInfo) -> str:
        kind, default = self.name_of(one.type), default_of(one)
        if kind.startswith("list["):
            return f"Sequence[{kind[5:-1]}] = ()"
        return kind + default

    def passed(self, *, paged: bool = False) -> str:
        """The arguments as the blocking method hands them on."""
        told = [_argument(part) for part in self.parts]
        row = self.row
        if row.body is not None:
            told.append("body")
            if len(row.media) > 1 and row.body is bytes:
                told.append("media=media")
        told += [
            f"{one.name}={one.name}" for one in self.filters if not (paged and one.name == "cursor")
        ]
        if not row.answers.get(200) and len(row.produces) > 1 and not paged:
            told.append("accept=accept")
        if row.stored or row.own_key:
            told.append("idempotency_key=idempotency_key")
        if row.reasoned:
            told.append("change_reason=change_reason")
        if self.signed:
            told.append("headers=headers")
        return ", ".join(told)

    @property
    def signed(self) -> bool:
        """Whether the call is proven by headers of its own instead of a key."""
        return self.row.method == "POST" and not self.row.scope

    @property
    def where(self) -> str:
        """The keywords of a call that say where it goes."""
        told = []
        if self.parts:
            told.append(f"parts=[{', '.join(map(_argument, self.parts))}]")
        if self.filters:
            pairs = ", ".join(f"{one.name!r}: {one.name}" for one in self.filters)
            told.append(f"query={{{pairs}}}")
        return "".join(f", {one}" for one in told)

    @property
    def address(self) -> str:
        """The path, its parts to be filled in by their order."""
        path = self.row.path
        for part in self.parts:
            path = path.replace(f"{{{part}}}", "{}")
        return repr(path)

    def source(self) -> str:
        """The async method, and its like for pages and streams."""
        row = self.row
        call = [repr(row.method), self.address, self._answers()]
        told = "".join(f"{one}, " for one in call).removesuffix(", ") + self.where
        if row.body is bytes:
            media = "media" if len(row.media) > 1 else repr(row.media[0])
            told += f", raw=body, media={media}"
        elif row.body is not None:
            told += ", body=body"
        if not row.answers.get(200) and len(row.produces) > 1:
            told += ", accept=accept"
        if row.stored or row.own_key:
            told += ", key=idempotency_key, keyed=True"
        if row.reasoned:
            told += ', more={"change-reason": change_reason}'
        if self.signed:
            told += ", more=headers, safe=False"
        text = (
            f"async def {row.name}({self.arguments()}) -> {self.answer}:\n"
            f"{_summary(row.summary)}"
            f"    answer: {self.answer} = await self._call({told})\n"
            "    return answer\n"
        )
        return text + self._items() + self._lines()

    def _answers(self) -> str:
        pairs = ", ".join(
            f"{status}: {'None' if kind is None else self.name_of(kind)}"
            for status, kind in self.row.answers.items()
        )
        return f"{{{pairs}}}"

    def _items(self) -> str:
        if not self.item:
            return ""
        filters = self.passed(paged=True)
        handed = f"{filters}, cursor=cursor" if filters else "cursor=cursor"
        return (
            f"\nasync def {self.row.name}_items({self.arguments(paged=True)})"
            f" -> AsyncIterator[{self.item}]:\n"
            f'    """The items of `{self.row.name}`, page after page."""\n'
            '    cursor: str | None = ""\n'
            "    while cursor is not None:\n"
            f"        page = await self.{self.row.name}({handed})\n"
            "        for item in page.items:\n"
            "            yield item\n"
            "        cursor = page.next_cursor\n"
        )

    def _lines(self) -> str:
        kind = self.row.produces.get(NDJSON)
        if NDJSON not in self.row.produces:
            return ""
        name, head = self.row.name, self.arguments(call=False)
        medias = ", ".join(repr(media) for media in self.row.produces)
        told = (
            f"\nasync def {name}_parts({head}{', ' if '*' in head else ', *, '}"
            f"accept: Literal[{medias}] = {NDJSON!r}) -> AsyncIterator[bytes]:\n"
            f'    """The whole of `{name}` as it comes, piece by piece."""\n'
            f"    async for part in self._parts({self.address}, accept{self.where}):\n"
            "        yield part\n"
        )
        if kind is None:
            return told
        return told + (
            f"\nasync def {name}_lines({head}) -> AsyncIterator[{self.name_of(kind)}]:\n"
            f'    """The whole of `{name}`, row by row, in one stream."""\n'
            f"    async for row in self._lines({self.address}, {self.name_of(kind)}{self.where}):\n"
            "        yield row\n"
        )

    def blocking(self) -> str:
        """The same methods without `await`."""
        row = self.row
        text = (
            f"def {row.name}({self.arguments()}) -> {self.answer}:\n"
            f"{_summary(row.summary)}"
            f"    return self._run(self._client.{row.name}({self.passed()}))\n"
        )
        if self.item:
            text += (
                f"\ndef {row.name}_items({self.arguments(paged=True)}) -> Iterator[{self.item}]:\n"
                f'    """The items of `{row.name}`, page after page."""\n'
                f"    return self._each(self._client.{row.name}_items({self.passed(paged=True)}))\n"
            )
        kind = row.produces.get(NDJSON)
        if kind is not None:
            text += (
                f"\ndef {row.name}_lines({self.arguments(call=False)})"
                f" -> Iterator[{self.name_of(kind)}]:\n"
                f'    """The whole of `{row.name}`, row by row, in one stream."""\n'
                f"    return self._each(self._client.{row.name}_lines({self.passed()}))\n"
            )
        return text


def _argument(part: str) -> str:
    """A part of an address as an argument; one name would hide a builtin."""
    return "number" if part == "id" else part


def _part(part: str) -> str:
    return "number: int" if part == "id" else f"{part}: str"


def _summary(text: str) -> str:
    """A docstring, indented by four, in as many lines as it needs."""
    lines = textwrap.wrap(text, 84)
    told = "\n    ".join(lines)
    return f'    """{told}"""\n' if len(lines) == 1 else f'    """{told}\n    """\n'


def _parts_of(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def operations_source(table: Sequence[Operation]) -> str:
    """`operations.py`: one async method for each operation."""
    types = Types()
    methods = [Method(types, row).source() for row in table]
    about = "Every operation of the API as a method."
    head = (
        HEAD.format(about=about)
        + "import datetime as dt\nfrom collections.abc import AsyncIterator, Mapping, Sequence\n"
        "from decimal import Decimal\nfrom typing import Any, Literal\n\n"
        + "".join(f"from {m} import {n}\n" for n, m in sorted(types.imported.items()))
        + "from stockwright.client import types\n"
        "from stockwright.client.transport import Transport\n\n\n"
        'class Operations(Transport):\n    """One method for each row of the route table."""\n\n'
    )
    return head + _indented(methods)


def blocking_source(table: Sequence[Operation]) -> str:
    """`blocking_operations.py`: the same methods without `await`."""
    types = Types()
    methods = [Method(types, row).blocking() for row in table]
    about = "Every operation of the API as a method that waits for its answer."
    head = (
        HEAD.format(about=about)
        + "import datetime as dt\nfrom collections.abc import AsyncIterator, Coroutine, Iterator, "
        "Mapping, Sequence\nfrom decimal import Decimal\n"
        "from typing import Any, Literal, TypeVar\n\n"
        + "".join(f"from {m} import {n}\n" for n, m in sorted(types.imported.items()))
        + "from stockwright.client import types\n"
        'from stockwright.client.client import Client\n\nT = TypeVar("T")\n\n\n'
        'class BlockingOperations:\n    """One method for each row of the route table."""\n\n'
        "    _client: Client\n\n"
        "    def _run(self, call: Coroutine[Any, Any, T]) -> T:\n"
        "        raise NotImplementedError\n\n"
        "    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:\n"
        "        raise NotImplementedError\n\n"
    )
    return head + _indented(methods)


def _indented(methods: Sequence[str]) -> str:
    lines = "\n".join(methods).splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines) + "\n"


def formatted(source: str) -> str:
    """The source as `make format` leaves it."""
    for command in (["check", "--fix-only", "--quiet", "--select=F401,I"], ["format"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename=src/stockwright/client/x.py",
             "-"],
            input=source, capture_output=True, text=True, check=True, cwd=CLIENT.parents[2],
        )  # fmt: skip
        source = done.stdout
    return source


SOURCES: Final = {
    "types.py": types_source,
    "operations.py": operations_source,
    "blocking_operations.py": blocking_source,
}
"""The generated files of the client, and what writes each."""


def main() -> None:
    """Writes the generated files of the client."""
    for name, source in SOURCES.items():
        (CLIENT / name).write_text(formatted(source(TABLE)), encoding="utf-8")


if __name__ == "__main__":
    main()
