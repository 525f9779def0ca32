from functools import partial

import pytest

from app.embedded import Stack
from app.runtime import Runtime
from tests.http.callers import Tenant
from tests.verification.exported import MakeExported, make_exported


@pytest.fixture
def exported(runtime: Runtime, stack: Stack, tenant: Tenant) -> MakeExported:
    """Makes a run of the tenant's that has been completed."""
    return partial(make_exported, runtime, stack, tenant.project_id)
