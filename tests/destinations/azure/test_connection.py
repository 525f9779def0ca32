"""Connection strings, and the config of an export: what cannot be used is refused when it is saved, in words that
repeat nothing of the string."""

from typing import Any

import pytest

from app.destinations.azure_blob import AzureBlob
from app.destinations.azure_blob.connection import Connection
from app.destinations.proposal import Proposal
from app.errors import ValidationFailed
from app.network import Names, Network
from tests.destinations.azure.harness import linked

SECRET = "c2VzYW1lMDEyMzQ1Njc4OQ=="
KEY = f"AccountName=acct;AccountKey={SECRET}"
SAS = "sv=2023-11-03&sr=c&se=2030-01-01T00%3A00%3A00Z&sp=racwdl&sig=c2VzYW1l%3D"


@pytest.mark.parametrize(
    ("text", "location", "where"),
    [
        (
            f"DefaultEndpointsProtocol=https;{KEY};EndpointSuffix=core.windows.net",
            "azure://acct.blob.core.windows.net/c",
            "https://acct.blob.core.windows.net",
        ),
        (KEY, "azure://acct.blob.core.windows.net/c", "https://acct.blob.core.windows.net"),
        (
            f" {KEY} ;\nEndpointSuffix=core.chinacloudapi.cn;;",
            "azure://acct.blob.core.chinacloudapi.cn/c",
            "https://acct.blob.core.chinacloudapi.cn",
        ),
        (
            f"BlobEndpoint=https://ACCT.blob.core.windows.net:443/;QueueEndpoint=x;SharedAccessSignature=?{SAS}",
            "azure://acct.blob.core.windows.net/c",
            "https://acct.blob.core.windows.net:443",
        ),
        (
            f"BlobEndpoint=http://[::1]:10000/acct;{KEY}",
            "azure://acct.[::1]:10000/c",
            "http://[::1]:10000/acct",
        ),
        (
            "UseDevelopmentStorage=true",
            "azure://devstoreaccount1.127.0.0.1:10000/c",
            "http://127.0.0.1:10000/devstoreaccount1",
        ),
    ],
)
def test_every_form_that_is_given_out_is_understood(text: str, location: str, where: str) -> None:
    connection = Connection.parse(text)
    assert connection.location("c") == location
    assert connection.where("c") == f"container 'c' at {where}"
    assert SECRET not in repr(connection)
    assert "sig" not in repr(connection)


def test_a_key_is_used_before_a_signature_which_says_when_it_expires() -> None:
    assert Connection.parse(f"{KEY};SharedAccessSignature={SAS}").sas == ""
    assert Connection.parse(KEY).valid_until is None
    assert Connection.parse(f"AccountName=acct;SharedAccessSignature={SAS}").valid_until == "2030-01-01T00:00:00Z"
    assert Connection.parse("AccountName=acct;SharedAccessSignature=sig=1&se=<hush>").valid_until is None


UNUSABLE = [
    ("", "is not made of 'name=value' pairs"),
    (SECRET[:-2], "is not made of 'name=value' pairs"),
    (f"https://acct.blob.core.windows.net/c?{SAS}", "has neither 'AccountKey' nor 'SharedAccessSignature'"),
    ("AccountName=acct", "has neither 'AccountKey' nor 'SharedAccessSignature'"),
    (f"AccountKey={SECRET}", "no 'AccountName' that it belongs to"),
    (f"AccountName=acct;AccountKey={SECRET[:-1]}", "not copied whole"),
    (f"AccountName=evil.example.com/;AccountKey={SECRET}", "is not the name of a storage account"),
    ("AccountName=acct;SharedAccessSignature=sv=2023-11-03", "it has no 'sig'"),
    (f"SharedAccessSignature={SAS}", "neither 'AccountName' nor 'BlobEndpoint'"),
    (f"{KEY};DefaultEndpointsProtocol=ftp", "the endpoint that it makes is no URL"),
    (f"{KEY};BlobEndpoint=acct.blob.core.windows.net", "'BlobEndpoint' is no URL of http or https"),
    (f"{KEY};BlobEndpoint=https://h:99999", "'BlobEndpoint' is no URL of http or https"),
    (f"{KEY};BlobEndpoint=https://h/c?{SAS}", "a SAS belongs into 'SharedAccessSignature'"),
    (f"{KEY};BlobEndpoint=https://u:{SECRET}@h", "is more than an address"),
    (f"{KEY};BlobEndpoint=https://h/a/b", "is more than an address"),
]


