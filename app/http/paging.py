"""Pages: by limit and offset, and by cursor (the contract's section 1.4)."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, WithJsonSchema

from app.errors import NotFound, ValidationFailed

T = TypeVar("T")

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_OFFSET = 2**31 - 1


class OffsetPage(BaseModel, Generic[T]):
    count: int
    next: str | None
    previous: str | None
    results: list[T]


class CursorPage(BaseModel, Generic[T]):
    next: str | None
    previous: str | None
    results: list[T]


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows a page by offset holds."""

    limit: int
    offset: int


def _number(text: str | None, default: int, least: int, most: int) -> int:
    if text is None or not (text.isascii() and text.isdigit()):
        return default
    # Beyond its own length, `most` is less than any number; thousands of digits are refused by Python itself.
    digits = text.lstrip("0") or "0"
    number = int(digits) if len(digits) <= len(str(most)) else most
    return min(number, most) if number >= least else default


def lenient(documented: dict[str, Any], default: Any) -> WithJsonSchema:
    """How a parameter is documented whose odd values are read as its default: clients are used to that."""
    return WithJsonSchema({"anyOf": [documented, {"type": "string"}], "default": default})


def page_slice(
    limit: Annotated[
        str | None,
        lenient({"type": "integer", "minimum": 1}, DEFAULT_LIMIT),
        Query(description="Rows."),
    ] = None,
    offset: Annotated[
        str | None, lenient({"type": "integer", "minimum": 0}, 0), Query(description="Rows before.")
    ] = None,
) -> Slice:
    """Odd values fall back to the defaults, as clients of this API are used to."""
    return Slice(_number(limit, DEFAULT_LIMIT, 1, MAX_LIMIT), _number(offset, 0, 0, MAX_OFFSET))


def strict_limit(text: str | None, default: int, most: int) -> int:
    """``limit``, where what is out of bounds is refused rather than replaced; blank means not given.

    :raises ValidationFailed: for less than 1, more than ``most``, or no number.
    """
    if not text:
        return default
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    if not (digits.isascii() and digits.isdigit()):
        raise ValidationFailed("A valid integer is required.", attr="limit")
    if sign == "-" or not digits.strip("0"):
        raise ValidationFailed("Ensure this value is greater than or equal to 1.", code="min_value", attr="limit")
    limit = _number(digits, default, 1, most + 1)
    if limit > most:
        raise ValidationFailed(f"Ensure this value is less than or equal to {most}.", code="max_value", attr="limit")
    return limit


def offset_links(request: Request, where: Slice, count: int) -> dict[str, str | None]:
    """``next`` and ``previous``, for the page's body."""
    after, before = where.offset + where.limit, where.offset - where.limit
    url = request.url.include_query_params(limit=where.limit)
    first = str(url.remove_query_params("offset"))
    return {
        "next": str(url.include_query_params(offset=after)) if after < count else None,
        "previous": None
        if where.offset == 0
        else first
        if before <= 0
        else str(url.include_query_params(offset=before)),
    }


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in an ordered list: right after the row with this value and id, or right before it, going back."""

    value: datetime | None
    id: UUID
    back: bool = False

    def encode(self) -> str:
        parts = [self.value.isoformat() if self.value is not None else None, str(self.id), self.back]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """:raises NotFound: for a text that no page has handed out."""
        try:
            value, row_id, back = json.loads(base64.urlsafe_b64decode(text.encode()))
            moment = datetime.fromisoformat(value) if value is not None else None
            if moment is not None and moment.tzinfo is None:
                raise ValueError(value)
            return cls(moment and moment.astimezone(UTC), UUID(row_id), bool(back))
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            raise NotFound("Invalid cursor") from None


def page_cursor(
    cursor: Annotated[
        str | None,
        WithJsonSchema({"type": "string"}),
        Query(description="Opaque: from `next` or `previous` of another page."),
    ] = None,
) -> Cursor | None:
    return Cursor.decode(cursor) if cursor else None


def cursor_links(
    request: Request, cursor: Cursor | None, rows: Sequence[Any], field: str, *, more: bool
) -> dict[str, str | None]:
    """``next`` and ``previous`` around ``rows``; ``more`` says whether rows follow in the direction that was read."""

    def link(row: Any, *, back: bool) -> str:
        return str(request.url.include_query_params(cursor=Cursor(getattr(row, field), row.id, back).encode()))

    back = cursor is not None and cursor.back
    follows, precedes = (True, more) if back else (more, cursor is not None)
    return {
        "next": link(rows[-1], back=False) if rows and follows else None,
        "previous": link(rows[0], back=True) if rows and precedes else None,
    }
