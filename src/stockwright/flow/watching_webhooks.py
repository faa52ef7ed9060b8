"""Sees to it that partners go on telling us by webhook, and tells a person where they stopped.

Nothing is lost meanwhile, since polls bring the same; it only comes later.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from stockwright import telemetry
from stockwright.domain.errors import Misconfigured
from stockwright.flow.sparing import meter_of, promised_s
from stockwright.sdk.declaration import Limits
from stockwright.sdk.messages import WebhookOff
from stockwright.sdk.transports import metered
from stockwright.sdk.verbs import Connection, WatchesWebhooks
from stockwright.store import attempts
from stockwright.store.connecting import standings
from stockwright.store.connection import Pool
from stockwright.store.session import session

WEBHOOK_OFF: Final = "webhook_off"
"""The kind of work item that says that a partner had stopped telling us."""
PATIENCE_S: Final = 60.0
"""Seconds that one look may take."""
_log = structlog.get_logger(__name__)


class WebhookWatch:
    """Looks after the webhooks of connections that can. Any number of workers may."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def look(self, connection: Connection) -> Sequence[WebhookOff]:
        """What was off. A work item tells of it, and closes once a look finds everything on.

        Nothing is asked of a partner that is not in shadow yet, as for polls. A look that fails
        says nothing and is tried again next time; one refused because of a setting is a work item
        of that setting.
        Raises Transient where the database is away.
        """
        assert isinstance(connection, WatchesWebhooks)
        system = connection.system
        wait_s = await asyncio.to_thread(self._promise, system, connection.limits)
        if wait_s is None:
            return []
        await asyncio.sleep(wait_s)
        try:
            meter = meter_of(self._pool, system, connection, connection.limits)
            async with asyncio.timeout(PATIENCE_S):
                with metered(meter):
                    found = await connection.watch_webhooks()
        except Misconfigured as fault:
            await asyncio.to_thread(self._refused, system, fault)
            return []
        except Exception as fault:  # noqa: BLE001 - a connector may be anybody's code
            why = telemetry.hide_secrets(str(fault) or type(fault).__name__)
            _log.warning("webhooks could not be looked at", system=system, error=why)
            return []
        await asyncio.to_thread(self._tell, system, found)
        return found

    def _promise(self, system: str, limits: Limits) -> float | None:
        """Seconds until a call may start; None where none may."""
        with session(self._pool) as connection:
            standing = standings(connection, system).get(system)
            if standing is not None and standing.stage == "added":
                return None
        return promised_s(self._pool, system, limits)

    def _refused(self, system: str, fault: Misconfigured) -> None:
        why = telemetry.hide_secrets(str(fault))
        _log.warning("webhooks could not be looked at", system=system, error=why)
        with session(self._pool) as connection:
            attempts.open_misconfigured(connection, system, fault.setting, why, "webhooks")

    def _tell(self, system: str, found: Sequence[WebhookOff]) -> None:
        with session(self._pool) as connection:
            attempts.close_misconfigured(connection, system, "webhooks")
            if not found:
                attempts.close_item(connection, WEBHOOK_OFF, system, "all webhooks are on")
                return
            message = telemetry.hide_secrets(message_of(system, found))
            _log.warning("webhooks were off", system=system, message=message)
            detail: dict[str, object] = {"message": message}
            attempts.open_refusal(connection, WEBHOOK_OFF, system, system, detail)


def message_of(system: str, found: Sequence[WebhookOff]) -> str:
    """What happened, and what is left to do, for a person."""
    on = ", ".join(one.topic for one in found if one.on_again)
    said = [f"{system} had switched off {on}, and we switched it on again."] if on else []
    left = [one for one in found if not one.on_again]
    return " ".join(said + [f"{one.topic}: {one.why}" if one.topic else one.why for one in left])
