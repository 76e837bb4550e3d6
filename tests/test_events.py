"""What leaves a worker for whoever watches it: no secrets, and nothing long."""

from tasks.events import MAX_CHARS, MAX_TRACEBACK_CHARS, clean

SECRET = "whsec_c2hvd24gdG8gbm9ib2R5"


def test_secrets_are_taken_out_of_every_text() -> None:
    texts = dict.fromkeys(("args", "kwargs", "result", "exception", "traceback"), f"({SECRET})")
    assert clean(texts) == dict.fromkeys(texts, "([redacted])")
    assert clean({"kwargs": "{'url': 'redis://:hunter2@broker/0'}"}) == {
        "kwargs": "{'url': 'redis://:[redacted]@broker/0'}"
    }


def test_what_is_long_is_cut_after_the_secrets_are_out() -> None:
    """Cut first, half a secret would not be known for one."""
    padded = "x" * (MAX_CHARS - 10) + " " + SECRET
    cut = clean({"kwargs": padded, "traceback": "x" * 10_000 + f" ValueError: {SECRET}"})
    assert len(cut["kwargs"]) == MAX_CHARS
    assert "whsec" not in cut["kwargs"]
    assert len(cut["traceback"]) == MAX_TRACEBACK_CHARS
    assert cut["traceback"].endswith("ValueError: [redacted]")


def test_the_rest_is_as_it_was() -> None:
    event = {"uuid": "1", "name": "alerts.deliver", "runtime": 0.1, "kwargs": None, "args": "()"}
    assert clean(event) == event
