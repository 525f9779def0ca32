"""Which exports use an integration.

Most name it in a column. A Redshift export that loads by COPY may name further ones inside its sealed config.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

COPY_DESTINATION = "Redshift"
COPY_KIND = "aws-s3"
"""The one kind that a config may refer to by id."""

SHOWN = 5
"""Exports that a refusal names; of more it gives the number."""


def named_in(config: Mapping[str, Any]) -> set[int]:
    """The ids of integrations that a Redshift destination's config refers to, as numbers or as digits."""
    inputs = config.get("copy_inputs")
    if not isinstance(inputs, Mapping):
        return set()
    return {number for key in ("authorization", "bucket_credentials") if (number := _id(inputs.get(key))) is not None}


def _id(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10 else None


def in_use(exports: Sequence[tuple[UUID, str]]) -> str:
    """Why the integration cannot be deleted."""
    named = ", ".join(f"'{name}' ({export_id})" for export_id, name in exports[:SHOWN])
    more = f" and {len(exports) - SHOWN} more" if len(exports) > SHOWN else ""
    return (
        f"This integration is in use by {len(exports)} batch export{'' if len(exports) == 1 else 's'}: {named}{more}. "
        "Delete them or have them use another integration first."
    )
