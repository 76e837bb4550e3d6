"""Workers that say of themselves that they live."""

from datetime import datetime

from sqlalchemy import case, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.adapters.written import UNSEEN
from models import Worker

# A worker says so every 5 s; one that was silent for three times that counts as gone.
SEEN_EVERY_SECONDS = 5.0
GONE_AFTER_SECONDS = 15
FORGOTTEN_AFTER_SECONDS = 86_400


def i_am_here(
    session: Session, now: datetime, name: str, lane: str, pid: int, last_claim_at: datetime | None
) -> None:
    seen = {"pid": pid, "seen_at": now, "last_claim_at": last_claim_at}
    session.execute(
        insert(Worker)
        .prefix_with(UNSEEN)
        .values(name=name, lane=lane, started_at=now, **seen)
        .on_conflict_do_update(
            index_elements=[Worker.name],
            # One that was killed left its row behind, and its successor has its name.
            set_=seen | {"started_at": case((Worker.pid == pid, Worker.started_at), else_=now)},
        )
    )


def i_am_gone(session: Session, name: str) -> None:
    session.execute(delete(Worker).where(Worker.name == name))


def list_workers(session: Session) -> list[tuple[Worker, bool]]:
    """Every worker of the last day, and whether it lives."""
    alive = Worker.seen_at > func.now() - text(f"interval '{GONE_AFTER_SECONDS} seconds'")
    return list(
        session.execute(
            select(Worker, alive)
            .where(
                Worker.seen_at > func.now() - text(f"interval '{FORGOTTEN_AFTER_SECONDS} seconds'")
            )
            .order_by(Worker.name)
        ).all()
    )
