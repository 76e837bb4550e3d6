"""Matchers, as objects or in Alertmanager's text form."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.api.schemas.fields import Text
from app.domain.matchers import BadMatcher, BadPattern, Matcher, Op, read_matcher

MAX_MATCHERS = 50
MAX_TEXT_CHARS = 4096
EXAMPLE = [{"name": "severity", "op": "=~", "value": "warning|critical"}]


class MatcherSchema(Schema):
    """What a label, `severity` or `source` must be like. A missing label is the empty text."""

    name = Text(128, 1, required=True, metadata={"example": "severity"})
    op = fields.String(
        required=True,
        validate=validate.OneOf([op.value for op in Op]),
        metadata={"example": "=~"},
    )
    value = Text(
        1024,
        required=True,
        metadata={
            "description": "For =~ and !~ a regular expression of RE2, which must match the whole.",
            "example": "warning|critical",
        },
    )


_shape = MatcherSchema()


class _MatcherField(fields.Nested):
    """Shown, and described, as an object; read from one, or from a text."""

    def _deserialize(
        self,
        value: Any,
        attr: str | None,
        data: Mapping[str, Any] | None,
        partial: Any = None,
        **kwargs: Any,
    ) -> dict[str, str]:
        loaded: dict[str, str] = _shape.load(_as_object(value))
        try:
            Matcher(loaded["name"], Op(loaded["op"]), loaded["value"]).check()
        except BadPattern as refusal:
            raise ValidationError({"value": [f"RE2 does not take it: {refusal}."]}) from None
        return loaded


def _as_object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if len(value) > MAX_TEXT_CHARS:
        raise ValidationError(f"Longer than {MAX_TEXT_CHARS} characters.")
    try:
        matcher = read_matcher(value)
    except BadMatcher as refusal:
        raise ValidationError(str(refusal)) from None
    return {"name": matcher.name, "op": matcher.op.value, "value": matcher.value}


def matchers(least: int, description: str, **kwargs: Any) -> "fields.List[dict[str, str]]":
    """A list of matchers, all of which must match."""
    return fields.List(
        _MatcherField(MatcherSchema),
        validate=validate.Length(min=least, max=MAX_MATCHERS),
        metadata={
            "description": f'{description} Texts like `severity=~"warning|critical"` do as well.',
            "example": EXAMPLE,
        },
        **kwargs,
    )