def settle(config: dict[str, Any], connection_string: str = KEY) -> dict[str, Any]:
    return AzureBlob.validate(Proposal(config, Names(Network()), integration=linked(connection_string)))


def refusal(config: dict[str, Any], connection_string: str = KEY) -> str:
    with pytest.raises(ValidationFailed) as raised:
        settle(config, connection_string)
    assert raised.value.attr == "destination"
    return raised.value.detail


@pytest.mark.parametrize(("text", "reason"), UNUSABLE)
def test_what_cannot_be_used_is_refused_without_repeating_it(text: str, reason: str) -> None:
    detail = refusal({"container_name": "events"}, f"{text}\n")
    assert reason in detail
    for part in ("sesame", SECRET[:8], "evil", "chinacloud"):
        assert part not in detail


@pytest.mark.parametrize(
    "endpoint",
    ["UseDevelopmentStorage=true", f"BlobEndpoint=http://169.254.169.254;{KEY}", f"{KEY};BlobEndpoint=https://[::1]"],
)
def test_a_host_that_is_not_allowed_is_refused(endpoint: str) -> None:
    assert refusal({"container_name": "events"}, endpoint).endswith("or that this service may not connect to")


@pytest.mark.parametrize(
    ("suffix", "asked"),
    [
        ("", []),
        (";EndpointSuffix=core.usgovcloudapi.net", []),
        (";BlobEndpoint=https://acct.z12.blob.storage.azure.net", []),
        (";EndpointSuffix=core.windows.net.example.com", ["acct.blob.core.windows.net.example.com"]),
        (";BlobEndpoint=https://files.example.com", ["files.example.com"]),
    ],
)
def test_only_names_that_azure_does_not_give_are_looked_up(suffix: str, asked: list[str]) -> None:
    names = Names(Network())
    AzureBlob.validate(Proposal({"container_name": "c"}, names, integration=linked(KEY + suffix)))
    assert sorted(names.missing) == asked


async def test_a_name_is_refused_once_it_is_known_to_lead_inside() -> None:
    names = Names(Network())
    proposal = Proposal(
        {"container_name": "events"}, names, integration=linked(f"{KEY};BlobEndpoint=https://internal.example.com")
    )
    AzureBlob.validate(proposal)
    await names.look_up()
    with pytest.raises(ValidationFailed, match="may not connect to"):
        AzureBlob.validate(proposal)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"container_name": " "}, "The following inputs are empty: ['container_name']"),
        ({"container_name": "events/2026"}, "folders belong into 'prefix'"),
        ({"container_name": "..?"}, "Invalid container_name: '..?'"),
        ({"container_name": "events", "prefix": "a/../b"}, "'prefix' has a folder whose name ends with a dot"),
        ({"container_name": "events", "prefix": "a\\b"}, "'prefix' has a backslash, which Azure takes for a slash"),
        ({"container_name": "events", "prefix": "x" * 1000}, "'prefix' is too long"),
        (
            {"container_name": "events", "compression": "lz4"},
            "Compression lz4 is not supported for file format JSONLines",
        ),
        ({"container_name": "events", "file_format": "CSV"}, "File format CSV is not supported"),
    ],
)
def test_settings_under_which_nothing_could_be_stored_are_refused(config: dict[str, Any], reason: str) -> None:
    assert reason in refusal(config)


def test_a_blank_prefix_is_as_good_as_any() -> None:
    for config in ({"container_name": "events"}, {"container_name": "$root", "prefix": ""}):
        assert settle(config) == {**config, "legacy_parquet_extension": False}
