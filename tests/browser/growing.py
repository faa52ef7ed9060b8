"""A database as it is after years: five million entries, and lists as long as they get."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg

ENTRIES = 5_000_000
EVENTS = ENTRIES // 2
CHUNK = 250_000
HOT = "S-HOT"
"""One SKU that each 25th event touches, and that five channels sell."""
HOT_EVERY = 25
_AT = f"now() - make_interval(secs => {EVENTS} - n)"
SYSTEM = "(array['erp', 'wms', 'webshop', 'b2b', 'market-a'])[1 + n %% 5]"

_ONCE = (
    "select make_ledger_partitions_v1(3000000)",
    "insert into system (code, role)"
    " select unnest(array['erp', 'wms', 'webshop', 'b2b', 'market-a']), 'shop'",
    "update system set connector = 'json_http' where code = 'wms'",
    "insert into location (code) values ('LON')",
    "insert into channel (code, system, pool) values ('web', 'webshop', '{LON}')",
    "insert into sku (code, description) select 'S-' || lpad(n::text, 6, '0'), 'Article ' || n"
    " from generate_series(1, 100000) n",
    f"insert into sku (code, description) values ('{HOT}', 'What everybody buys')",
    "insert into channel (code, system, pool)"
    " select 'c' || n, 'webshop', '{LON}' from generate_series(1, 5) n",
    f"insert into listing (channel, code) select 'c' || n, '{HOT}' from generate_series(1, 5) n",
    f"insert into listing_component select 'c' || n, '{HOT}', '{HOT}', 1"
    " from generate_series(1, 5) n",
    f"insert into balance (sku, location, sellable, reserved) values ('{HOT}', 'LON', 300000,"
    f" {2 * EVENTS // HOT_EVERY})",
    # What is rules and master data here has been so for longer than the oldest event.
    f"update revision set at = now() - make_interval(secs => {2 * EVENTS})",
)
# Two entries an event, two events an order line. Entries are half of the work: two connections
# that know nothing of each other share it.
_ENTRIES = (
    f"insert into entry select n, k, case when n %% {HOT_EVERY} = 0 and k = 1 then '{HOT}'"
    " else 'S-' || lpad((1 + (n * 7 + k) %% 100000)::text, 6, '0') end, '',"
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
    f"insert into batch select n, n - {HOT_EVERY - 1}, {_AT}"
    f" from generate_series(%(a)s, %(b)s) n where n %% {HOT_EVERY} = 0",
    # Each second event of the hot SKU changed what the channels were to show, and they took it.
    "insert into level_change (channel, listing, location, sequence, since_sequence, version,"
    f" value, projected_at, rules, after_sequence) select 'c' || c, '{HOT}', '', n, n - 1, n,"
    f" 300000 - n / 25, {_AT} + interval '1 s', 0, n"
    " from generate_series(%(a)s, %(b)s) n, generate_series(1, 5) c"
    f" where n %% {2 * HOT_EVERY} = 0",
    "insert into attempt select n, c, 'c' || c, "
    f"'{HOT}', '', n, 300000 - n / 25, {_AT} + interval '1 s', {_AT} + interval '9 s',"
    f" {_AT} + interval '9 s', {_AT} + interval '2 s', 'acknowledged', ''"
    " from generate_series(%(a)s, %(b)s) n, generate_series(1, 5) c"
    f" where n %% {2 * HOT_EVERY} = 0",
    "insert into level_seen select 'c' || c, "
    f"'{HOT}', '', {_AT} + interval '5 s', {_AT} + interval '5 s', 300000 - n / 25"
    " from generate_series(%(a)s, %(b)s) n, generate_series(1, 5) c"
    f" where n %% {2 * HOT_EVERY} = 0",
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
    f"insert into level (channel, listing, desired, version, sequence, projected_at, acknowledged,"
    " acknowledged_version, acknowledged_at, state, lane, due_at, waiting_since)"
    f" select 'c' || c, '{HOT}', 200000, {EVENTS}, {EVENTS}, now(), 200000, {EVENTS}, now(),"
    " 'settled', 'increase', now(), now() from generate_series(1, 5) c",
    # Two systems count it every hour; the events that were requests are told as such counts.
    "update event set kind = 'snapshot', outcome = 'observed', body = json_build_object('kind',"
    f" 'snapshot', 'document', 'N', 'quantity', 200000, 'sku', '{HOT}', 'location', 'LON'),"
    ' answer = \'{"answer": {"difference": -3}}\' where sequence % 2000 in (5, 6)',
    "insert into subscription (name, via, url, batch, created_by) select 'c' || n, 'webhook',"
    " 'https://consumer.example/in', 100, 'user ada' from generate_series(1, 200) n",
    "insert into subscription_progress (subscription, sequence, place, failures, failing_since,"
    " last_error) select id, 1000, 0, 3, now(), 'it answered 503' from subscription",
    "insert into subscription_secret (subscription, secret) select id, '-' from subscription",
    "insert into subscription_attempt (subscription, took_ms, changes, outcome, error)"
    " select id, 1500, 100, 'failed', 'it answered 503' from subscription, generate_series(1, 100)",
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
