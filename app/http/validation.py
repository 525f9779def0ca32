"""Pydantic's errors in the contract's words (section 1.3). Only the first one is told."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic_core import PydanticCustomError

from app.errors import ApiError, ValidationFailed

ANSWERED = "answered"
"""The type of an error that says itself how it is answered."""

DATETIME_TEXT = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)

TEXTS: Mapping[str, tuple[str, str]] = {
    "missing": ("required", "This field is required."),
    "blank": ("blank", "This field may not be blank."),
    "string_type": ("invalid_input", "Not a valid string."),
    "bool_type": ("invalid_input", "Must be a valid boolean."),
    "int_type": ("invalid_input", "A valid integer is required."),
    "datetime_type": ("invalid_input", DATETIME_TEXT),
    "datetime_parsing": ("invalid_input", DATETIME_TEXT),
    "datetime_from_date_parsing": ("invalid_input", DATETIME_TEXT),
    "datetime_object_invalid": ("invalid_input", DATETIME_TEXT),
}
"""Pydantic's error type to the contract's code and text."""

OWN_CODES = frozenset(
    {
        "does_not_exist",
        "incorrect_type",
        "null_characters_not_allowed",
        "surrogate_characters_not_allowed",
    }
)
"""Types of errors raised in this project whose name is the contract's code, and whose message is its text."""


@contextmanager
def in_order() -> Iterator[None]:
    """Around what a validator asks of others: their refusal, worded as it is, takes its field's place in the order."""
    try:
        yield
    except ValidationFailed as error:
        raise PydanticCustomError(ANSWERED, "{detail}", {"detail": error.detail, "error": error}) from None


def first_error(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """The first of pydantic's errors, whose ``loc`` is the field's path."""
    error = errors[0]
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    attr = "__".join(str(part) for part in error["loc"]) or None
    if kind == ANSWERED:
        answer: ApiError = context["error"]
        return answer
    if given is None and kind != "missing":
        return ValidationFailed("This field may not be null.", code="null", attr=attr)
    code, text = TEXTS.get(kind) or _worded(kind, given, context) or ("invalid_input", str(error["msg"]))
    return ValidationFailed(text, code=kind if kind in OWN_CODES else code, attr=attr)


def _worded(kind: str, given: Any, context: Mapping[str, Any]) -> tuple[str, str] | None:
    match kind:
        case "enum" | "invalid_choice":
            return "invalid_choice", f'"{_shown(given)}" is not a valid choice.'
        case "greater_than_equal":
            return "min_value", f"Ensure this value is greater than or equal to {context['ge']}."
        case "less_than_equal":
            return "max_value", f"Ensure this value is less than or equal to {context['le']}."
        case "dict_type" | "model_type" | "model_attributes_type":
            return "invalid_input", f"Invalid data. Expected a dictionary, but got {type(given).__name__}."
    return None


def _shown(given: Any) -> str:
    """Only a text is repeated: an object sent in a choice's place may hold anything, secrets too."""
    return given if isinstance(given, str) else type(given).__name__
