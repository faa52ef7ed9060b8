"""Whether the hub is at rest: nothing received is still on its way to the channels."""

from typing import Final, NamedTuple

from stockwright.store.connection import Connection
from stockwright.store.queries import load

_SQL: Final = load("rest")


class Waiting(NamedTuple):
    """What is on its way: payloads not mapped, marks not projected, levels not acknowledged."""

    payloads: bool
    marks: bool
    levels: bool

    @property
    def nothing(self) -> bool:
        """True where the hub is at rest."""
        return not any(self)


def waiting(connection: Connection) -> Waiting:
    """What is on its way through the hub now. Levels that a channel refused are not."""
    row = connection.execute(_SQL["waiting"]).fetchone()
    assert row is not None
    return Waiting(*row)
