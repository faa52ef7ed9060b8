"""Runs of a timeline: what folds into one line, and that nothing gets lost on the way."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from stockwright.console.folding import FOLD_FROM, Fold, Moment, Shown, fold, moments
from stockwright.store.timeline import LevelChange, Move, Recorded, Timeline

NOW = dt.datetime(2026, 3, 2, 10, 30, tzinfo=dt.UTC)


def moment(
    sequence: int, kind: str = "", system: str = "web", document: str = "", order: str = "",
    units: int = 1, to: str = "reserved", values: tuple[int, int] | None = None,
) -> Moment:  # fmt: skip
    event = None
    if kind:
        moves = [Move("", "sellable", "LON", to, "LON", units)]
        event = Recorded(
            sequence, kind, system, document, order, "web" if order else system, "recorded",
            NOW, NOW, NOW, moves,
        )  # fmt: skip
    changes = []
    if values is not None:
        changes = [LevelChange(sequence, "shop", "A", "", sequence, values[1], values[0], NOW)]
    return Moment(sequence, NOW, event, changes)


def lengths(folds: list[Fold]) -> list[int]:
    return [len(one.moments) for one in folds]


def test_events_of_one_kind_from_one_source_fold_with_count_and_sum():
    line = [moment(n, "reserve", document=f"W-{n}", units=n) for n in (9, 8, 7, 6)]
    (found,) = fold(line)
    assert found.kinds == [("reserve", 4)]
    assert found.documents == 4
    assert [(move.to_account, move.quantity) for move in found.flows] == [("reserved", 30)]


def test_the_steps_of_one_order_fold_whoever_tells_them():
    line = [
        moment(9, "shipment", "wms", "S-1", order="W-7"),
        moment(8, "pick", "wms", "P-1", order="W-7"),
        moment(7, "reserve", "web", "W-7", order="W-7"),
    ]
    (found,) = fold(line)
    assert (found.order, found.document, found.documents) == ("W-7", "", 3)
    assert found.systems == ["web", "wms"]


def test_the_lines_of_one_document_fold_whatever_their_kind():
    line = [
        moment(n, kind, "wms", "D-1") for n, kind in ((3, "receipt"), (2, "damage"), (1, "receipt"))
    ]
    (found,) = fold(line)
    assert found.document == "D-1"
    assert found.kinds == [("receipt", 2), ("damage", 1)]


def test_another_source_or_kind_ends_a_run_and_short_runs_stay_open():
    line = [
        *(moment(n, "reserve", document=f"W-{n}") for n in (9, 8, 7)),
        *(moment(n, "reserve", "b2b", document=f"B-{n}") for n in (6, 5)),
        moment(4, "receipt", "wms", "R"),
    ]
    assert lengths(fold(line)) == [3, 1, 1, 1]


def test_a_run_holds_together_by_one_thing_and_not_by_a_chain_of_several():
    """Each shares something with the next, and the first nothing with the last."""
    line = [
        moment(3, "reserve", document="D-1", order="O-1"),
        moment(2, "reserve", document="D-2", order="O-2"),
        moment(1, "pick", "wms", document="D-3", order="O-2"),
    ]
    assert lengths(fold(line)) == [1, 1, 1]


def test_levels_that_followed_without_an_event_fold_among_themselves():
    line = [moment(n, values=(n, n + 1)) for n in (5, 4, 3)]
    (found,) = fold(line)
    assert found.kinds == []
    assert found.groups("A") == [Shown(["shop"], 3, 6)]


def test_a_folded_run_tells_each_channel_from_its_first_number_to_its_last():
    line = [moment(n, "reserve", values=(10 - n + 1, 10 - n)) for n in (3, 2, 1)]
    (found,) = fold(line)
    assert found.groups("A") == [Shown(["shop"], 10, 7)]


@given(
    st.lists(
        st.builds(
            moment,
            st.just(0),
            kind=st.sampled_from(("", "reserve", "pick")),
            system=st.sampled_from(("web", "wms")),
            document=st.sampled_from(("", "D-1", "D-2")),
            order=st.sampled_from(("", "O-1")),
            units=st.integers(1, 9),
        ),
        max_size=40,
    )
)
def test_no_moment_is_lost_and_the_sums_are_those_of_the_moments(line: list[Moment]):
    folds = fold(line)
    assert [one for run in folds for one in run.moments] == line
    for run in folds:
        assert not run.is_run or len(run.moments) >= FOLD_FROM
        if run.is_run:
            units = sum(
                move.quantity for one in run.moments if one.event for move in one.event.moves
            )
            assert sum(move.quantity for move in run.flows) == units
            assert sum(count for _, count in run.kinds) == sum(
                1 for one in run.moments if one.event
            )


def test_a_change_by_rules_after_an_event_is_a_row_of_its_own_in_front_of_it():
    event = moment(7, "receipt", document="R-1").event
    assert event is not None
    by_event = LevelChange(7, "shop", "A", "", 1, 10, None, NOW, since_sequence=3, revision=4)
    later = NOW + dt.timedelta(minutes=5)
    by_rules = LevelChange(7, "shop", "A", "", 2, 6, 10, later, since_sequence=7, revision=5)
    found = moments(Timeline([event], [by_rules, by_event], None))
    assert [(one.at, one.event, one.revision) for one in found] == [
        (later, None, 5), (NOW, event, None),
    ]  # fmt: skip
    assert [[one.value for one in row.changes] for row in found] == [[6], [10]]


def test_a_change_is_laid_to_the_rules_only_where_nothing_moved_since_the_number_before():
    event = moment(5, "receipt", document="R-1").event
    assert event is not None
    late = LevelChange(8, "shop", "A", "", 2, 6, 10, NOW, since_sequence=4, revision=5)
    still = LevelChange(8, "shop", "A", "", 2, 6, 10, NOW, since_sequence=5, revision=5)
    for change, revision in ((late, None), (still, 5)):
        newest, _ = moments(Timeline([event], [change], None))
        assert (newest.sequence, newest.event, newest.revision) == (8, None, revision)
