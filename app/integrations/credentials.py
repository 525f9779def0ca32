"""From the two documents of an integration to its credentials, and to the documents that are stored."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from app.errors import ValidationFailed
from app.http.validation import first_error
from app.integrations.kinds import KINDS, Credentials

CONFIG = "config"
SENSITIVE = "sensitive_config"


def check(kind: str, config: Mapping[str, Any], sensitive: Mapping[str, Any]) -> Credentials:
    """Both documents against the rules of the kind.

    :raises ValidationFailed: for the first key that is unknown, in the wrong document, missing or wrong. Values of
        secrets are never repeated.
    """
    model = KINDS[kind]
    secrets = model.secrets()
    public = model.model_fields.keys() - secrets
    _refuse_strangers(kind, config, public, secrets, CONFIG)
    _refuse_strangers(kind, sensitive, secrets, public, SENSITIVE)
    try:
        credentials = model.model_validate({**config, **sensitive})
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        raise first_error([{**one, "loc": (_document(model, one["loc"][0]), *one["loc"])} for one in wrong]) from None
    for key in credentials.needed():
        if getattr(credentials, key) is None:
            raise ValidationFailed("This field is required.", code="required", attr=f"{_document(model, key)}__{key}")
    return credentials


def split(credentials: Credentials) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two documents to store: what was sent, in its declared types, and nothing else."""
    sent = credentials.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    secrets = credentials.secrets()
    return (
        {key: value for key, value in sent.items() if key not in secrets},
        {key: value for key, value in sent.items() if key in secrets},
    )


def _refuse_strangers(
    kind: str, sent: Iterable[str], known: Iterable[str], elsewhere: Iterable[str], document: str
) -> None:
    strangers = sorted(set(sent) - set(known))
    if not strangers:
        return
    moved = [key for key in strangers if key in set(elsewhere)]
    if moved:
        other = SENSITIVE if document == CONFIG else CONFIG
        raise ValidationFailed(f"{_quoted(moved)} must be sent in '{other}', not in '{document}'", attr=document)
    raise ValidationFailed(f"Integration of kind '{kind}' has unknown field/s: {_quoted(strangers)}", attr=document)


def _quoted(keys: Iterable[str]) -> str:
    return ", ".join(f"'{key}'" for key in keys)


def _document(model: type[Credentials], key: object) -> str:
    return SENSITIVE if key in model.secrets() else CONFIG
