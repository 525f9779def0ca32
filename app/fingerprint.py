"""How many rows there are and which, in two numbers that do not depend on their order: what a source holds can be
compared with what a destination holds, whatever computes either."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

MODULUS: Final = 2**64


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Those of parts add up to that of the whole."""

    rows: int = 0
    uuid_hash: int = 0
    """See :func:`uuid_hash`. Every row counts: one that comes twice changes it."""

    @classmethod
    def of(cls, uuids: Iterable[str]) -> Self:
        found = list(uuids)
        return cls(len(found), uuid_hash(found))

    def __add__(self, other: "Fingerprint") -> "Fingerprint":
        return Fingerprint(self.rows + other.rows, (self.uuid_hash + other.uuid_hash) % MODULUS)


def uuid_hash(uuids: Iterable[str]) -> int:
    """:func:`text_hash` of UUIDs in lower case, in which databases print them."""
    return text_hash(uuid.lower() for uuid in uuids)


def text_hash(texts: Iterable[str]) -> int:
    """The sum, modulo 2^64, of the first 8 bytes, big-endian, of the MD5 of each text."""
    total = 0
    for text in texts:
        # MD5, for every database has it: the numbers guard against mistakes, not against an adversary.
        total += int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "big")
    return total % MODULUS
