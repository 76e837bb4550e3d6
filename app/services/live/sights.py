"""What the stream shows, made ready to be sent: JSON, as REST shows the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.adapters.database import Database
from app.domain.live import SHOWN, TOPIC_OF, Kind, Note, gone_webhook
from app.services.jobs import list_jobs
from app.services.live.figures import figures
from app.services.live.resources import Resources

Shown = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Showing:
    """How views become what REST shows: by the kind of event, and for a job of the schedule."""

    by_kind: Mapping[Kind, Callable[[Any], Shown]]
    job: Callable[[Any], Shown]


class Sights:
    """Thread-safe. Raises SQLAlchemyError while the database is away."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        resources: Resources,
        showing: Showing,
        schedule: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._resources = resources
        self._showing = showing
        self._schedule = schedule

    def events(self, ids: Mapping[Kind, Sequence[int]]) -> list[Note]:
        """How those are now that have changed; of a webhook that is gone, that it is."""
        notes: list[Note] = []
        with self._database.session() as session:
            for kind in Kind:
                if ids.get(kind):
                    notes += [
                        self.note(kind, shown)
                        for shown in self._changed(session, kind, list(ids[kind]))
                    ]
        return notes

    def _changed(self, session: Session, kind: Kind, ids: Sequence[int]) -> list[Shown]:
        show = self._showing.by_kind[kind]
        shown = [show(view) for view in self._resources.load(session, kind, ids)]
        if kind is Kind.WEBHOOK:
            there = {one["id"] for one in shown}
            shown += [gone_webhook(one) for one in ids if one not in there]
        return shown

    def metrics(self, not_shown: Mapping[str, int]) -> Note:
        with self._database.session() as session:
            return self.note("metrics", figures(session) | {"not_shown": dict(not_shown)})

    def snapshot(self, source: str) -> dict[str, Any]:
        """How everything is, in one transaction."""
        with self._database.session() as session:
            now = self._database.now(session)
            self._clock.set(now)
            sections = {
                TOPIC_OF[kind]: [
                    self._showing.by_kind[kind](view)
                    for view in self._resources.newest(session, kind)
                ]
                for kind in SHOWN
            }
            jobs = [self._showing.job(one) for one in list_jobs(session, now, self._schedule)]
            metrics = figures(session) | {"not_shown": {}}
        return {"source": source, "metrics": metrics, "jobs": jobs, **sections}

    def note(self, message_type: str, data: Any) -> Note:
        return Note(message_type, self._clock.now(), orjson.dumps(data))
