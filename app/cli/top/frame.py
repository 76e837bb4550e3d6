"""One picture of the view, of exactly the terminal's size."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.text import Text

from app.cli.output import STYLES, ago, cell, plain, span
from app.cli.top.source import MINUTES, View

LEAST_WIDTH, LEAST_HEIGHT = 60, 16
BARS = " ▁▂▃▄▅▆▇█"
HEALTH = ("healthy", "degraded", "unavailable", "unknown")
LABEL_WIDTH = 11


def frame(view: View, width: int, height: int) -> Text:
    """`height` lines of `width` columns; on a smaller terminal than 60 × 16 the ends are cut."""
    lines = [
        _header(view, width),
        _queue(view),
        *_deliveries(view, width),
        _webhooks(view),
        _parts(view),
    ]
    rest = max(height, LEAST_HEIGHT) - len(lines)
    below = min(max(len(view.jobs), len(view.system.get("workers", ()))) + 1, rest // 2)
    lines += _alerts(view, width, rest - below)
    share = width * 3 // 5
    jobs, workers = _jobs(view, share - 1, below), _workers(view, width - share, below)
    lines += _beside(jobs, workers, share - 1)
    for line in lines:
        line.truncate(width, overflow="ellipsis", pad=True)
    return Text("\n", no_wrap=True, overflow="crop").join(lines[:height])


def _header(view: View, width: int) -> Text:
    """What could not be asked takes the status's place, since that is an old one by now."""
    left = Text(f"Tocsin {plain(view.system.get('version'))}  ", style="bold")
    if view.fault:
        left.append(plain(view.fault), style="bold red")
    else:
        left.append(f"{plain(view.url)}  ").append_text(cell(view.health.get("status")))
    right = f"{view.at:%H:%M:%S}Z"
    left.truncate(max(width - len(right) - 1, 0), overflow="ellipsis", pad=True)
    return left.append(f" {right}", style="dim")


def _label(name: str) -> Text:
    return Text(f"{name:<{LABEL_WIDTH}}", style="bold")


def _queue(view: View) -> Text:
    data = view.health.get("checks", {}).get("database", {}).get("data") or {}
    line = _label("Queue")
    line.append(f"{data.get('undelivered', '–')} undelivered   ")
    line.append(f"{data.get('in_flight', '–')} in flight   ")
    oldest = data.get("oldest_due_seconds")
    late = oldest is not None and oldest > 60
    shown = "–" if oldest is None else span(timedelta(seconds=oldest))
    return line.append(f"oldest due for {shown}", style="bold red" if late else "")


def _deliveries(view: View, width: int) -> list[Text]:
    """Of the last whole minute, and of each minute before it."""
    lines = []
    for outcome, points in view.deliveries.items():
        counts = [int(point["count"] or 0) for point in points]
        last: Mapping[str, Any] = points[-1] if points else {}
        line = _label(outcome.capitalize())
        line.append(f"{(counts[-1] if counts else 0) / 60:>8.1f}/s ", STYLES.get(outcome, ""))
        if width >= LEAST_WIDTH + LABEL_WIDTH:
            line.append(f"{spark(counts):<{MINUTES}} ", STYLES.get(outcome, ""))
        if last.get("p50") is not None:
            line.append(f"p50 {last['p50']:.0f}  p95 {last['p95']:.0f} ms")
        lines.append(line)
    return lines


def spark(counts: Sequence[int]) -> str:
    """A bar for each count, the highest for the most; nothing is a blank, little is not."""
    most = max(counts, default=0)
    if not most:
        return " " * len(counts)
    return "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in counts)


def _webhooks(view: View) -> Text:
    counts = view.health.get("checks", {}).get("webhooks", {}).get("data") or {}
    line = _label("Webhooks")
    for health in HEALTH:
        count = counts.get(health, 0)
        line.append(f"{count} {health}   ", STYLES[health] if count else "dim")
    return line


def _parts(view: View) -> Text:
    line = _label("Parts")
    for name in ("database", "broker", "cache", "workers", "beat"):
        status = view.health.get("checks", {}).get(name, {}).get("status", "unknown")
        line.append("● ", STYLES.get(status, "")).append(f"{name}   ")
    return line


def _title(name: str, width: int) -> Text:
    title = Text(f"── {name} ", style="bold")
    return title.append("─" * (width - title.cell_len), style="dim")


def _alerts(view: View, width: int, height: int) -> list[Text]:
    items = view.alerts.get("items", ())
    lines = [_title(f"Open alerts: {view.alerts.get('total', '–')}", width)]
    for one in items[: height - 1]:
        line = Text(f"{one['id']:>7}  ")
        line.append(f"{one['severity']:<9}", STYLES.get(one["severity"], ""))
        line.append(f"{ago(one['created_at'], view.at):>7}  ")
        line.append(f"{one['count']:>3}×  " if one["count"] > 1 else "      ")
        lines.append(line.append_text(cell(one["title"])))
    if not items:
        lines.append(Text("        none", style="dim"))
    return _filled(lines, height)


def _jobs(view: View, width: int, height: int) -> list[Text]:
    """What failed first, then what ran last."""
    lines = [_title("Jobs", width)]
    for one in sorted(view.jobs, key=_last_run, reverse=True)[: height - 1]:
        last = one["last_execution"] or {}
        line = Text(f" {plain(one['name']):<20} {_began(last, view.at):>6}  ")
        line.append_text(cell(last.get("status")))
        if one["missed_ticks_24h"]:
            line.append(f"  {one['missed_ticks_24h']} missed", style="yellow")
        lines.append(line)
    return _filled(lines, height)


def _last_run(job: Mapping[str, Any]) -> tuple[bool, str]:
    last = job["last_execution"] or {}
    return last.get("status") == "failed", last.get("started_at") or ""


def _began(execution: Mapping[str, Any], now: datetime) -> str:
    return ago(execution.get("started_at"), now)


def _workers(view: View, width: int, height: int) -> list[Text]:
    """Those that are gone first, so that they are seen."""
    lines = [_title("Workers", width)]
    workers = sorted(view.system.get("workers", ()), key=lambda one: (one["is_alive"], one["name"]))
    for one in workers[: height - 1]:
        line = Text(" ").append("● ", "green" if one["is_alive"] else "bold red")
        line.append(f"{plain(one['name']).partition('@')[0]:<12} ")
        line.append(f"{'' if one['is_alive'] else 'gone '}{ago(one['seen_at'], view.at)}")
        lines.append(line)
    return _filled(lines, height)


def _beside(left: Iterable[Text], right: Iterable[Text], left_width: int) -> list[Text]:
    """Two blocks of one height, with a blank column between them."""
    lines = []
    for one, other in zip(left, right, strict=True):
        one.truncate(max(left_width, 0), overflow="ellipsis", pad=True)
        lines.append(one.append(" ").append_text(other))
    return lines


def _filled(lines: list[Text], height: int) -> list[Text]:
    return [*lines[:height], *(Text("") for _ in range(height - len(lines)))]
