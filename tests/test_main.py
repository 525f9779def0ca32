"""The application as a whole: its documentation, its health."""

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import make_url

from app.main import create_app
from app.settings import Settings
from tests.http.callers import Tenant, open_client
from tests.worker.proxy import open_proxy

ROOT = "http://service.test"
METHODS = {"get", "post", "put", "patch", "delete"}
ROUTES = {
    "create_export",
    "delete_export",
    "list_export_logs",
    "list_exports",
    "list_test_steps",
    "patch_export",
    "pause_export",
    "preview_export",
    "replace_export",
    "retrieve_export",
    "run_test_step",
    "run_test_step_new",
    "start_backfill",
    "unpause_export",
}
NESTED = {
    "cancel_backfill",
    "cancel_download",
    "cancel_run",
    "count_download_rows",
    "create_backfill",
    "create_download",
    "create_integration",
    "delete_integration",
    "fetch_file",
    "fetch_first_file",
    "list_backfills",
    "list_download_logs",
    "list_downloads",
    "list_integrations",
    "list_ingestion_errors",
    "list_intervals",
    "list_notification_deliveries",
    "list_files",
    "list_run_logs",
    "list_runs",
    "replace_notification_channels",
    "retrieve_backfill",
    "retrieve_download",
    "retrieve_integration",
    "retrieve_notification_channels",
    "retrieve_run",
    "retry_run",
    "rotate_webhook_secret",
    "send_test_notification",
    "verify_run",
}
INTAKE = {
    "browser_config",
    "browser_script",
    *(f"no_flags_{path}" for path in ("flags", "decide")),
    *(f"send_events_{path}" for path in ("batch", "capture", "e")),
    *(f"send_events_newer_{path}" for path in ("i_v0_e", "i_v0_ai_batch")),
}
"""Of no tenant's place, and without a key: whoever has a project's token may send."""


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


@pytest.fixture
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By their ids, with their path."""
    found = [
        {**operation, "path": path, "method": method}
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]
    by_id = {operation["operationId"]: operation for operation in found}
    assert len(by_id) == len(found)
    return by_id


def test_operations_are_named_by_mount_and_what_they_do(operations: dict[str, Any]) -> None:
    assert set(operations) == {
        *(f"{mount}_{route}" for mount in ("projects", "environments") for route in ROUTES | NESTED),
        *(f"organizations_{route}" for route in ROUTES),
        *(f"intake_{route}" for route in INTAKE),
    }
    assert all(operation["tags"] and operation["summary"] for operation in operations.values())


@pytest.fixture
def with_a_key(operations: dict[str, Any]) -> dict[str, Any]:
    """Operations of the API proper."""
    return {name: one for name, one in operations.items() if not name.startswith("intake_")}


def test_the_intake_asks_for_no_key_and_documents_its_errors(operations: dict[str, Any]) -> None:
    error = {"$ref": "#/components/schemas/ErrorBody"}
    for name in INTAKE:
        operation = operations[f"intake_{name}"]
        assert "security" not in operation
        wrong = {status for status in operation["responses"] if not status.startswith("2")}
        assert wrong == ({"400", "401", "408", "413", "503", "default"} if "send" in name else {"400", "default"})
        assert {operation["responses"][one]["content"]["application/json"]["schema"]["$ref"] for one in wrong} == set(
            error.values()
        )


def test_every_operation_documents_its_errors_and_its_scheme(
    document: dict[str, Any], with_a_key: dict[str, Any]
) -> None:
    [scheme] = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][scheme]["scheme"] == "bearer"
    error = {"$ref": "#/components/schemas/ErrorBody"}
    for operation in with_a_key.values():
        assert operation["security"] == [{scheme: []}]
        wrong = {status for status in operation["responses"] if not status.startswith(("2", "3"))}
        assert {"400", "401", "403", "404", "503", "default"} <= wrong
        assert "422" not in wrong
        # The one route whose 400 and 404 have no body at all (the contract's section 1.3).
        for status in wrong - ({"400", "404"} if operation["operationId"].endswith("_list_test_steps") else set()):
            assert operation["responses"][status]["content"]["application/json"]["schema"] == error


def test_every_parameter_of_a_path_is_documented(with_a_key: dict[str, Any]) -> None:
    for operation in with_a_key.values():
        named = {one["name"]: one["schema"] for one in operation["parameters"] if one["in"] == "path"}
        assert set(named) == set(re.findall(r"{(\w+)}", operation["path"]))
        for name in named.keys() - {"project_id", "organization_id"}:
            # A part of a download is a file's id, or its place.
            kind = {"integration_id": "integer", "part": "string"}.get(name, "uuid")
            assert named[name].get("format", named[name]["type"]) == kind


def test_every_body_has_an_example_that_works(document: dict[str, Any], with_a_key: dict[str, Any]) -> None:
    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        for operation in with_a_key.values()
        if "requestBody" in operation
    }
    assert bodies == {
        *("ExportWrite", "ExportPatch", "BackfillWrite", "Unpause"),
        *("IntegrationWrite", "NewTrial", "StoredTrial", "ChannelsWrite", "DownloadWrite", "CountWrite"),
    }
    for name in bodies:
        assert document["components"]["schemas"][name]["examples"]


async def test_the_examples_of_the_documentation_are_accepted(api: httpx.AsyncClient, document: dict[str, Any]) -> None:
    [example] = document["components"]["schemas"]["ExportWrite"]["examples"]
    answer = await api.post("/batch_exports/", json=example)
    assert answer.status_code == 201, answer.text
    [example] = document["components"]["schemas"]["BackfillWrite"]["examples"]
    url = f"/batch_exports/{answer.json()['id']}/"
    # The clock of these tests stands before the example's days.
    body = {bound: text.replace("-11-", "-05-") for bound, text in example.items()}
    assert (await api.post(f"{url}backfills/", json=body)).status_code == 201
    [example] = document["components"]["schemas"]["ExportPatch"]["examples"]
    assert (await api.patch(url, json=example)).json()["interval"] == example["interval"]


async def test_swagger_needs_no_internet(api: httpx.AsyncClient) -> None:
    page = (await api.get(f"{ROOT}/docs")).text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith("/")
        assert (await api.get(f"{ROOT}{link}")).status_code == 200


async def test_a_running_process_is_alive_and_ready(api: httpx.AsyncClient) -> None:
    assert (await api.get(f"{ROOT}/health/live")).json() == {"status": "ok"}
    assert (await api.get(f"{ROOT}/health/ready")).json() == {"status": "ok", "down": []}
    assert "python_info" in (await api.get(f"{ROOT}/metrics")).text


@pytest.mark.parametrize("name", ["database", "redis"])
async def test_a_process_without_a_service_is_alive_but_not_ready(
    settings: Settings, tenant: Tenant, name: str
) -> None:
    url = make_url(getattr(settings, f"{name}_url").get_secret_value())
    assert url.port is not None
    async with open_proxy(url.port) as proxy:
        behind = SecretStr(url.set(port=proxy.port).render_as_string(hide_password=False))
        app = create_app(settings.model_copy(update={f"{name}_url": behind}))
        async with app.router.lifespan_context(app), open_client(app, tenant, base_url=ROOT) as client:
            await proxy.cut()
            assert (await client.get("/health/live")).status_code == 200
            answer = await client.get("/health/ready")
            assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "down": [name]})
            await proxy.mend()
            assert (await client.get("/health/ready")).json() == {"status": "ok", "down": []}
