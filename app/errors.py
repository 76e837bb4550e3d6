"""What can go wrong, as one family of exceptions.

Services raise these; the API turns each into the one error shape. The class says
the HTTP status, the message is what the client reads.
"""

from collections.abc import Mapping, Sequence

FieldErrors = Mapping[str, Sequence[str]]


class TocsinError(Exception):
    """The root. `detail` is shown to the client, so it holds no secret and no internals."""

    status_code = 500

    def __init__(
        self,
        detail: str,
        *,
        errors: FieldErrors | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds


class Malformed(TocsinError):
    """The request can't be read at all."""

    status_code = 400


class Unauthenticated(TocsinError):
    """No token, or one that is not good."""

    status_code = 401


class Forbidden(TocsinError):
    """Known, but not allowed."""

    status_code = 403


class NotFound(TocsinError):
    """No such thing, or no longer."""

    status_code = 404


class Conflict(TocsinError):
    """It collides with what is there."""

    status_code = 409


class Invalid(TocsinError):
    """It can be read, but a field is wrong: `errors` says which and why."""

    status_code = 422

    def __init__(self, errors: FieldErrors, detail: str = "Some fields are not valid.") -> None:
        super().__init__(detail, errors=errors)


class TooManyRequests(TocsinError):
    """Over the rate limit; `retry_after_seconds` says when to come back."""

    status_code = 429


class Unavailable(TocsinError):
    """Something that we need is away; try again after `retry_after_seconds`."""

    status_code = 503
