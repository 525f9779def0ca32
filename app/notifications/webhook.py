"""Posting to a webhook: only to addresses that may be connected to, and no further than there."""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Final

import httpx

from app.network import AddressRefused, Network
from app.notifications.channels import DeliveryFailed

TIME_LIMIT: Final = 10.0
"""Seconds of one attempt, looking up the name included."""
GONE: Final = 410
"""The receiver wants no more of this (the Standard Webhooks specification)."""

REFUSED: Final = (
    "The webhook's host may not be connected to: it is not on the public internet. "
    "BATCH_EXPORTS_ALLOWED_PRIVATE_HOSTS can allow it."
)


async def post(url: str, body: bytes, headers: Mapping[str, str], network: Network) -> None:
    """:raises DeliveryFailed: unless the receiver says that it has it."""
    try:
        async with asyncio.timeout(TIME_LIMIT):
            status = await _post(httpx.URL(url), body, headers, network)
    except AddressRefused:
        raise DeliveryFailed(REFUSED) from None
    except (TimeoutError, httpx.TimeoutException):
        raise DeliveryFailed(f"The webhook did not answer within {TIME_LIMIT:.0f} seconds.") from None
    except httpx.InvalidURL:
        raise DeliveryFailed("The webhook's URL is none; set another one.", final=True) from None
    except (httpx.HTTPError, OSError) as error:
        if _caused_by_certificate(error):
            raise DeliveryFailed("The webhook's host has no certificate that can be trusted.") from None
        raise DeliveryFailed(f"The webhook could not be reached ({type(error).__name__}).") from None
    if status == GONE:
        raise DeliveryFailed("The webhook answered 410: it wants no more notifications. Set another one.", final=True)
    if not 200 <= status < 300:
        raise DeliveryFailed(f"The webhook answered {status}; any status from 200 to 299 says that it has the message.")


async def _post(url: httpx.URL, body: bytes, headers: Mapping[str, str], network: Network) -> int:
    """The status of the answer, of which nothing else is read."""
    host = url.raw_host.decode("ascii")
    addresses = await network.vet(host)
    # Of several addresses, one that says nothing leaves time for the others.
    patience = httpx.Timeout(TIME_LIMIT, connect=TIME_LIMIT / len(addresses))
    # A client of its own: a shared pool takes a connection for its address, whichever name it was checked for. Neither
    # redirects nor a proxy of the environment: both would lead where nobody looked.
    async with httpx.AsyncClient(verify=_trust(), trust_env=False, follow_redirects=False, timeout=patience) as client:
        for place, address in enumerate(addresses, 1):
            request = client.build_request(
                "POST",
                url.copy_with(host=address),
                content=body,
                headers={**headers, "host": url.netloc.decode("ascii"), "content-type": "application/json"},
                # The certificate is still that of the name.
                extensions={"sni_hostname": host},
            )
            try:
                answer = await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if place == len(addresses):
                    raise
            else:
                await answer.aclose()
                return answer.status_code
    raise OSError("no address")


def _caused_by_certificate(error: BaseException | None) -> bool:
    """The client wraps what TLS has to say."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


@cache
def _trust() -> ssl.SSLContext:
    """Reading all authorities takes a while, so once per process."""
    return httpx.create_ssl_context()
