"""What a JSON body may carry but a database cannot hold is refused at the door."""

import math
import re
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

SURROGATE = re.compile("[\ud800-\udfff]")
MAX_DEPTH = 50
"""Of nested objects and lists. No field of this API has a use for more."""


class RequestModel(BaseModel):
    """A request body. Unknown keys are ignored (the contract's section 1.1).

    Fields are declared in the order in which their errors are told (section 1.3).
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


def storable(value: Any) -> Any:
    """The value itself, for validators of fields.

    :raises PydanticCustomError: for null characters, lone surrogates, infinite numbers or deep nesting.
    """
    _check(value, 0)
    return value


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise PydanticCustomError("too_deep", "This is nested too deeply.")
    match value:
        case str():
            _check_text(value)
        case float() if not math.isfinite(value):
            raise PydanticCustomError("out_of_range", "Out of range float values are not JSON compliant.")
        case dict():
            for key, item in value.items():
                _check_text(key)
                _check(item, depth + 1)
        case list():
            for item in value:
                _check(item, depth + 1)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise PydanticCustomError("null_characters_not_allowed", "Null characters are not allowed.")
    if (found := SURROGATE.search(text)) is not None:
        raise PydanticCustomError(
            "surrogate_characters_not_allowed", f"Surrogate characters are not allowed: U+{ord(found[0]):X}."
        )
