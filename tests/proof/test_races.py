"""Many callers, one stock: whoever comes first, the sums are exact."""

import pytest

from tests.proof import races


def test_of_2000_attempts_on_500_units_exactly_500_are_granted(url: str) -> None:
    races.exactly_what_there_is_is_granted(url)


def test_the_same_sku_twice_in_one_batch_is_summed(url: str) -> None:
    races.the_same_sku_twice_is_summed(url)


def test_several_places_of_equal_quantity_are_not_taken_for_one(url: str) -> None:
    races.equal_places_are_not_one(url)


def test_of_confirm_and_expiry_exactly_one_wins(url: str) -> None:
    races.confirm_or_expiry_but_not_both(url)


def test_two_releases_at_once_free_the_units_once(url: str) -> None:
    races.released_once(url)


def test_what_is_told_twice_counts_once(url: str) -> None:
    races.told_twice_counts_once(url)


def test_two_processes_on_one_database_are_exact_and_no_reader_misses_a_number(url: str) -> None:
    races.two_processes_are_exact(url)


def test_a_commit_that_comes_late_is_not_skipped_by_a_reader(url: str) -> None:
    races.a_late_commit_is_not_skipped(url)


@pytest.mark.parametrize("where", ["reading", "writing"])
def test_a_frozen_process_lets_the_lane_go(url: str, where: str) -> None:
    races.a_frozen_process_lets_the_lane_go(url, where)
