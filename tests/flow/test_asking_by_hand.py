"""What a person asks a partner is within the plan that all share, and leaves calls to levels."""

import asyncio

import msgspec
import pytest

from stockwright.domain.errors import Throttled, Transient
from stockwright.flow import sparing
from stockwright.flow.polling import Poller
from stockwright.flow.sparing import Asker
from stockwright.sdk.transports import HttpRequest, HttpResponse, InMemory
from tests.flow.partners import rows, set_up
from tests.flow.test_polling import PLAN
from tests.flow.test_polling import Partner as Polled

SLOW = msgspec.structs.replace(PLAN, calls_per_s=0.0001, burst=20)
"""A plan that earns nothing for as long as a test takes."""


@pytest.fixture
def database(database_url):
    with set_up(database_url) as connection:
        yield connection


class Partner:
    """Answers a question by as many calls as are asked for."""

    system = "shop"
    limits = SLOW

    def __init__(self):
        self.calls = 0
        self.http = InMemory(self._answer)

    async def _answer(self, request):
        self.calls += 1
        return HttpResponse(status=200)

    async def ask(self, calls):
        for _ in range(calls):
            await self.http.send(HttpRequest(method="GET", url="http://shop.example/"))


def left(database):
    """The calls that are left in the shared budget."""
    return round(float(rows(database, "select tokens from connection_state")[0][0]))


@pytest.mark.parametrize(("calls", "taken"), [(0, 1), (1, 1), (6, 6)])
async def test_every_call_of_a_question_is_taken_from_the_shared_budget(
    pool, database, calls, taken
):
    """A question that makes no call over HTTP, such as to a queue, counts as one."""
    partner = Partner()
    async with Asker(pool, partner).patiently(60):
        await partner.ask(calls)
    assert (partner.calls, left(database)) == (calls, 20 - taken)
    await partner.ask(3)
    assert left(database) == 20 - taken, "what is asked outside a question is not counted"


async def test_a_connection_with_plans_of_its_own_counts_questions(pool, database):
    partner = Partner()
    partner.paces_itself = True
    async with Asker(pool, partner).patiently(60):
        await partner.ask(6)
    assert left(database) == 19


async def test_a_further_call_waits_for_levels_and_then_has_its_turn_like_any_other(
    pool, database, monkeypatch
):
    """Levels take each call as it is earned."""
    partner, waits = Partner(), []
    partner.limits = msgspec.structs.replace(SLOW, calls_per_s=50.0)

    def promised(*told):
        waits.append(real(*told))
        return waits[-1]

    real = sparing.promised_s
    monkeypatch.setattr(sparing, "promised_s", promised)
    monkeypatch.setattr(sparing, "spare_call", lambda *_: 0.01)
    monkeypatch.setattr(sparing, "PATIENCE_S", 0.05)
    async with Asker(pool, partner).patiently(60):
        await partner.ask(2)
    assert (partner.calls, len(waits)) == (2, 2)


async def test_a_turn_that_is_waited_for_takes_nothing_of_the_patience(pool, database, monkeypatch):
    partner, waits = Partner(), [2.5, 0.0]
    monkeypatch.setattr(sparing, "spare_call", lambda *_: waits.pop(0))
    async with Asker(pool, partner).patiently(2.0):
        await partner.ask(2)
    assert (partner.calls, waits) == (2, [])


async def test_a_partner_that_does_not_answer_is_given_up_though_turns_were_waited_for(
    pool, database, monkeypatch
):
    partner, waits = Partner(), [0.3, 0.0]
    monkeypatch.setattr(sparing, "spare_call", lambda *_: waits.pop(0))
    with pytest.raises(TimeoutError):
        async with Asker(pool, partner).patiently(0.2):
            await partner.ask(2)
            await asyncio.Event().wait()
    assert partner.calls <= 2


async def ask_too_much(pool, partner, silence_s=120.0):
    """A question to which the partner answers that it wants silence."""
    with pytest.raises(Throttled, match="slow down"):
        async with Asker(pool, partner).patiently(60):
            await partner.ask(1)
            raise Throttled("shop asked us to slow down", silence_s)


def silence(database):
    """Seconds for which levels wait, the reason, and the calls that are left for then."""
    told = "select extract(epoch from retry_at - clock_timestamp()), last_error, tokens"
    (found,) = rows(database, f"{told} from connection_state")
    return float(found[0] or 0), found[1], float(found[2])


async def test_a_silence_that_a_question_is_answered_with_is_kept_by_who_sends_levels(
    pool, database
):
    await ask_too_much(pool, Partner())
    waits_s, why, tokens = silence(database)
    assert 60 < waits_s <= 120
    assert why == "shop asked us to slow down"
    assert tokens <= 1, "no burst right after the silence"


async def test_a_silence_that_a_question_is_answered_with_is_kept_by_who_polls(pool, database):
    polled, poller = Polled([]), Poller(pool, worker="p1")
    assert (await poller.poll("shop", polled, every_s=0)).complete
    await ask_too_much(pool, Partner())
    assert await poller.poll("shop", polled) is None
    database.execute("update poll_cursor set due_at = now(), held_until = now()")
    assert (await poller.poll("shop", polled)).complete


async def test_a_poll_under_way_is_left_to_hear_of_a_silence_itself(pool, database):
    await Poller(pool, worker="p1").poll("shop", Polled([]), every_s=0)
    database.execute("update poll_cursor set lease_until = now() + interval '1 hour'")
    await ask_too_much(pool, Partner())
    assert rows(database, "select held_until from poll_cursor") == [(None,)]


async def test_a_shorter_silence_does_not_end_what_a_poll_waits_for(pool, database):
    poller = Poller(pool, worker="p1")
    await poller.poll("shop", Polled([]), every_s=0)
    database.execute("update poll_cursor set held_until = now() + interval '1 hour'")
    database.execute("update poll_cursor set due_at = held_until")
    ((later,),) = rows(database, "select held_until from poll_cursor")
    await ask_too_much(pool, Partner(), silence_s=1.0)
    assert rows(database, "select held_until, due_at from poll_cursor") == [(later, later)]


async def test_one_plan_of_a_partner_that_is_used_up_silences_no_other_of_them(pool, database):
    """A partner that gives each operation a plan of its own keeps their silences itself."""
    partner = Partner()
    partner.paces_itself = True
    await ask_too_much(pool, partner)
    assert silence(database)[0] == 0


async def test_a_question_that_fails_otherwise_silences_nobody(pool, database):
    with pytest.raises(Transient):
        async with Asker(pool, Partner()).patiently(60):
            raise Transient("503")
    assert silence(database)[0] == 0
