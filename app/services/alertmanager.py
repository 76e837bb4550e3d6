"""Alerts that Prometheus Alertmanager tells of: raised once, and ended when it says so.

It tells of an alert again and again: when a request failed, when its group changed, after
`repeat_interval`, and twice where two of it run. So what was heard of is kept, by fingerprint and
beginning, and each of it is raised once and ended once, in whichever order the news comes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.alertmanager import Became, Notice
from app.domain.events import Event
from app.services.lifecycle import resolve
from app.services.raising import Draft, raise_alerts

SOURCE = "alertmanager"

Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True)
class Result:
    became: Became
    alert_id: int | None


# In the order of their keys: two requests with the same alerts must not lock each other out.
_HEAR = text(
    """
    INSERT INTO pggit.alertmanager_alerts (fingerprint, starts_at, ends_at)
    SELECT t.fingerprint, t.starts_at, t.ends_at
    FROM unnest(CAST(:fingerprints AS text[]), CAST(:starts AS timestamptz[]),
        CAST(:ends AS timestamptz[])) AS t (fingerprint, starts_at, ends_at)
    ORDER BY t.fingerprint, t.starts_at
    ON CONFLICT (fingerprint, starts_at) DO NOTHING
    RETURNING fingerprint, starts_at
    """
)
_BECAME = text(
    """
    UPDATE pggit.alertmanager_alerts h SET alert_id = t.alert_id
    FROM unnest(CAST(:fingerprints AS text[]), CAST(:starts AS timestamptz[]),
        CAST(:alerts AS bigint[])) AS t (fingerprint, starts_at, alert_id)
    WHERE h.fingerprint = t.fingerprint AND h.starts_at = t.starts_at
    """
)
_END = text(
    """
    UPDATE pggit.alertmanager_alerts h SET ends_at = t.ends_at
    FROM unnest(CAST(:fingerprints AS text[]), CAST(:starts AS timestamptz[]),
        CAST(:ends AS timestamptz[])) AS t (fingerprint, starts_at, ends_at)
    WHERE h.fingerprint = t.fingerprint AND h.starts_at = t.starts_at AND h.ends_at IS NULL
    RETURNING h.fingerprint, h.starts_at, h.alert_id
    """
)
_KNOWN = text(
    """
    SELECT h.fingerprint, h.starts_at, h.alert_id, COALESCE(a.status <> 'resolved', false)
    FROM unnest(CAST(:fingerprints AS text[]), CAST(:starts AS timestamptz[]))
        AS t (fingerprint, starts_at)
    JOIN pggit.alertmanager_alerts h
        ON h.fingerprint = t.fingerprint AND h.starts_at = t.starts_at
    LEFT JOIN pggit.alerts a ON a.id = h.alert_id
    """
)
# An alert may have begun again before anybody heard of its end.
_STILL_FIRING = text(
    "SELECT DISTINCT alert_id FROM pggit.alertmanager_alerts"
    " WHERE alert_id = ANY(:alerts) AND ends_at IS NULL"
)


def take_in(
    session: Session,
    now: datetime,
    events: list[Event],
    notices: Collection[Notice],
    by: str,
    retry_schedule: Sequence[int],
) -> dict[Key, Result]:
    """Raise what is new and firing, end what is over; what became of each, by its key."""
    by_key = {notice.key: notice for notice in notices}
    if not by_key:
        return {}
    fresh = _hear(session, list(by_key.values()))
    results: dict[Key, Result] = {}
    new = [one for key, one in by_key.items() if one.ends_at is None and key in fresh]
    results |= _raise(session, now, events, new, by, retry_schedule)
    ended = [one for key, one in by_key.items() if one.ends_at is not None and key not in fresh]
    results |= _end(session, now, events, ended, by)
    rest = [key for key in by_key if key not in results]
    return results | _known(session, rest)


def _columns(notices: Sequence[Notice]) -> dict[str, list[str] | list[datetime]]:
    return {
        "fingerprints": [one.fingerprint for one in notices],
        "starts": [one.starts_at for one in notices],
    }


def _hear(session: Session, notices: Sequence[Notice]) -> set[Key]:
    """Those of them that nobody has heard of before."""
    ends = [one.ends_at for one in notices]
    rows = session.execute(_HEAR, {**_columns(notices), "ends": ends})
    return {(fingerprint, starts_at) for fingerprint, starts_at in rows}


def _raise(
    session: Session,
    now: datetime,
    events: list[Event],
    notices: Sequence[Notice],
    by: str,
    retry_schedule: Sequence[int],
) -> dict[Key, Result]:
    if not notices:
        return {}
    drafts = [
        Draft(
            title=one.title,
            severity=one.severity.value,
            message=one.message,
            source=SOURCE,
            labels=one.labels,
            dedup_key=one.dedup_key,
        )
        for one in notices
    ]
    raised = raise_alerts(session, now, events, drafts, by, retry_schedule)
    ids = [alert.id for alert, _is_new in raised]
    session.execute(_BECAME, {**_columns(notices), "alerts": ids})
    return {
        one.key: Result(Became.CREATED if is_new else Became.OPEN, alert.id)
        for one, (alert, is_new) in zip(notices, raised, strict=True)
    }


def _end(
    session: Session, now: datetime, events: list[Event], notices: Sequence[Notice], by: str
) -> dict[Key, Result]:
    """Of those that are over since just now."""
    if not notices:
        return {}
    ends = [one.ends_at for one in notices]
    rows = session.execute(_END, {**_columns(notices), "ends": ends}).all()
    alerts: Mapping[Key, int] = {
        (fingerprint, starts_at): alert_id
        for fingerprint, starts_at, alert_id in rows
        if alert_id is not None
    }
    firing = set(session.scalars(_STILL_FIRING, {"alerts": list(set(alerts.values()))}))
    changed = {
        alert_id
        for alert_id in sorted(set(alerts.values()) - firing)
        if resolve(session, now, events, alert_id, by)[1]
    }
    return {
        key: Result(
            Became.RESOLVED
            if alert_id in changed
            else Became.OPEN
            if alert_id in firing
            else Became.OVER,
            alert_id,
        )
        for key, alert_id in alerts.items()
    }


def _known(session: Session, keys: Sequence[Key]) -> dict[Key, Result]:
    if not keys:
        return {}
    columns = {"fingerprints": [key[0] for key in keys], "starts": [key[1] for key in keys]}
    return {
        (fingerprint, starts_at): Result(Became.OPEN if is_open else Became.OVER, alert_id)
        for fingerprint, starts_at, alert_id, is_open in session.execute(_KNOWN, columns)
    }
