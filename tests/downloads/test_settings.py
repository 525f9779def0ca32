"""What may be set of the bucket for downloads."""

import pytest

from app.destinations.file_download import InternalBucket
from app.errors import SetupError
from app.settings import load_settings

KEYS = {"DOWNLOAD_ACCESS_KEY_ID": "key", "DOWNLOAD_SECRET_ACCESS_KEY": "the-secret-key"}
USABLE = {"DOWNLOAD_BUCKET_NAME": "downloads", **KEYS}


def set_env(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"BATCH_EXPORTS_{name}", value)


@pytest.mark.parametrize("values", [{}, KEYS, {"DOWNLOAD_BUCKET_NAME": " ", "DOWNLOAD_ENDPOINT_URL": ""}])
def test_without_a_name_there_is_no_bucket(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    set_env(monkeypatch, values)
    assert InternalBucket.of(load_settings()) is None


def test_clients_reach_the_store_where_the_service_does_unless_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    set_env(monkeypatch, {**USABLE, "DOWNLOAD_ENDPOINT_URL": "http://minio:9000"})
    bucket = InternalBucket.of(load_settings())
    assert bucket is not None
    assert (bucket.endpoint_url, bucket.public_endpoint_url) == ("http://minio:9000", "http://minio:9000")
    set_env(monkeypatch, {"DOWNLOAD_PUBLIC_ENDPOINT_URL": "https://files.example.com"})
    bucket = InternalBucket.of(load_settings())
    assert bucket is not None
    assert bucket.public_endpoint_url == "https://files.example.com"
    assert "the-secret-key" not in repr(bucket)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"DOWNLOAD_BUCKET_NAME": "downloads"}, "DOWNLOAD_ACCESS_KEY_ID must be set where DOWNLOAD_BUCKET_NAME is"),
        (
            {**USABLE, "DOWNLOAD_SECRET_ACCESS_KEY": ""},
            "DOWNLOAD_SECRET_ACCESS_KEY must be set where DOWNLOAD_BUCKET_NAME is",
        ),
        ({**USABLE, "DOWNLOAD_ENDPOINT_URL": "minio:9000"}, "DOWNLOAD_ENDPOINT_URL is not usable"),
        ({**USABLE, "DOWNLOAD_ENDPOINT_URL": "http://u:the-secret-key@minio"}, "DOWNLOAD_ENDPOINT_URL is not usable"),
        ({**USABLE, "DOWNLOAD_URL_LIFE": "700000"}, "DOWNLOAD_URL_LIFE is not usable"),
        ({**USABLE, "DOWNLOAD_PREFIX": "a/{event}"}, "DOWNLOAD_PREFIX is not usable"),
    ],
)
def test_what_could_not_work_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], named: str
) -> None:
    set_env(monkeypatch, values)
    with pytest.raises(SetupError, match=named) as caught:
        load_settings()
    assert "the-secret-key" not in str(caught.value)
