"""Who is refused when too much is owed."""

import pytest

from app.domain.back_pressure import refused_severities


@pytest.mark.parametrize(
    ("undelivered", "refused"),
    [
        (0, set()),
        (99, set()),
        (100, {"info"}),
        (199, {"info"}),
        (200, {"info", "warning"}),
        (10**9, {"info", "warning"}),
    ],
)
def test_first_info_then_warning_critical_never(undelivered: int, refused: set[str]) -> None:
    assert refused_severities(undelivered, 100) == refused
