"""Whose a token is. Asked by every request, so remembered, for a moment."""

from app.adapters.asking import Asking
from app.adapters.database import SNAPSHOT
from app.domain.snapshot import Snapshot
from app.errors import NotFound
from app.services.queries import tables
from app.services.queries.query import Arguments, AtOnce, Query, Seen

# Promise 7 allows a revocation 30 s to be heard of everywhere. It takes as long as a message takes,
# and no longer than this where messages are lost.
REMEMBERED_SECONDS = 2.0


# As `app.services.tokens.principal_of`; the snapshot comes also where there is nobody.
STATEMENT = f"""
    SELECT {SNAPSHOT}, u.id, u.username, u.role
    FROM (SELECT) AS always LEFT JOIN pggit.users u
        ON u.id = %(user_id)s AND u.is_active AND NOT EXISTS (
            SELECT FROM pggit.token_revocations WHERE id IN (%(token_id)s, %(session_id)s)
        )
"""  # noqa: S608 - a constant


def _principal(ask: Asking, arguments: Arguments) -> Seen:
    ((snapshot, now, user_id, name, role),) = ask(STATEMENT, arguments)
    found = {"id": user_id, "name": name, "role": role}
    nobody = NotFound("This token counts no more.")
    return Seen(nobody if user_id is None else found, Snapshot.parse(snapshot), now)


PRINCIPAL = Query(
    "tokens.principal",
    frozenset({tables.USERS, tables.REVOCATIONS}),
    AtOnce(_principal),
    ttl=REMEMBERED_SECONDS,
    shared=False,
)

QUERIES = (PRINCIPAL,)
