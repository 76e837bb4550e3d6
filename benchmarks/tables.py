"""Tables of plain text, at most 100 columns wide."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.figures import Gate

WIDTH = 100
GATES = (50, 20, 20, 10)


def row(widths: Sequence[int], first: str, *others: str) -> str:
    """The first column begins at the left, the others end at the right."""
    cells = [f"{text:>{width}}" for text, width in zip(others, widths[1:], strict=False)]
    return f"{first:{widths[0]}}" + "".join(cells)


def title(text: str) -> str:
    return f"{text} ".ljust(WIDTH, "─")


def gates(all_of_them: Iterable[Gate]) -> list[str]:
    return [
        row(GATES, "goals", "goal", "measured", ""),
        *(row(GATES, one.what, one.goal, one.measured, one.verdict) for one in all_of_them),
    ]


def machine(about: Mapping[str, str], began_at: str) -> list[str]:
    """`about` as `benchmarks.machine.describe` gives it."""
    packages = ("celery", "psycopg", "requests", "pycurl")
    return [
        f"{about['cores']} cores ({about['processor']}), load {about['load']} at the start;"
        f" {began_at[:16]} UTC",
        f"Python {about['python']}, PostgreSQL {about['postgresql']}"
        f" (synchronous_commit {about['synchronous_commit']}, fsync {about['fsync']}),"
        f" Redis {about['redis']}",
        ", ".join(f"{name} {about[name]}" for name in packages),
    ]
