"""What is refused while more is owed than can be delivered."""

from app.domain.alerts import Severity

RETRY_AFTER_SECONDS = 30
# Of the limit. What is critical is never refused.
REFUSED_FROM = {Severity.INFO: 1.0, Severity.WARNING: 2.0}


def refused_severities(undelivered: int, limit: int) -> frozenset[Severity]:
    """The severities that are refused with so many deliveries open: from the limit on info, from
    twice the limit warning too.
    """
    return frozenset(
        severity for severity, part in REFUSED_FROM.items() if undelivered >= limit * part
    )
