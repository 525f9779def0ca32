"""Integrations, as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from app.http.text import RequestModel, storable
from app.integrations.kinds import KINDS
from app.models import Integration

EXAMPLE: dict[str, JsonValue] = {
    "kind": "s3-compatible",
    "config": {"name": "Archive", "endpoint_url": "https://objects.example.com"},
    "sensitive_config": {"aws_access_key_id": "…", "aws_secret_access_key": "…"},
}


def _kind(value: Any) -> Any:
    if value is not None and not (isinstance(value, str) and value in KINDS):
        raise PydanticCustomError("invalid_choice", "Not a valid choice.")
    return value


def _keys_of(*, secret: bool) -> str:
    """The keys of every kind, for the documentation."""
    lines = []
    for name, model in KINDS.items():
        keys = [
            f"`{key}`" + ("" if field.is_required() else "?")
            for key, field in model.model_fields.items()
            if (key in model.secrets()) is secret
        ]
        lines.append(f"- `{name}`: {', '.join(keys)}")
    return "\n".join(lines)


Document = Annotated[dict[str, Any], AfterValidator(storable)]


class IntegrationWrite(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    kind: Annotated[str, BeforeValidator(_kind), Field(json_schema_extra={"enum": [*KINDS]})]
    config: Document = Field(
        default_factory=dict, description="What is no secret; `?` may be left out.\n\n" + _keys_of(secret=False)
    )
    sensitive_config: Document = Field(
        default_factory=dict,
        description="Secrets; never shown again. `?` may be left out, unless another key makes it necessary.\n\n"
        + _keys_of(secret=True),
    )


class IntegrationRead(BaseModel):
    id: int
    kind: str
    config: dict[str, Any] = Field(description="Without secrets.")
    display_name: str = Field(description="What tells it apart in a list.")
    created_at: datetime
    created_by: UUID | None = Field(description="The id of the API key that made it.")
    errors: str = Field(description="Empty: nothing is known to be wrong with it.")

    @classmethod
    def of(cls, integration: Integration) -> Self:
        # The model is not checked: only what is public is here, and it was checked when it was stored.
        public = KINDS[integration.kind].model_construct(**integration.config)
        return cls(
            id=integration.id,
            kind=integration.kind,
            config=integration.config,
            display_name=public.display_name,
            created_at=integration.created_at,
            created_by=integration.created_by,
            errors="",
        )
