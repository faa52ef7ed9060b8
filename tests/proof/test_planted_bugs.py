"""Bugs planted one at a time: the scenario that guards against each must fail, and only then.

A plant patches the product for one test; the product knows nothing of it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
import pytest

from stockwright.domain import counts, demand, ledger, levels, reservations, reserving
from stockwright.domain.books import Books, Overlay
from stockwright.domain.watermark import Gate
from stockwright.flow import calls, order_gate
from stockwright.store.handed_in import BatchInterrupted, BatchRefused
from stockwright.store.ledger import Ledger
from stockwright.store.queries import load
from tests.proof import races, rules, sending

Patch = pytest.MonkeyPatch


class Plant(NamedTuple):
    """A bug: how it is planted, what must notice it, and how that fails."""

    plant: Callable[..., None]
    scenario: Callable[..., None]
    failure: type[Exception] | tuple[type[Exception], ...] = AssertionError

    @property
    def name(self) -> str:
        return self.plant.__name__


# ------------------------------------------------------------ in the rules


def count_applied_without_as_of(patch: Patch) -> None:
    def now_instead(overlay, key, bucket, counted, as_of, item_key):
        balance = overlay.look(key)
        return counted - (getattr(balance, bucket) if balance else 0), False

    patch.setattr(counts, "book_difference", now_instead)


def late_fact_added_to_the_count_that_had_seen_it(patch: Patch) -> None:
    patch.setattr(counts, "_reverse", lambda *_: None)


def per_item_overlay_merged_early(patch: Patch) -> None:
    def in_the_books(self, key):
        found = self.balance_before(key)
        self.books.balances[key] = found
        return found

    patch.setattr(Overlay, "balance_before", Overlay.balance, raising=False)
    patch.setattr(Overlay, "balance", in_the_books)


def buffer_applied_to_a_request(patch: Patch) -> None:
    real = reserving.grantable_now

    def less_the_buffer(overlay, channel, sku, free):
        return real(overlay, channel, sku, free) - sum(one.buffer for one in channel.policies)

    patch.setattr(reserving, "grantable_now", less_the_buffer)


def expired_hold_confirmed_blindly(patch: Patch) -> None:
    patch.setattr(reservations, "_regrant", lambda overlay, line: None)


def other_content_taken_for_the_same(patch: Patch) -> None:
    patch.setattr(ledger, "_answer_again", lambda prepared, known, books, decision: known[1])


def shipment_leaves_its_own_claim_standing(patch: Patch) -> None:
    patch.setattr(demand, "draw", lambda *_: 0)
    patch.setattr(demand, "trim", lambda *_: 0)


IN_THE_RULES = [
    Plant(count_applied_without_as_of, rules.a_count_holds_as_of_its_time),
    Plant(late_fact_added_to_the_count_that_had_seen_it, rules.what_a_count_has_seen_counts_once),
    Plant(per_item_overlay_merged_early, rules.a_failing_item_leaves_its_neighbours_alone),
    Plant(buffer_applied_to_a_request, rules.a_buffer_hides_stock_and_refuses_nobody),
    Plant(expired_hold_confirmed_blindly, rules.a_confirm_after_expiry_needs_stock_again),
    Plant(other_content_taken_for_the_same, rules.other_content_under_the_same_name_is_a_conflict),
    Plant(shipment_leaves_its_own_claim_standing, rules.a_shipment_draws_the_claim_of_its_own_line),
]


# ------------------------------------------------------------ in store and flow


def planted_sql(patch: Patch, **statements: str) -> None:
    """Other statements in the place of the ledger's own."""
    for name, statement in statements.items():
        assert load("ledger")[name] != statement, f"{name} is not what the plant was made for"
        patch.setitem(load("ledger")._sql, name, statement)


class Forgetful(dict[Any, Any]):
    """A dictionary that finds nothing."""

    def get(self, key: Any, default: Any = None) -> Any:
        return default


def no_dedupe(patch: Patch, url: str) -> None:
    real = Books.__init__

    def begin(self, *arguments):
        real(self, *arguments)
        self.identities = Forgetful()

    patch.setattr(Books, "__init__", begin)
    history = load("ledger")["insert_history"]
    kept_once = history.replace("x (k, h, s, o)", "x (k, h, s, o) on conflict do nothing")
    planted_sql(patch, insert_history=kept_once)


def check_then_write(patch: Patch, url: str) -> None:
    def as_it_was_read(self, sku, location):
        return self.books.free_before.get((sku, location), 0)

    patch.setattr(Overlay, "free", as_it_was_read)


