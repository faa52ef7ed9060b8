"""The yardstick of every measurement: a stored procedure that writes the same rows, by pgbench.

Everything happens in a scratch database made for the purpose and dropped afterwards.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal
from urllib.parse import urlsplit
from uuid import uuid4

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stockwright.domain.errors import Transient
from stockwright.store.connection import connect
from stockwright.store.migrate import migrate
from stockwright.store.programs import binary
from stockwright.store.queries import load

Call = Literal["reserve", "receipt"]

CLIENTS: Final = 32
THREADS: Final = 2
SYSTEM: Final = "bench"
PLACE: Final = "MAIN"
GROW_STEP: Final = 100_000
_RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)

# Bodies as long as the product's, with a constant in place of the caller's key.
_BODIES: Final[dict[Call, str]] = {
    "reserve": '{"kind":"reserve","document":"00-00-000000","system":"bench",'
    '"lines":[{"sku":"SKU-000000","quantity":1,"location":"MAIN"}]}',
    "receipt": '{"kind":"receipt","document":"00-00-000000","quantity":1,"system":"bench",'
    '"sku":"SKU-000000","location":"MAIN"}',
}


class MeasurementFailed(Transient):
    """A measurement could not be taken to its end."""


def code_of(item: int) -> str:
    """Code of the n-th SKU of a measurement."""
    return f"SKU-{item:06}"


@contextmanager
def scratch_database(url: str, *, items: int = 10_000, stock: int = 10**9) -> Iterator[str]:
    """A migrated database beside the one at `url`, with stock and the procedures; then dropped.

    Needs the right to create databases there. Raises what `connect` and `migrate` raise.
    """
    name = f"stockwright_bench_{uuid4().hex[:8]}"
    scratch = _beside(url, name)
    with connect(url, autocommit=True, statement_timeout_s=0) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            migrate(scratch)
            prepare(scratch, items, stock)
            yield scratch
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _beside(url: str, database: str) -> str:
    """The address of another database on the same server, in the form the first one has."""
    if "://" not in url:
        return make_conninfo(url, dbname=database)
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def prepare(url: str, items: int, stock: int) -> None:
    """Item master, opening stock and procedures, in a migrated database without any row."""
    queries = load("baseline")
    with connect(url, autocommit=True, statement_timeout_s=0) as connection:
        for name in ("numbers", "partitions", "reserve", "receipt"):
            connection.execute(queries[name])
        connection.execute(queries["master"], {"items": items})
        connection.execute(queries["opening_stock"], {"stock": stock})
        # Not the empty tables: a plan made for no rows at all would serve both sides badly.
        connection.execute("VACUUM ANALYZE sku, balance, entry")


def grow(url: str, entries: int, items: int, advance: Callable[[int], None]) -> None:
    """Gives a prepared database a past of `entries` ledger entries that stands every audit."""
    query = load("baseline")["grow"]
    with connect(url, autocommit=True, statement_timeout_s=0) as connection:
        # The rows refer to each other by construction; checking each would take most of the time.
        connection.execute("SET session_replication_role = replica")
        for done in range(0, entries, GROW_STEP):
            step = min(GROW_STEP, entries - done)
            connection.execute(query, {"reservations": step, "items": items})
            advance(step)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def calls_per_s(url: str, call: Call, *, items: int, seconds: int) -> float:
    """Calls a second of the procedure by 32 clients, over `items` SKUs at random.

    Raises MeasurementFailed where pgbench does not get to its end.
    """
    address = conninfo_to_dict(url)
    # Not among the arguments, where every account of the machine could read it.
    password = {"PGPASSWORD": str(address.pop("password"))} if address.get("password") else {}
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_script(call))
        script.flush()
        command: list[str] = [
            *(
                str(binary("pgbench")),
                "--no-vacuum",
                "--protocol=prepared",
                f"--file={script.name}",
            ),
            *(f"--client={CLIENTS}", f"--jobs={THREADS}", f"--time={seconds}"),
            *("-D", f"items={items}", "-D", "n=0", "-D", f"turn={uuid4().hex[:8]}"),
            make_conninfo("", **address),
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 60,
            env={**os.environ, **password},
        )
    rate = _RATE.search(done.stdout)
    if done.returncode or rate is None:
        raise MeasurementFailed(f"pgbench failed: {done.stderr.strip()[:500]}")
    return float(rate[1])


def _script(call: Call) -> str:
    return (
        "\\set n :n + 1\n"
        "\\set item random(0, :items - 1)\n"
        f"select proc_{call}_v1('{SYSTEM}', :turn || '-' || :client_id || '-' || :n, "
        f"'SKU-' || lpad((:item)::text, 6, '0'), '{PLACE}', 1, '{_BODIES[call]}');\n"
    )
