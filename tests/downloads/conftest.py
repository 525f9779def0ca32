from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.embedded import Stack
from app.runtime import Runtime
from app.settings import Settings
from tests.downloads.asking import Downloads
from tests.worker.processes import Workers, workers_on


@pytest.fixture
def settings(settings: Settings, stack: Stack) -> Settings:
    """With a bucket for downloads on this machine, where exports may not go."""
    s3 = stack.s3
    return settings.model_copy(
        update={
            "allowed_private_hosts": [],
            "download_bucket_name": s3["bucket_name"],
            "download_endpoint_url": s3["endpoint_url"],
            "download_access_key_id": SecretStr(s3["aws_access_key_id"]),
            "download_secret_access_key": SecretStr(s3["aws_secret_access_key"]),
            # Where nobody else's are: the bucket is everybody's.
            "download_prefix": settings.database_url.get_secret_value().rpartition("/")[2],
        }
    )


@pytest.fixture
def downloads(runtime: Runtime, stack: Stack) -> Downloads:
    return Downloads(runtime, stack)


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Workers:
    """They know the bucket too."""
    made = workers_on(settings, tmp_path / "workers")
    own = {
        f"BATCH_EXPORTS_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in settings.model_dump(exclude_none=True).items()
        if name.startswith("download_") and isinstance(value, str | SecretStr)
    }
    return replace(made, env={**made.env, **own})