def per_line_check_inside_a_batch(patch: Patch, url: str) -> None:
    def without_the_lines_before(self, sku, location):
        found = self.books.balances.get((sku, location, ""))
        return found.free if found else 0

    patch.setattr(Overlay, "free", without_the_lines_before)


def double_close_of_a_reservation(patch: Patch, url: str) -> None:
    real = reservations.release

    def give_back_again(overlay, request):
        before = [line.state for line in overlay.lines_of(request.system, request.order)]
        outcome = real(overlay, request)
        for state, line in zip(before, reservations.lines_asked(overlay, request), strict=True):
            if state == "released":
                overlay.move(
                    line.sku, "", "adjustment", "", "sellable", "EAST", line.ordered,
                    overlay.books.now,
                )  # fmt: skip
        return outcome

    patch.setitem(ledger.REQUESTS, "release", give_back_again)


def lane_removed(patch: Patch, url: str) -> None:
    planted_sql(patch, lane="select %s")


def late_commit_skipped(patch: Patch, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create sequence planted increment by 10")
    mine = load("ledger")
    drawn_early = mine["head"].replace("h.sequence,", "nextval('planted'),")
    unguarded = mine["advance_head"].replace("and sequence = %(before)s", "")
    never_back = unguarded.replace("= %(last)s,", "= greatest(sequence, %(last)s),")
    planted_sql(patch, lane="select %s", head=drawn_early, advance_head=never_back)


def inbox_marked_in_another_transaction(patch: Patch, url: str) -> None:
    real = Ledger._transact

    def mark_first(self, connection, items, raws, settlements, *more):
        with psycopg.connect(url, autocommit=True) as another:
            marks = {
                "ids": [one.payload_id for one in settlements],
                "done": [one.items_done for one in settlements],
                "final": [one.final for one in settlements],
            }
            another.execute(load("ledger")["settle_payloads"].encode(), marks)
        return real(self, connection, items, raws, (), *more)

    patch.setattr(Ledger, "_transact", mark_first)


def newest_version_marked_as_acknowledged(patch: Patch, url: str) -> None:
    real = levels.applied

    def newest(level, *more):
        level.sent, level.sent_version = level.desired, level.version
        return real(level, *more)

    patch.setattr(levels, "applied", newest)


def late_stale_write_accepted(patch: Patch, url: str) -> None:
    patch.setattr(levels, "answered_late", lambda *_: None)


def lost_lease(patch: Patch, url: str) -> None:
    patch.setattr(calls, "_take_over", lambda *_: None)


def increases_wait_for_nobody(patch: Patch, url: str) -> None:
    patch.setattr(order_gate, "look", lambda connection, link, channels, now: Gate(now))


ON_A_DATABASE = [
    Plant(no_dedupe, races.told_twice_counts_once),
    Plant(check_then_write, races.exactly_what_there_is_is_granted),
    Plant(per_line_check_inside_a_batch, races.the_same_sku_twice_is_summed),
    Plant(double_close_of_a_reservation, races.released_once),
    Plant(lane_removed, races.a_late_commit_is_not_skipped, (BatchInterrupted, BatchRefused)),
    Plant(late_commit_skipped, races.a_late_commit_is_not_skipped),
    Plant(inbox_marked_in_another_transaction, sending.mark_and_events_stand_together),
    Plant(newest_version_marked_as_acknowledged, sending.the_sent_version_is_acknowledged),
    Plant(late_stale_write_accepted, sending.a_late_write_is_written_over),
    Plant(lost_lease, sending.a_dead_senders_level_is_taken_over),
    Plant(increases_wait_for_nobody, sending.a_sale_of_the_channel_is_not_put_back_on_sale),
]


@pytest.mark.parametrize("bug", IN_THE_RULES, ids=lambda bug: bug.name)
def test_a_bug_in_the_rules_is_caught(bug: Plant, monkeypatch: Patch) -> None:
    bug.scenario()
    with monkeypatch.context() as patch:
        bug.plant(patch)
        with pytest.raises(bug.failure):
            bug.scenario()
    bug.scenario()


@pytest.mark.parametrize("bug", ON_A_DATABASE, ids=lambda bug: bug.name)
def test_a_bug_around_the_database_is_caught(
    bug: Plant, monkeypatch: Patch, new_database: Callable[[], str]
) -> None:
    url = new_database()
    with monkeypatch.context() as patch:
        bug.plant(patch, url)
        with pytest.raises(bug.failure):
            bug.scenario(url)
    bug.scenario(new_database())
