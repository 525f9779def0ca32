"""Destinations. A new one is a file here and a line below."""

from collections.abc import Mapping
from typing import Any

from app.destinations.base import Destination
from app.destinations.noop import NoOp
from app.destinations.s3 import S3, S3Compatible

DESTINATIONS: Mapping[str, type[Destination]] = {
    destination.name: destination
    for destination in (
        S3,
        S3Compatible,
        NoOp,
    )
}
"""By the type the API gives it."""


def build(name: str, document: Mapping[str, Any]) -> Destination:
    """The destination that a stored config describes. Keys it does not know are left aside.

    :raises pydantic.ValidationError: for a document that ``check_config`` would not have let pass.
    """
    destination = DESTINATIONS[name]
    fields = destination.config_model.model_fields
    return destination(destination.config_model(**{key: value for key, value in document.items() if key in fields}))
