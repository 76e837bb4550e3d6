"""From samples to buckets: each in the one that holds its time."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.buckets import by_bucket
from app.domain.rollups import RESOLUTIONS, quantiles, rollup_of
from app.domain.samples import MICROSECONDS, Packed, pack, unpack

SAMPLE = st.tuples(
    st.integers(1, 3),
    # Many near the edges of the buckets.
    st.integers(-2, 2) | st.integers(0, 7200 * MICROSECONDS),
    st.integers(-1000, 1000),
)


def packed(samples: list[tuple[int, int, int]]) -> Packed:
    start = 1_782_900_000 * MICROSECONDS  # a full hour
    columns = np.array(samples, dtype=np.int64).reshape(-1, 3).T
    return unpack([pack(columns[0], start + columns[1], columns[2].astype(float))])


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@given(samples=st.lists(SAMPLE, max_size=60))
def test_a_bucket_has_the_samples_of_its_series_and_its_time(
    resolution: int, samples: list[tuple[int, int, int]]
) -> None:
    width = resolution * MICROSECONDS
    expected = defaultdict(list)
    for series, at, value in packed(samples).tolist():
        expected[series, at - at % width].append(value)
    found = {(series, at): one for series, at, one in by_bucket(packed(samples), resolution)}
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        one, whole = found[key], rollup_of(values)
        assert (one.count, one.sum, one.min, one.max) == (
            (whole.count, whole.sum, whole.min, whole.max)
        )
        assert one.m2 == pytest.approx(whole.m2, abs=1e-6)
        assert quantiles(one, [0, 0.3, 1]) == quantiles(whole, [0, 0.3, 1])
