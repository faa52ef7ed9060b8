"""What is sent and what is taken in, when workers are lost in the middle."""

from tests.proof import sending


def test_a_crash_before_the_commit_leaves_mark_and_events_together(url: str) -> None:
    sending.mark_and_events_stand_together(url)


def test_the_number_that_was_sent_is_acknowledged_not_the_newest(url: str) -> None:
    sending.the_sent_version_is_acknowledged(url)


def test_a_number_written_late_by_a_lost_worker_is_written_over(url: str) -> None:
    sending.a_late_write_is_written_over(url)


def test_the_level_of_a_dead_sender_is_taken_over_when_its_lease_is_over(url: str) -> None:
    sending.a_dead_senders_level_is_taken_over(url)


def test_what_the_channel_just_sold_is_not_put_back_on_sale(url: str) -> None:
    sending.a_sale_of_the_channel_is_not_put_back_on_sale(url)
