"""Reading samples: what is taken, what is refused and why, and that bad ones stop nobody."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.samples import (
    MAX_LABELS,
    MAX_VALUE,
    Series,
    microseconds,
    pack,
    read_samples,
    unpack,
)

NOW = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=UTC)
GOOD: dict[str, Any] = {"operation": "op", "value": 1.5}
NOT_A_NUMBER = "Not a valid number."
NO_STRING = "Not a valid string."
TOO_LARGE = "Must be from -1e+100 to 1e+100."


@pytest.mark.parametrize(
    ("sample", "errors"),
    [
        (GOOD, {}),
        (GOOD | {"value": 3}, {}),
        (GOOD | {"value": 0}, {}),
        (GOOD | {"value": -MAX_VALUE}, {}),
        (GOOD | {"value": 10**50}, {}),
        (GOOD | {"value": 1.1e100}, {"value": [TOO_LARGE]}),
        (GOOD | {"value": 10**5000}, {"value": [TOO_LARGE]}),
        (GOOD | {"value": float("nan")}, {"value": [TOO_LARGE]}),
        (GOOD | {"value": float("inf")}, {"value": [TOO_LARGE]}),
        (GOOD | {"value": "1"}, {"value": [NOT_A_NUMBER]}),
        (GOOD | {"value": True}, {"value": [NOT_A_NUMBER]}),
        (GOOD | {"value": None}, {"value": [NOT_A_NUMBER]}),
        (GOOD | {"value": [1]}, {"value": [NOT_A_NUMBER]}),
        (
            {},
            {
                "operation": ["Missing data for required field."],
                "value": ["Missing data for required field."],
            },
        ),
        (GOOD | {"operation": ""}, {"operation": ["Length must be between 1 and 200."]}),
        (GOOD | {"operation": "x" * 200}, {}),
        (GOOD | {"operation": "x" * 201}, {"operation": ["Length must be between 1 and 200."]}),
        (GOOD | {"operation": 1}, {"operation": [NO_STRING]}),
        (GOOD | {"operation": None}, {"operation": [NO_STRING]}),
        (GOOD | {"operation": ["op"]}, {"operation": [NO_STRING]}),
        (GOOD | {"operation": "a\x00"}, {"operation": ["Must not contain a NUL character."]}),
        (
            GOOD | {"operation": "\ud800"},
            {"operation": ["Must be valid Unicode: it holds half of a surrogate pair."]},
        ),
        (GOOD | {"unit": "ms"}, {}),
        (GOOD | {"unit": None, "labels": None, "timestamp": None}, {}),
        (GOOD | {"unit": ""}, {"unit": ["Length must be between 1 and 32."]}),
        (GOOD | {"unit": 5}, {"unit": [NO_STRING]}),
        (GOOD | {"labels": {}}, {}),
        (GOOD | {"labels": {"host": "a"}}, {}),
        (GOOD | {"labels": {"host": ""}}, {}),
        (GOOD | {"labels": []}, {"labels": ["Not a valid mapping type."]}),
        (GOOD | {"labels": ""}, {"labels": ["Not a valid mapping type."]}),
        (GOOD | {"labels": False}, {"labels": ["Not a valid mapping type."]}),
        (GOOD | {"labels": {"host": 1}}, {"labels": [f"host: {NO_STRING}"]}),
        (GOOD | {"labels": {"host": ["a"]}}, {"labels": [f"host: {NO_STRING}"]}),
        (GOOD | {"labels": {"host": None}}, {"labels": [f"host: {NO_STRING}"]}),
        (GOOD | {"labels": {"": "a"}}, {"labels": [": Length must be between 1 and 64."]}),
        (
            GOOD | {"labels": {"\x00": "a"}},
            {"labels": ["\\x00: Must not contain a NUL character."]},
        ),
        (GOOD | {"labels": {"a": "x" * 257}}, {"labels": ["a: Length must be between 0 and 256."]}),
        (GOOD | {"labels": {str(n): "" for n in range(MAX_LABELS)}}, {}),
        (
            GOOD | {"labels": {str(n): "" for n in range(MAX_LABELS + 1)}},
            {"labels": ["Not more than 20 labels."]},
        ),
        (
            GOOD | {"labels": {f"{n:2}": "🚦" * 64 for n in range(6)}},
            {"labels": ["Longer than 1500 bytes in all."]},
        ),
        (GOOD | {"timestamp": "2026-07-01T12:10:00.123456Z"}, {}),
        (
            GOOD | {"timestamp": "2026-07-01T12:10:00.123457Z"},
            {"timestamp": ["Must not be more than 10 minutes in the future."]},
        ),
        (GOOD | {"timestamp": "2026-06-17T12:00:00.123456+00:00"}, {}),
        (
            GOOD | {"timestamp": "2026-06-17T12:00:00.123455+00:00"},
            {"timestamp": ["Must not be older than 14 days."]},
        ),
        (GOOD | {"timestamp": "0001-01-01T00:00:00+12:00"}, {"timestamp": "any"}),
        (GOOD | {"timestamp": "yesterday"}, {"timestamp": ["Not a valid datetime."]}),
        (GOOD | {"timestamp": 1782900000}, {"timestamp": ["Not a valid datetime."]}),
        (GOOD | {"timestamp": {}}, {"timestamp": ["Not a valid datetime."]}),
        (GOOD | {"valeu": 1}, {"valeu": ["Unknown field."]}),
        (GOOD | {"a\x00\ud800": 1}, {"a\\x00\\ud800": ["Unknown field."]}),
        ([], {"_schema": ["A sample is an object."]}),
        (None, {"_schema": ["A sample is an object."]}),
        ("op", {"_schema": ["A sample is an object."]}),
        (
            {"operation": 1, "value": "x", "unit": 1, "labels": 1, "timestamp": 1, "more": 1},
            {
                "operation": [NO_STRING],
                "value": [NOT_A_NUMBER],
                "unit": [NO_STRING],
                "labels": ["Not a valid mapping type."],
                "timestamp": ["Not a valid datetime."],
                "more": ["Unknown field."],
            },
        ),
    ],
)
def test_a_sample_is_taken_or_says_what_is_wrong(sample: Any, errors: Any) -> None:
    """Alone, where all of it is read by the letter; and after one like it, where it is not."""
    for before in ([], [GOOD, GOOD | {"labels": {"host": "a"}, "unit": "ms"}]):
        found = read_samples([*before, sample, GOOD], NOW)
        wrong = found.errors.get(len(before), {})
        assert wrong == errors or (errors == {"timestamp": "any"} and wrong.keys() == {"timestamp"})
        assert len(found.errors) == bool(errors)
        assert len(found.values) == len(before) + 1 + (not errors)


def test_columns_say_what_was_sent() -> None:
    found = read_samples(
        [
            {"operation": "b", "value": 1, "labels": {"z": "1", "a": "2"}, "unit": "ms"},
            {"operation": "x"},
            {"operation": "b", "value": 2.5, "unit": "ms", "labels": {"a": "2", "z": "1"}},
            {"operation": "a", "value": -3, "timestamp": "2026-07-01T13:00:00.000001+01:00"},
            {"operation": "a", "value": 4, "timestamp": "2026-07-01T12:00:00"},
        ],
        NOW,
    )
    assert found.names == [
        (Series("b", (("a", "2"), ("z", "1"))), "ms"),
        (Series("a"), None),
    ]
    assert found.slots.tolist() == [0, 0, 1, 1]
    assert found.values.tolist() == [1, 2.5, -3, 4]
    assert found.indexes.tolist() == [0, 2, 3, 4]
    noon = microseconds(NOW) - 123456
    assert found.times.tolist() == [noon + 123456, noon + 123456, noon + 1, noon]


# What JSON can be, and things that are nearly samples.
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "operation": st.sampled_from(["a", "b"]) | JUNK,
        "value": st.integers(-5, 5) | st.floats() | JUNK,
        "unit": st.sampled_from(["ms", None]) | JUNK,
        "labels": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")) | JUNK,
        "timestamp": st.sampled_from([NOW.isoformat(), "2026-07-01T11:00:00"]) | JUNK,
        "other": JUNK,
    },
)


@given(st.lists(NEARLY | JUNK, max_size=12))
def test_each_is_judged_as_if_it_were_alone(raw: list[Any]) -> None:
    """Whatever was read before: memory makes reading fast, and must not change what is read."""
    together = read_samples(raw, NOW)
    assert together.errors.keys() | set(together.indexes.tolist()) == set(range(len(raw)))
    for place, index in enumerate(together.indexes.tolist()):
        alone = read_samples([raw[index]], NOW)
        assert not alone.errors
        assert alone.names[0] == together.names[together.slots[place]]
        assert alone.values[0] == together.values[place]
        assert alone.times[0] == together.times[place]
        assert np.isfinite(together.values[place])
    for index, errors in together.errors.items():
        assert read_samples([raw[index]], NOW).errors == {0: errors}
        assert errors
        json.dumps(errors).encode()


@given(st.timedeltas(timedelta(days=-13), timedelta(0)).map(NOW.__add__))
def test_a_time_is_exact_to_the_microsecond(moment: datetime) -> None:
    found = read_samples([GOOD | {"timestamp": moment.isoformat()}], NOW)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert found.times.tolist() == [(moment - epoch) // timedelta(microseconds=1)]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2**60), st.floats(-1e100, 1e100))))
def test_what_is_packed_comes_out_in_the_order_of_series_and_time(
    samples: list[tuple[int, int, float]],
) -> None:
    half = len(samples) // 2
    payloads = [
        pack(
            np.array([one[0] for one in part], dtype=np.int64),
            np.array([one[1] for one in part], dtype=np.int64),
            np.array([one[2] for one in part]),
        )
        for part in (samples[half:], samples[:half])
    ]
    assert sum(map(len, payloads)) == 24 * len(samples)
    assert sorted(unpack(payloads).tolist()) == sorted(samples)
    assert [one[:2] for one in unpack(payloads).tolist()] == sorted(one[:2] for one in samples)
