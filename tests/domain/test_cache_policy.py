"""How long an answer is good for."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.cache_policy import (
    NEGATIVE_SECONDS,
    STALE_LIMIT_SECONDS,
    good_for,
    life_of,
)

ttls = st.floats(0.1, 10_000)
chances = st.floats(0, 1, exclude_max=True)


@given(ttls, chances, st.booleans())
def test_no_life_is_longer_than_its_ttl_or_the_limit(
    ttl: float, chance: float, negative: bool
) -> None:
    good = good_for(ttl, chance, negative=negative)
    assert 0 < good <= min(ttl, STALE_LIMIT_SECONDS)
    life = life_of(good, negative=negative)
    assert 0 < life.renew < life.good <= life.stale <= STALE_LIMIT_SECONDS


def test_what_was_loaded_together_ends_apart() -> None:
    assert good_for(60, 0) == 60
    assert good_for(60, 0.5) == 57
    assert life_of(60).renew == 48


def test_that_something_does_not_exist_is_believed_for_a_few_seconds_only() -> None:
    good = good_for(60, 0, negative=True)
    assert good == NEGATIVE_SECONDS
    assert life_of(good, negative=True).stale == good
