"""Text that can be stored: what a JSON body may carry but a database cannot hold is refused at the door."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_DEPTH = 50
"""Of nested objects and lists. No field of this API has a use for more."""


class RequestModel(BaseModel):
    """A request body. Unknown keys are ignored (the contract's section 1.1)."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, body: Any) -> Any:
        _check(body, 0)
        return body


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise PydanticCustomError("too_deep", "This is nested too deeply.")
    match value:
        case str() if UNSTORABLE.search(value):
            raise PydanticCustomError("unstorable", "Null characters and lone surrogates are not allowed.")
        case dict():
            for key, item in value.items():
                _check(key, depth)
                _check(item, depth + 1)
        case list():
            for item in value:
                _check(item, depth + 1)
