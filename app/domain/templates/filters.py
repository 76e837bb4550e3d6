"""The filters that a template may use. Each is charged for what it reads and makes, and none can
make much out of little."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson
from jinja2 import Undefined, pass_context
from jinja2.runtime import Context

from app.domain.templates.budget import MAX_TEXT_CHARS, Budget, TemplateFailed

# No name of a template's: those have no space.
BUDGET = " budget"


class Json(str):
    """A text that is JSON already, so that it is put out as it is."""

    __slots__ = ()


def budget_of(context: Context) -> Budget:
    found: Budget = context.parent[BUDGET]
    return found


def as_text(value: Any) -> str:
    """What a value looks like inside a text."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Undefined):
        return ""
    return as_json(value)


def as_json(value: Any) -> Json:
    """Raises TemplateFailed for what has no JSON, like a loop."""
    if isinstance(value, Undefined):
        value = None
    try:
        # By way of bytes in UTF-8: half a surrogate pair would not be one.
        return Json(orjson.dumps(value).decode())
    except TypeError:
        raise TemplateFailed(f"A {type(value).__name__} can't be put out.") from None


def _default(value: Any, default: Any = "", boolean: bool = False) -> Any:
    missing = value is None or isinstance(value, Undefined)
    return default if missing or (boolean and not value) else value


def _join(value: Any, separator: Any = "") -> str:
    texts = [as_text(one) for one in _listed(value)]
    between = as_text(separator)
    _check_size(sum(map(len, texts)) + len(between) * max(0, len(texts) - 1))
    return between.join(texts)


def _check_size(chars: int) -> None:
    if chars > MAX_TEXT_CHARS:
        raise TemplateFailed(f"It makes a text of more than {MAX_TEXT_CHARS} characters.")


def _truncate(value: Any, length: Any = 255, end: Any = "…") -> str:
    text, end = as_text(value), as_text(end)
    most = int(length)
    return text if len(text) <= most else text[: max(0, most - len(end))] + end


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, Sequence, Mapping)) else 0


def _items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _listed(value: Any) -> Sequence[Any]:
    if value is None or isinstance(value, Undefined):
        return ()
    if isinstance(value, Mapping):
        return list(value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TemplateFailed("Only a list or a map can be gone through.")
    return value


def _first(value: Any) -> Any:
    listed = _listed(value)
    return listed[0] if listed else None


def _last(value: Any) -> Any:
    listed = _listed(value)
    return listed[-1] if listed else None


_PLAIN: Mapping[str, Callable[..., Any]] = {
    "default": _default,
    "first": _first,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "lower": lambda value: as_text(value).lower(),
    "title": lambda value: as_text(value).title(),
    "tojson": as_json,
    "trim": lambda value: as_text(value).strip(),
    "truncate": _truncate,
    "upper": lambda value: as_text(value).upper(),
    "urlencode": lambda value: quote(as_text(value), safe=""),
}


def _charged(plain: Callable[..., Any]) -> Callable[..., Any]:
    @pass_context
    def charged(context: Context, *arguments: Any, **named: Any) -> Any:
        budget = budget_of(context)
        for value in (*arguments, *named.values()):
            budget.spend_on(value)
        result = plain(*arguments, **named)
        budget.spend_on(result)
        return result

    return charged


@pass_context
def _replace(context: Context, value: Any, old: Any, new: Any) -> str:
    text, sought, put = as_text(value), as_text(old), as_text(new)
    if not sought:
        return text
    # Counted, and then replaced.
    budget = budget_of(context)
    budget.spend_on_search(sought, text)
    budget.spend_on_search(sought, text)
    _check_size(len(text) + text.count(sought) * max(0, len(put) - len(sought)))
    return text.replace(sought, put)


@pass_context
def _is_in(context: Context, value: Any, container: Any) -> bool:
    budget = budget_of(context)
    if isinstance(container, str):
        sought = as_text(value)
        budget.spend_on_search(sought, container)
        return sought in container
    listed = _listed(container)
    budget.spend(len(listed))
    for one in listed:
        budget.spend_on(one)
    return value in listed


@pass_context
def _sized(context: Context, value: Any) -> Any:
    budget_of(context).spend_on(value)
    return value


@pass_context
def _each(context: Context, value: Any, cost: int) -> Sequence[Any]:
    """What a loop goes through, paid for in advance."""
    listed = _listed(value)
    budget_of(context).spend(len(listed) * cost)
    return listed


FILTERS: Mapping[str, Callable[..., Any]] = {
    **{name: _charged(plain) for name, plain in _PLAIN.items()},
    "replace": _replace,
}
# Put in by us, never by a template: their names can't be written there.
SIZED, EACH, IS_IN = " sized", " each", " is in"
OWN_FILTERS: Mapping[str, Callable[..., Any]] = {SIZED: _sized, EACH: _each, IS_IN: _is_in}
