"""A database as it is after years: five million entries, and lists as long as they get."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg

ENTRIES = 5_000_000
EVENTS = ENTRIES // 2
CHUNK = 250_000
SYSTEM = "(array['erp', 'wms', 'webshop', 'b2b', 'market-a'])[1 + n %% 5]"

_ONCE = (
    "select make_ledger_partitions_v1(3000000)",
    "insert into system (code, role)"
    " select unnest(array['erp', 'wms', 'webshop', 'b2b', 'market-a']), 'shop'",
    "insert into location (code) values ('LON')",
    "insert into channel (code, system, pool) values ('web', 'webshop', '{LON}')",
    "insert into sku (code, description) select 'S-' || lpad(n::text, 6, '0'), 'Article ' || n"
    " from generate_series(1, 100000) n",
)
# Two entries an event, two events an order line. Entries are half of the work: two connections
# that know nothing of each other share it.
_ENTRIES = (
    "insert into entry select n, k, 'S-' || lpad((1 + (n * 7 + k) %% 100000)::text, 6, '0'), '',"
    " 'unclaimed', 'LON', 'reserved', 'LON', 2, now(), n / 2, null, null"
    " from generate_series(%(a)s, %(b)s) n, generate_series(1, 2) k",
)
_REST = (
    f"insert into event select n, 'reserve', {SYSTEM}, now() - make_interval(secs => {EVENTS} - n),"
    f" now(), now() - make_interval(secs => {EVENTS} - n), null, 'granted', json_build_object("
    " 'kind', 'reserve', 'document', 'D-' || n, 'order', 'W-' || n / 2), null"
    " from generate_series(%(a)s, %(b)s) n",
    f"insert into identity select {SYSTEM} || '|D-' || n || '|1|reserve|0',"
    " decode(md5(n::text), 'hex'), n, 'granted' from generate_series(%(a)s, %(b)s) n",
    "insert into demand_line (id, system, order_ref, line, sku, channel, ordered, state,"
    f" transitions) select n, {SYSTEM}, 'W-' || n, '1',"
    " 'S-' || lpad((1 + n %% 100000)::text, 6, '0'), 'web', 2,"
    " case when n %% 50000 = 0 then 'open' else 'fulfilled' end, 1"
    " from generate_series(%(a)s / 2 + 1, %(b)s / 2) n on conflict do nothing",
    "insert into transition select n / 2, n %% 2, 'open', n from generate_series(%(a)s, %(b)s) n"
    " on conflict do nothing",
)
_LISTS = (
    "insert into work_item (kind, subject, system, closed_at, detail) select 'shortage', 's' || n,"
    " 'erp', case when n % 10 > 0 then now() end, '{\"free\": -3}'"
    " from generate_series(1, 200000) n",
    "insert into payload (system, door, body, state, path, reason, missing) select 'erp', 'poll',"
    " '{}', case when n % 100 = 0 then 'parked' else 'recorded' end, '$.x', 'not bound yet ' || n,"
    " 'item:A-' || n % 50 from generate_series(1, 1000000) n",
    "insert into change_log (actor, action, subject) select 'cli', 'skus.put', 'S-' || n % 1000"
    " from generate_series(1, 300000) n",
    "insert into api_call (request_id, at, kept, method, route, address, status, caller, took_ms,"
    " bytes_in, bytes_out, items, refused, code) select 'r-' || n,"
    " now() - make_interval(secs => 100000 - n), (array['refused', 'slow', 'sample'])[1 + n % 3],"
    " 'POST', '/v1/reservations', '/v1/reservations', 200, 'key ' || n % 7, n % 900, 120, 240, 1,"
    " (n % 3 = 0)::int, '' from generate_series(1, 100000) n",
    "insert into level (channel, listing, desired, version, sequence, projected_at, state, lane,"
    " due_at, waiting_since) select 'web', code, 4, 1, 1, now(), 'settled', 'increase', now(),"
    " now() from sku",
    f"update ledger_head set sequence = {EVENTS}",
    "vacuum analyze",
)


def grow(url: str) -> None:
    """Fills a database with all migrations; takes about a minute and a half."""
    _run(url, _ONCE)
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda statements: _insert(url, statements), (_ENTRIES, _REST)))
    _run(url, _LISTS)


def _run(url: str, statements: Sequence[str]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _insert(url: str, statements: Sequence[str]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(1, EVENTS, CHUNK):
            given = {"a": first, "b": first + CHUNK - 1}
            for statement in statements:
                with connection.transaction(), psycopg.ClientCursor(connection) as cursor:
                    cursor.execute(statement.encode(), given)
