"""A badge: a small SVG that says in a word how a webhook is doing."""

from html import escape

MAX_LABEL_CHARS = 40
# Of Verdana at 11 px, on the average; the text is stretched or pressed to fit what was reckoned.
CHAR_WIDTH, PADDING, HEIGHT = 7, 6, 20

GREEN, YELLOW, RED, GREY = "#2e7d32", "#b26a00", "#c62828", "#616161"
_COLOURS = {"healthy": GREEN, "degraded": YELLOW, "unavailable": RED}
# The least uptime for each colour.
GOOD_UPTIME, FAIR_UPTIME = 0.999, 0.99


def status_badge(name: str, health_status: str, *, is_active: bool) -> str:
    status = health_status if is_active else "inactive"
    return _badge(name, status, _COLOURS.get(status, GREY))


def uptime_badge(name: str, window: str, uptime: float | None) -> str:
    label = f"{name} {window}"
    if uptime is None:
        return _badge(label, "no data", GREY)
    # Never rounded up to what it is not.
    percent = int(uptime * 100_00) / 100
    colour = GREEN if uptime >= GOOD_UPTIME else YELLOW if uptime >= FAIR_UPTIME else RED
    return _badge(label, f"{percent:g} %", colour)


def _badge(label: str, value: str, colour: str) -> str:
    if len(label) > MAX_LABEL_CHARS:
        label = label[: MAX_LABEL_CHARS - 1] + "…"
    left, right = (len(text) * CHAR_WIDTH + 2 * PADDING for text in (label, value))
    label, value = escape(_printable(label)), escape(value)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{HEIGHT}"'
        f' role="img" aria-label="{label}: {value}"><title>{label}: {value}</title>'
        f'<rect width="{left}" height="{HEIGHT}" fill="#424242"/>'
        f'<rect x="{left}" width="{right}" height="{HEIGHT}" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{PADDING}" y="14" textLength="{left - 2 * PADDING}">{label}</text>'
        f'<text x="{left + PADDING}" y="14" textLength="{right - 2 * PADDING}">{value}</text>'
        "</g></svg>"
    )


def _printable(text: str) -> str:
    """XML has no way to write most control characters."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
