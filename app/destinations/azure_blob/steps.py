"""The connection test of Azure Blob Storage (the contract's section 11)."""

from typing import Final

from app.destinations.azure_blob.client import open_client
from app.destinations.azure_blob.connection import Connection
from app.destinations.azure_blob.errors import LOST, as_run_error, code_of, is_denied
from app.destinations.steps import Step, StepResult, Trial
from app.errors import RunError

RETRIES: Final = 0
TIMEOUT: Final = 10.0
"""Of one request, in seconds. Somebody is waiting for the answer, and would rather know soon what a run would retry."""


async def _container_exists(trial: Trial) -> StepResult:
    settings = trial.settings
    container = str(settings["container_name"])
    try:
        connection = Connection.parse(str(settings["connection_string"]))
    except ValueError as error:
        return StepResult.failed(f"The integration's connection string cannot be used: {error}")
    try:
        async with open_client(connection, container, trial.network, retries=RETRIES, timeout=TIMEOUT) as client:
            await client.get_container_properties()
    except (*LOST, ValueError) as error:
        # A SAS for objects alone may do all that an export does, and not look at their container.
        if is_denied(error):
            return StepResult.passed()
        return StepResult.failed(_reason(error, connection, container))
    return StepResult.passed()


def _reason(error: Exception, connection: Connection, container: str) -> str:
    """As a run would be told; never in the service's own words, which may repeat credentials."""
    if code_of(error) == "ContainerNotFound":
        return f"Container '{container}' does not exist or we don't have permissions to use it"
    told = as_run_error(error, connection.where(container), connection.valid_until)
    return told.message if isinstance(told, RunError) else f"unexpected {type(error).__name__}"


CONTAINER_EXISTS: Final = Step(
    "Check Azure Blob container exists",
    "See that the container exists and can be reached with the integration's credentials.",
    _container_exists,
    ("container_name", "connection_string"),
)
