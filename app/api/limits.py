"""How much one may ask: requests per window, by user or key, by address while unknown."""

from flask import Response, g, request

from app.adapters.rate_limit import RateLimiter
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
        who = g.principal.key if g.get("principal") else f"address:{request.remote_addr}"
        if request.endpoint in INGEST and g.get("principal"):
            verdict = self._limiter.hit(f"ingest/{who}", self._ingest_limit)
        else:
            verdict = self._limiter.hit(who, self._limit)
        g.rate_verdict = verdict
        if not verdict.allowed:
            raise TooManyRequests(
                f"More than {verdict.limit} requests in a window; "
                f"come back in {verdict.reset_seconds} s.",
                retry_after_seconds=verdict.reset_seconds,
            )

    @staticmethod
    def tell(response: Response) -> Response:
        """The `RateLimit-*` headers of the IETF draft."""
        verdict = g.get("rate_verdict")
        if verdict is not None:
            response.headers["RateLimit-Limit"] = str(verdict.limit)
            response.headers["RateLimit-Remaining"] = str(verdict.remaining)
            response.headers["RateLimit-Reset"] = str(verdict.reset_seconds)
        return response
