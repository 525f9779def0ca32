"""Connection strings: how an account is reached, and with what.

The forms that Azure's portal and tools give out: an account key or a shared access signature (SAS), for an endpoint
that is named or follows from the account's name. What is wrong with one is told without a word of what is in it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

SUFFIX: Final = "core.windows.net"
"""Of Azure's public cloud; the national ones have their own."""
AZURE: Final = re.compile(
    r"[a-z0-9-]+(\.z[0-9]+)?\.blob\."
    r"(core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net|cloudapi\.de)|storage\.azure\.net)"
)
"""Hosts whose names Azure alone gives."""
ACCOUNT: Final = re.compile(r"[A-Za-z0-9_-]{1,63}", re.ASCII)
MOMENT: Final = re.compile(r"[0-9TZ:.+-]{8,40}", re.ASCII)
DEVELOPMENT: Final = {
    "BLOBENDPOINT": "http://127.0.0.1:10000/devstoreaccount1",
    "ACCOUNTNAME": "devstoreaccount1",
    # Of every emulator, and in its manual: no secret.
    "ACCOUNTKEY": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
}
"""What ``UseDevelopmentStorage=true`` is short for."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Of one account. It has a key, or a SAS."""

    endpoint: str
    """Scheme, host and path of the blob service, as one would put a container's name behind it."""
    account: str
    """Empty where only an endpoint is named."""
    key: str = field(default="", repr=False)
    sas: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """:raises ValueError: with what is wrong, for one that cannot be used."""
        given = _settings(text)
        if given.get("USEDEVELOPMENTSTORAGE", "").lower() == "true":
            given = DEVELOPMENT
        key, sas = given.get("ACCOUNTKEY", ""), given.get("SHAREDACCESSSIGNATURE", "").lstrip("?")
        account = given.get("ACCOUNTNAME", "")
        if not key and not sas:
            raise ValueError("it has neither 'AccountKey' nor 'SharedAccessSignature'")
        if account and ACCOUNT.fullmatch(account) is None:
            raise ValueError("'AccountName' is not the name of a storage account")
        if key:
            _check_key(key)
            if not account:
                raise ValueError("it has 'AccountKey', and no 'AccountName' that it belongs to")
            # The key can do everything that the signature can; requests are made with one of them.
            sas = ""
        elif "sig" not in parse_qs(sas):
            raise ValueError("'SharedAccessSignature' is incomplete: it has no 'sig'")
        return cls(_endpoint(given, account), account, key, sas)

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).hostname or ""

    @property
    def is_azure(self) -> bool:
        """Whether it leads to Azure itself, and not wherever somebody says."""
        return AZURE.fullmatch(self.host) is not None

    @property
    def valid_until(self) -> str | None:
        """When a SAS says that it expires, in its own words."""
        [said, *_] = parse_qs(self.sas).get("se", [""])
        return said if MOMENT.fullmatch(said) else None

    def where(self, container: str) -> str:
        """The container and its store, as error texts name them."""
        return f"container '{container}' at {self.endpoint}"

    def location(self, container: str) -> str:
        """The same in one form, however it is spelled: ``azure://account.blob.core.windows.net/exports``.

        The account stands before the host where it is in the path otherwise: ``azure://account.127.0.0.1:10000/exports``.
        """
        parts = urlsplit(self.endpoint)
        usual = {"http": 80, "https": 443}[parts.scheme]
        host = f"[{parts.hostname}]" if ":" in self.host else self.host.rstrip(".")
        port = "" if parts.port in (None, usual) else f":{parts.port}"
        account = "".join(f"{name}." for name in parts.path.split("/") if name)
        return f"azure://{account}{host}{port}/{container}"


def _settings(text: str) -> Mapping[str, str]:
    """Its parts, by their names in capitals."""
    pairs = [part.partition("=") for part in (part.strip() for part in text.split(";")) if part]
    if not pairs or any(not separator or not name.strip() for name, separator, _ in pairs):
        raise ValueError(
            "it is not made of 'name=value' pairs with ';' between them; copy the whole of what Azure shows as the "
            "connection string"
        )
    return {name.strip().upper(): value.strip() for name, _, value in pairs}


def _check_key(key: str) -> None:
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("'AccountKey' is not base64, so it was not copied whole") from None


def _endpoint(given: Mapping[str, str], account: str) -> str:
    url = given.get("BLOBENDPOINT", "")
    if not url:
        if not account:
            raise ValueError("it has neither 'AccountName' nor 'BlobEndpoint'")
        protocol = given.get("DEFAULTENDPOINTSPROTOCOL", "https")
        url = f"{protocol}://{account}.blob.{given.get('ENDPOINTSUFFIX') or SUFFIX}"
    named = "'BlobEndpoint'" if given.get("BLOBENDPOINT") else "the endpoint that it makes"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{named} is no URL of http or https")
    # What is kept of it is shown in errors, so there must be no room for a secret.
    folder = parts.path.strip("/")
    if parts.username is not None or parts.query or parts.fragment or (folder and ACCOUNT.fullmatch(folder) is None):
        raise ValueError(f"{named} is more than an address; a SAS belongs into 'SharedAccessSignature'")
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}" + (f"/{folder}" if folder else "")
