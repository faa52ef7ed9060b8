"""The records of a pretended Tryton, and the questions it understands: domains, orders, fields."""

import datetime as dt
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

Record = dict[str, Any]
RELATIONS: Final[Mapping[str, str]] = {
    "product": "product.product",
    "default_uom": "product.uom",
    "from_location": "stock.location",
    "to_location": "stock.location",
    "parent": "stock.location",
    "company": "company.company",
    "currency": "currency.currency",
    "lot": "stock.lot",
}
"""Which model a field leads to; elsewhere a field of these names leads nowhere."""
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda found, wanted: found in wanted,
}


class NoField(Exception):
    """A question names a field that the model does not have."""


class Records:
    """Tables by the name of their model, each by number."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[int, Record]] = {}

    def add(self, model: str, **fields: Any) -> int:
        """A new record, and its number."""
        table = self.tables.setdefault(model, {})
        number = max(table, default=0) + 1
        table[number] = {"id": number, **fields}
        return number

    def search(
        self, model: str, domain: Sequence[Any], order: Iterable[Sequence[str]], limit: int
    ) -> list[Record]:
        """The records a domain finds, in their order, at most `limit`."""
        rows = [row for row in self.tables.get(model, {}).values() if self._fits(row, domain)]
        for name, way in reversed(list(order)):
            assert way == "ASC", "the connector asks for ascending orders only"
            rows.sort(key=lambda row: _sortable(self.value(row, name)))
        return rows[:limit]

    def told(self, model: str, row: Record, fields: Iterable[str], *, nested: bool) -> Record:
        """A record's fields as REST (nested) or JSON-RPC answers them."""
        found: Record = {"id": row["id"]}
        if nested:
            found["__name__"] = model
        below: dict[str, list[str]] = {}
        for field in fields:
            name, _, rest = field.partition(".")
            if rest:
                below.setdefault(name, []).append(rest)
            else:
                found[name] = written(self.value(row, name))
        for name, rest_of in below.items():
            target = self._target(row, name)
            part = self.told(RELATIONS[name], target, rest_of, nested=nested) if target else None
            found[name if nested else f"{name}."] = part
        return found

    def value(self, row: Record, path: str) -> Any:
        """What a path of fields leads to; None where a relation on it is empty."""
        name, _, rest = path.partition(".")
        if rest:
            target = self._target(row, name)
            return self.value(target, rest) if target else None
        if name not in row:
            raise NoField(name)
        return row[name]

    def _target(self, row: Record, name: str) -> Record | None:
        number = self.value(row, name)
        return self.tables[RELATIONS[name]][number] if number else None

    def _fits(self, row: Record, domain: Sequence[Any]) -> bool:
        if not domain:
            return True
        if domain[0] == "OR":
            return any(self._fits(row, one) for one in domain[1:])
        if isinstance(domain[0], str):
            name, how, wanted = domain
            found, wanted = self.value(row, name), read(wanted)
            if wanted is None or how in ("=", "!=", "in"):
                return _COMPARE[how](found, wanted)
            return found is not None and _COMPARE[how](found, wanted)
        return all(self._fits(row, one) for one in domain)


def written(value: Any) -> Any:
    """A value as Tryton writes it into JSON."""
    if isinstance(value, dt.datetime):
        names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        return {"__class__": "datetime", **{name: getattr(value, name) for name in names}}
    if isinstance(value, dt.date):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    return value


def read(value: Any) -> Any:
    """A value that Tryton reads from JSON."""
    if isinstance(value, dict) and "__class__" in value:
        parts = {name: part for name, part in value.items() if name != "__class__"}
        return (dt.datetime if value["__class__"] == "datetime" else dt.date)(**parts)
    return value


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)
