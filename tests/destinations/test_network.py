"""Where destinations may connect to."""

import asyncio
from pathlib import Path

import pytest

from app.errors import SetupError
from app.network import AddressRefused, Names, Network, parse_allowed
from app.settings import Settings, load_settings

PRIVATE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "[::1]",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    network = Network()
    assert network.judge(address) is False
    assert not network.allows([address.strip("[]")])
    with pytest.raises(AddressRefused):
        await network.vet(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
async def test_public_addresses_are_allowed(address: str) -> None:
    network = Network()
    assert network.judge(address) is True
    assert await network.vet(address) == (address,)


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "a/b", "user@host", "host:80", "a,b", "/var/run", "a..b", ".a", "x" * 254, "a\n", "é"],
)
def test_what_is_no_name_is_refused(host: str) -> None:
    assert Network().judge(host) is False


@pytest.mark.parametrize(
    ("allowed", "host", "verdict"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("10.0.0.0/8", "10.255.0.1", True),
        ("fd00::/8", "fd00::7", True),
        ("minio", "minio", True),
        ("minio", "MINIO.", True),
        ("minio", "bucket.minio", True),
        ("minio", "eminio", None),
        ("minio", "minio.example.com", None),
    ],
)
def test_settings_allow_hosts_addresses_and_networks(allowed: str, host: str, verdict: bool | None) -> None:
    networks, hosts = parse_allowed([allowed])
    assert Network(networks, hosts).judge(host) is verdict


def test_an_entry_that_is_neither_is_refused() -> None:
    with pytest.raises(ValueError, match="host name"):
        parse_allowed(["http://minio"])


async def test_a_name_is_judged_by_all_of_its_addresses(names: dict[str, tuple[str, ...]]) -> None:
    names["both.example.com"] = ("93.184.216.34", "127.0.0.1")
    network = Network()
    assert network.judge("db.example.com") is None
    assert await network.vet("db.example.com") == ("93.184.216.34",)
    for host in ("internal.example.com", "both.example.com"):
        with pytest.raises(AddressRefused):
            await network.vet(host)
    with pytest.raises(OSError, match="not resolved"):
        await network.vet("unknown.example.com")


async def test_what_is_not_known_yet_is_noted_and_looked_up() -> None:
    known = Names(Network())
    hosts = ("db.example.com", "internal.example.com", "unknown.example.com")
    assert [known.permits(host) for host in hosts] == [True] * 3
    assert known.missing == set(hosts)
    await known.look_up()
    assert [known.permits(host) for host in hosts] == [True, False, False]
    assert not known.missing


async def test_resolving_takes_a_limited_time() -> None:
    async def never(host: str) -> tuple[str, ...]:
        await asyncio.Event().wait()
        raise AssertionError

    assert await Network(timeout=0.01, resolve=never).addresses("slow.example.com") == ()


def test_the_environment_says_what_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCH_EXPORTS_ALLOWED_PRIVATE_HOSTS", "10.0.0.0/8, Minio ,::1")
    monkeypatch.setenv("BATCH_EXPORTS_HTTP_DESTINATION_URLS", "https://a.example.com/batch/")
    network = Network.of(load_settings())
    assert [network.judge(host) for host in ("10.1.1.1", "minio", "::1", "127.0.0.1")] == [True, True, True, False]
    assert network.http_urls == {"https://a.example.com/batch/"}
    monkeypatch.setenv("BATCH_EXPORTS_ALLOWED_PRIVATE_HOSTS", "http://minio:9000")
    with pytest.raises(SetupError, match="BATCH_EXPORTS_ALLOWED_PRIVATE_HOSTS is not usable: each entry must be"):
        load_settings()


def test_nothing_private_is_allowed_unless_it_is_said() -> None:
    settings = Settings(_env_file=None)
    assert settings.allowed_private_hosts == []
    assert Network.of(settings).http_urls == {"https://us.i.posthog.com/batch/", "https://eu.i.posthog.com/batch/"}
