"""How much one may ask: requests per window, by user or key, by address while unknown."""

from typing import Final

from flask import Response, g, request

from app.adapters.rate_limit import RateLimiter, Verdict
from app.errors import TooManyRequests
from app.settings import Settings

# What comes in from machines has a budget of its own.
INGEST = frozenset(
    {
        "alerts.create_alert",
        "alerts.create_alerts",
        "metrics.take_in_samples",
        "integrations.alertmanager",
    }
)
# Pages are a score of small files, asked for by address: a few colleagues behind one would use up
# what is for guesses at passwords.
EXEMPT_BLUEPRINTS = frozenset({"health", "exposition", "web"})
# In a request's environment: that it was counted already, and what came of it.
COUNTED: Final = "tocsin.rate_verdict"


class RequestLimit:
    """The hooks of the rate limit."""

    def __init__(self, limiter: RateLimiter, settings: Settings) -> None:
        self._limiter = limiter
        self._limit = settings.rate_limit_requests
        self._ingest_limit = settings.ingest_rate_limit_requests

    def check(self) -> None:
        """Count this request; raises TooManyRequests when it is one too many."""
        g.rate_verdict = None
        if request.blueprint in EXEMPT_BLUEPRINTS:
            return
        verdict = g.rate_verdict = request.environ.get(COUNTED) or self._count()
        if not verdict.allowed:
            raise TooManyRequests(
                f"More than {verdict.limit} requests in a window; "
                f"come back in {verdict.reset_seconds} s.",
                retry_after_seconds=verdict.reset_seconds,
            )

    def _count(self) -> Verdict:
        principal = g.get("principal")
        if principal is None:
            return self._limiter.hit(f"address:{request.remote_addr}", self._limit)
        if request.endpoint in INGEST:
            return self._limiter.hit(f"ingest/{principal.key}", self._ingest_limit)
        return self.count_reader(principal.key)

    def count_reader(self, who: str) -> Verdict:
        """Count a request of this principal that brings nothing in."""
        return self._limiter.hit(who, self._limit)

    @staticmethod
    def tell(response: Response) -> Response:
        """The `RateLimit-*` headers of the IETF draft."""
        verdict = g.get("rate_verdict")
        if verdict is not None:
            response.headers.extend(headers_of(verdict))
        return response


def headers_of(verdict: Verdict) -> list[tuple[str, str]]:
    return [
        ("RateLimit-Limit", str(verdict.limit)),
        ("RateLimit-Remaining", str(verdict.remaining)),
        ("RateLimit-Reset", str(verdict.reset_seconds)),
    ]
