"""PostgreSQL, and what its tables say of the rest: migrations, beat, workers, the queue."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.adapters.database import Database
from app.cli.doctor.finding import Findings, fail, ok, skip, warn
from app.cli.output import plain
from app.domain.access import Role
from app.services.presence import list_workers
from app.services.status import BEAT_SILENT_AFTER_SECONDS, beat_silence_seconds, queue_depth
from app.services.traffic_reports import current_pause
from app.settings import Settings
from models import User
from models.migrate import current, head

OLDEST_TRIED = 18
SKEW_SECONDS, TOO_MUCH_SKEW_SECONDS = 2.0, 30.0
OLD_SECONDS, TOO_OLD_SECONDS = 60.0, 600.0
AFTER_THE_DATABASE = ("clock", "migrations", "admin", "beat", "workers", "queue")


def database(settings: Settings, lanes: Sequence[str]) -> Findings:
    """`lanes`: those in which somebody has to work."""
    server = Database(settings.database_url, pool_min=1, pool_max=1)
    try:
        with server.session() as session:
            found = [*_version(session), *_clock(session), *_tables(session, lanes)]
        yield from found
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).splitlines()[0]
        yield fail(
            "database",
            f"PostgreSQL at DATABASE_URL does not answer: {said}",
            "Without it nothing works. Start it (an embedded one: make run), or mend DATABASE_URL."
            f" An embedded one says why in {settings.data_dir / 'logs' / 'postgres.log'}",
        )
        yield from unknown("not known while the database is away")
    finally:
        server.close()


def unknown(reason: str) -> Findings:
    for name in AFTER_THE_DATABASE:
        yield skip(name, reason)


def _version(session: Session) -> Findings:
    version = str(session.scalar(text("SHOW server_version")))
    if int(version.partition(".")[0]) < OLDEST_TRIED:
        yield warn(
            "database",
            f"PostgreSQL {version}; Tocsin is tested with {OLDEST_TRIED}.",
            f"Plan to move to PostgreSQL {OLDEST_TRIED}.",
        )
    else:
        yield ok("database", f"PostgreSQL {version}")


def _clock(session: Session) -> Findings:
    """Half of what the question took is nobody's skew."""
    asked = time.monotonic()
    theirs: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    took = time.monotonic() - asked
    skew = (datetime.now(UTC) - theirs).total_seconds() - took / 2
    detail = f"this machine is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} PostgreSQL"
    remedy = (
        "Tokens and signatures go by this machine's clock, the queue by PostgreSQL's. Let both"
        " follow NTP: timedatectl set-ntp true"
    )
    if abs(skew) > TOO_MUCH_SKEW_SECONDS:
        yield fail("clock", detail, remedy)
    elif abs(skew) > SKEW_SECONDS:
        yield warn("clock", detail, remedy)
    else:
        yield ok("clock", detail)


def _tables(session: Session, lanes: Sequence[str]) -> Findings:
    at, newest = current(session.connection()), head()
    if at != newest:
        yield fail(
            "migrations",
            f"The database is at {at or 'nothing'}, this release at {newest}.",
            "`tocsin migrate` brings it up to date; a database that is newer needs a newer Tocsin.",
        )
        for name in AFTER_THE_DATABASE[2:]:
            yield skip(name, "not known before the migrations are right")
        return
    yield ok("migrations", f"at {at}")
    yield from _admin(session)
    yield from _beat(session)
    yield from _workers(session, lanes)
    yield from _queue(session)


def _admin(session: Session) -> Findings:
    admins = session.scalar(
        select(func.count()).where(User.role == Role.ADMIN, User.is_active.is_(True))
    )
    if admins:
        yield ok("admin", f"{admins} can sign in")
    else:
        yield fail(
            "admin",
            "There is no active admin.",
            "Set ADMIN_USERNAME and ADMIN_PASSWORD, and `tocsin migrate` makes one.",
        )


def _beat(session: Session) -> Findings:
    silence = beat_silence_seconds(session)
    if silence is not None and silence <= BEAT_SILENT_AFTER_SECONDS:
        yield ok("beat", f"its last heartbeat was {silence:.0f} s ago")
        return
    yield fail(
        "beat",
        "No heartbeat came through" + ("." if silence is None else f" for {silence:.0f} s."),
        "Nothing runs on schedule. A heartbeat needs beat, the broker and a worker in lane jobs:"
        " mend those first, then read the end of DATA_DIR/logs/beat.log",
    )


def _workers(session: Session, lanes: Sequence[str]) -> Findings:
    alive = Counter(row.lane for row, is_alive in list_workers(session) if is_alive)
    missing = [lane for lane in lanes if not alive[lane]]
    listed = ", ".join(f"{lane} {alive[lane]}" for lane in lanes)
    if missing:
        yield fail(
            "workers",
            f"Nobody works in lane {', '.join(missing)} ({listed}).",
            f"Start one, as Procfile does: python -m tasks {missing[0]} 1. Where it does not stay,"
            f" read the end of DATA_DIR/logs/{missing[0]}*.log",
        )
    else:
        yield ok("workers", f"alive by lane: {listed}")


def _queue(session: Session) -> Findings:
    depth = queue_depth(session)
    detail = f"{depth.undelivered} undelivered, the oldest due for {depth.oldest_due_seconds:.0f} s"
    pause = current_pause(session)
    if pause is not None:
        yield warn(
            "queue",
            f"{detail}; deliveries are paused by {plain(pause.paused_by)}",
            "DELETE /api/v1/traffic/pause lifts the pause.",
        )
    elif depth.oldest_due_seconds > OLD_SECONDS:
        finding = fail if depth.oldest_due_seconds > TOO_OLD_SECONDS else warn
        yield finding(
            "queue",
            detail,
            "Look at the workers first; then at webhooks that hold their own back: `tocsin webhook"
            " list`, GET /api/v1/webhooks/ID/traffic; `tocsin alert explain ID` says what one"
            " waits for.",
        )
    else:
        yield ok("queue", detail)
