"""Training: from predictions with known outcomes to a model, which takes over if it is better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.risk_features import FEATURES, HORIZON_HOURS, VERSION
from app.domain.risk_scores import score
from app.domain.risk_training import decide, lack_of, split_by_time
from app.services.risk_fitting import fit
from app.services.risk_models import Trained, active_predictor, register

Floats = NDArray[np.float64]

# What is older says little of how webhooks fail now.
WINDOW: Final = "30 days"
# About so many: more are thinned, as they would take memory and teach no more.
MAX_EXAMPLES: Final = 200_000
EXAMPLES_AT_ONCE: Final = 20_000

# An estimate, since to count them all may take longer than a statement may; -1 while unknown.
_COUNT = text("SELECT reltuples FROM pg_class WHERE oid = 'pggit_ml.predictions'::regclass")
# By a hash of the id: ids go round the webhooks, so every n-th could be the same webhook's.
_EXAMPLES = text(
    f"""
    SELECT id, extract(epoch FROM made_at)::float8, features, outcome = 'unavailable'
    FROM pggit_ml.predictions
    WHERE outcome IN ('unavailable', 'available') AND features_version = {VERSION}
        AND horizon_hours = {HORIZON_HOURS} AND made_at > now() - interval '{WINDOW}'
        AND id > :after AND abs(hashint8(id)::bigint) % :one_of = 0
    ORDER BY id LIMIT {EXAMPLES_AT_ONCE}
    """  # noqa: S608 - only constants in it
)


@dataclass(frozen=True, slots=True)
class Examples:
    """Predictions whose outcome is known: figures, whether it became unavailable, and when made."""

    rows: Floats
    outcomes: NDArray[np.bool_]
    made_at: Floats


def train(unit_of_work: Callable[[], Any]) -> Mapping[str, Any]:
    """Train on what is known, and say what came of it: `trained`, `promoted`, `reason`, `detail`.

    While it computes no transaction is open.
    """
    examples = _read(unit_of_work)
    lack = lack_of(examples.made_at, examples.outcomes)
    if lack is not None:
        return {
            "trained": False,
            "promoted": False,
            "reason": lack.reason,
            "detail": lack.detail,
            "examples": len(examples.outcomes),
        }
    with unit_of_work() as work:
        active, predictor = active_predictor(work.session)
    split = split_by_time(examples.made_at)
    model = fit(examples.rows, examples.outcomes, split)
    rows, outcomes = examples.rows[split.held_out], examples.outcomes[split.held_out]
    trained = Trained(
        model=model,
        examples=len(examples.outcomes),
        window=(_moment(examples.made_at.min()), _moment(examples.made_at.max())),
        scores=score(model.probabilities(rows), outcomes),
        active_version=active.version,
        active_scores=score(predictor.probabilities(rows), outcomes),
    )
    verdict = decide(trained.scores, trained.active_scores)
    with unit_of_work() as work:
        row = register(work.session, work.now, trained, verdict)
    return {
        "trained": True,
        "promoted": row.is_active,
        "version": row.version,
        "reason": row.decision,
        "detail": row.detail,
        "examples": trained.examples,
    }


def _read(unit_of_work: Callable[[], Any]) -> Examples:
    with unit_of_work() as work:
        count = int(work.session.scalar(_COUNT))
    one_of = max(1, -(-count // MAX_EXAMPLES))
    found: list[Any] = []
    after: int | None = 0
    while after is not None:
        with unit_of_work() as work:
            after = _read_some(work.session, after, one_of, found)
    return Examples(
        rows=np.array([row for _, _, row, _ in found], np.float64).reshape(-1, len(FEATURES)),
        outcomes=np.array([unavailable for *_, unavailable in found], np.bool_),
        made_at=np.array([at for _, at, *_ in found], np.float64),
    )


def _read_some(session: Session, after: int, one_of: int, found: list[Any]) -> int | None:
    some = session.execute(_EXAMPLES, {"after": after, "one_of": one_of}).all()
    found.extend(some)
    return some[-1].id if len(some) == EXAMPLES_AT_ONCE else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
