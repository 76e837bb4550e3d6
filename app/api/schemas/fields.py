"""Fields that many schemas share, each with the checks that keep bad input out of the database."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.domain.cursors import decode_cursor

MAX_LABELS = 50
MAX_ID = 2**63 - 1


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValidationError("Must not contain a NUL character.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValidationError("Must be valid Unicode: it holds half of a surrogate pair.") from None
    return value


class Text(fields.String):
    """A string that PostgreSQL can hold, of `least` to `most` characters."""

    def __init__(self, most: int, least: int = 0, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(min=least, max=most), **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        return _storable(super()._deserialize(value, attr, data, **kwargs) or "")


class Whole(fields.Integer):
    """A whole number from `least` to `most`; texts, fractions and booleans are refused."""

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(min=least, max=most), **kwargs)

    def _validated(self, value: Any) -> int:
        if isinstance(value, (bool, str)):
            raise self.make_error("invalid", input=value)
        validated = super()._validated(value)
        if validated is None:
            raise self.make_error("invalid", input=value)
        return int(validated)


class Number(fields.Float):
    """A number from `least` to `most`; texts, booleans and infinities are refused."""

    def __init__(self, least: float, most: float, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(min=least, max=most), **kwargs)

    def _validated(self, value: Any) -> float:
        if isinstance(value, str):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Flag(fields.Boolean):
    """true or false, and nothing that only looks like it."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def ids(most: int, **kwargs: Any) -> "fields.List[int]":
    """A list of 1 to `most` ids."""
    return fields.List(Whole(1, MAX_ID), validate=validate.Length(min=1, max=most), **kwargs)


def labels(**kwargs: Any) -> "fields.Dict":
    """A map of short names to short texts."""
    return fields.Dict(
        keys=Text(128, 1),
        values=Text(1024),
        validate=validate.Length(max=MAX_LABELS),
        metadata={"example": {"host": "db-1", "team": "storage"}},
        **kwargs,
    )


class Moment(fields.AwareDateTime):
    """A time that is in the years 1 to 9999 in UTC too: PostgreSQL goes on, Python does not."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        try:
            return super()._deserialize(value, attr, data, **kwargs).astimezone(UTC)
        except OverflowError:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


def moment(**kwargs: Any) -> Moment:
    """A time in ISO 8601; one without a zone is UTC."""
    return Moment(format="iso", default_timezone=UTC, **kwargs)


class Cursor(fields.String):
    """Where the page before ended, as its `next_cursor` said; loads as the last id seen."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return decode_cursor(text or "")
        except ValueError:
            raise ValidationError("This is not a cursor that a list gave out.") from None


class PageQuery(Schema):
    """What every list takes."""

    limit = fields.Integer(
        load_default=20,
        validate=validate.Range(min=1, max=100),
        metadata={"description": "At most so many items."},
    )
    cursor = Cursor(
        load_default=None, metadata={"description": "The `next_cursor` of the page before."}
    )


def page_of(item: type[Schema]) -> type[Schema]:
    """The schema of a list of `item`."""
    return Schema.from_dict(
        {
            "items": fields.List(fields.Nested(item), required=True),
            "total": fields.Integer(
                required=True, metadata={"description": "How many there are on all pages."}
            ),
            "total_is_exact": fields.Boolean(
                required=True,
                metadata={"description": "Beyond 10,000 the total is an estimate: then false."},
            ),
            "next_cursor": fields.String(
                required=True,
                allow_none=True,
                metadata={"description": "For the next page; null on the last."},
            ),
        },
        name=f"{item.__name__.removesuffix('Schema')}Page",
    )
