"""The bucket that file downloads lie in, how long they stay there, and what asking for them may cost."""

from datetime import timedelta
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from app.settings.kinds import Group, Seconds

LONGEST_URL: Final = timedelta(days=7)
"""What the signatures of S3 allow."""


def _blank_is_none(value: Any) -> Any:
    # So that a compose file may name a variable that is not set.
    return None if isinstance(value, str) and not value.strip() else value


def _checked_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be an address alone; credentials have settings of their own")
    return value


Text = Annotated[str | None, BeforeValidator(_blank_is_none)]
Secret = Annotated[SecretStr | None, BeforeValidator(_blank_is_none)]
Url = Annotated[Annotated[str, AfterValidator(_checked_url)] | None, BeforeValidator(_blank_is_none)]


class DownloadSettings(Group):
    download_bucket_name: Text = Field(
        None,
        description="The bucket for file downloads, in any S3-compatible store; the API and the workers need it. "
        "Without one there are no file downloads.",
    )
    download_region: str = Field("us-east-1", description="Region of the bucket for file downloads.")
    download_endpoint_url: Url = Field(
        None,
        description="Where the store of that bucket answers, if it is not Amazon's. It may be a private address: it is "
        "yours, and exports are not allowed there by it.",
    )
    download_public_endpoint_url: Url = Field(
        None,
        description="Where people's browsers reach that store, if it is not at DOWNLOAD_ENDPOINT_URL: links for "
        "downloading lead there.",
    )
    download_access_key_id: Secret = Field(None, description="Access key of the bucket for file downloads.")
    download_secret_access_key: Secret = Field(None, description="Its secret.")
    download_virtual_style_addressing: bool = Field(
        False, description="Whether that store wants the bucket in the host's name. Amazon's is known."
    )
    download_prefix: str = Field(
        "file_downloads",
        pattern=r"^[A-Za-z0-9/!_.*'()-]*$",
        description="Under which prefix downloads lie in the bucket.",
    )
    download_expiry: Seconds = Field(
        timedelta(days=7),
        gt=timedelta(0),
        description="How long a file download can be had. Its files are deleted after that.",
    )
    download_url_life: Seconds = Field(
        timedelta(hours=1),
        ge=timedelta(seconds=1),
        le=LONGEST_URL,
        description="How long a link for downloading works; never longer than the download itself.",
    )
    download_cleanup_interval: Seconds = Field(
        timedelta(minutes=1), gt=timedelta(0), description="How often a worker looks for downloads to delete."
    )
    max_concurrent_downloads: int = Field(
        5, ge=1, description="Unfinished file downloads of one project; one more is answered with 429."
    )
    count_rows_time_limit: Seconds = Field(
        timedelta(seconds=30), gt=timedelta(0), description="How long counting the rows of a query may take."
    )
    count_rows_per_minute: int = Field(
        20, ge=0, description="Counts that one API key may ask for per minute. 0 is no limit of its own."
    )

    @model_validator(mode="after")
    def _the_bucket_has_keys(self) -> Self:
        if self.download_bucket_name is not None:
            for name in ("download_access_key_id", "download_secret_access_key"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name.upper()} must be set where DOWNLOAD_BUCKET_NAME is")
        return self
