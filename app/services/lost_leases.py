"""Leases of workers that were killed are due at once, not only when they run out."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.adapters.ownership import OWNERS

# An owner that has not been there for so long is dead. In the meantime one whose connection broke
# takes his lock on another.
MISSED_FOR_SECONDS = 0.9

_MISSING = text(
    """
    SELECT DISTINCT owner FROM pggit.alert_delivery_queue q
    CROSS JOIN LATERAL (SELECT left(q.lease_token::text, 8) AS owner) token
    WHERE q.lease_token IS NOT NULL AND q.next_attempt_at > statement_timestamp()
        AND owner <> '00000000' AND NOT EXISTS (
            SELECT FROM pg_locks l
            JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
            WHERE l.locktype = 'advisory' AND l.classid = :owners
                AND l.objid = CAST(('x' || lpad(owner, 16, '0'))::bit(64)::bigint AS oid)
                AND l.objsubid = 2 AND l.granted
        )
    """
)
# As though they had run out: the next claim takes them, and says that a worker was lost.
_FREE = text(
    """
    WITH lost AS MATERIALIZED (
        SELECT id FROM pggit.alert_delivery_queue
        WHERE lease_token IS NOT NULL AND next_attempt_at > statement_timestamp()
            AND left(lease_token::text, 8) = ANY(:owners)
        ORDER BY id FOR UPDATE SKIP LOCKED
    )
    UPDATE /* unseen */ pggit.alert_delivery_queue q SET next_attempt_at = statement_timestamp()
    FROM lost WHERE q.id = lost.id
    """
)


class LostLeases:
    """Remembers since when owners of leases are missing. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._missing_since: dict[str, float] = {}

    def free(self, session: Session) -> int:
        """Let go what dead owners had leased: how many deliveries."""
        now = self._clock.monotonic()
        missing = session.scalars(_MISSING, {"owners": OWNERS}).all()
        self._missing_since = {owner: self._missing_since.get(owner, now) for owner in missing}
        dead = [
            owner
            for owner, since in self._missing_since.items()
            if now - since >= MISSED_FOR_SECONDS
        ]
        if not dead:
            return 0
        return session.execute(_FREE, {"owners": dead}).rowcount  # type: ignore[attr-defined,no-any-return]
