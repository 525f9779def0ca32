"""What is tried with a store in trouble: which of its requests fail, how, and what an export has to make of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tests.faults.s3_trouble import DENIED, ERROR_IN_OK, INTERNAL, SLOW_DOWN, TOO_MANY, Fault, Rule, Trouble

FAULTS: Final[Mapping[str, Fault]] = {
    "500": INTERNAL,
    "503": SLOW_DOWN,
    "429": TOO_MANY,
    "200": ERROR_IN_OK,
    "reset": Trouble.RESET,
    "lost": Trouble.LOST,
    "truncated": Trouble.TRUNCATED,
    "stalled": Trouble.STALLED,
}


class Shape(NamedTuple):
    """What a window holds, and the config with which it becomes objects."""

    window: int
    events: int
    size: int
    config: dict[str, Any]


SHAPES: Final = {
    "in parts": Shape(0, 11, 1024 * 1024, {}),  # a file of three parts, the last of them smaller
    "in one piece": Shape(1, 20, 20, {}),
    "as a set": Shape(2, 30, 60_000, {"max_file_size_mb": 1}),  # a file in one part, a small one, and a manifest
    "nothing": Shape(3, 0, 0, {}),
}


@dataclass(frozen=True)
class Trial:
    shape: str
    operation: str
    fault: str
    part: int | None = None
    denied: tuple[str, int | None, str] | None = None
    """Beside it, requests of this operation, for this part, with keys that end so, are refused for ever."""
    rate: int | None = None
    """Bytes a second, when what is wrong is that it is slow."""

    def rules(self, times: int) -> list[Rule]:
        rules = [Rule(self.operation, FAULTS[self.fault], times, self.part)] if self.fault != "slow" else []
        if self.denied is not None:
            operation, part, ending = self.denied
            rules.append(Rule(operation, DENIED, part=part, ending=ending))
        return rules

    @property
    def has_been_done(self) -> bool:
        """The server does what makes an object visible; only that it has is not told."""
        committing = self.operation in ("PutObject", "CompleteMultipartUpload")
        return committing and self.fault in ("lost", "truncated", "stalled")

    @property
    def attempts(self) -> int:
        """That may fail when it comes twice. The client repeats requests by itself, but for those answered with 429."""
        return 2 if self.fault == "429" else 0

    @property
    def error_class(self) -> str:
        if self.denied is not None:
            return "configuration"
        return "throttled" if self.fault in ("503", "429") else "transient"


def trials(shape: str, operation: str, faults: str, part: int | None = None, **more: Any) -> list[Trial]:
    return [Trial(shape, operation, fault, part, **more) for fault in faults.split()]


NO_MANIFEST: Final = ("PutObject", None, "_manifest.json")
NO_PART: Final = ("UploadPart", 1, "")

PASSING: Final = [
    *trials("as a set", "CreateMultipartUpload", "500 503 429 reset lost truncated stalled"),
    *trials("in parts", "UploadPart", "500 lost", 1),
    *trials("in parts", "UploadPart", "503 reset stalled", 2),
    *trials("in parts", "UploadPart", "429 truncated", 3),
    *trials("as a set", "CompleteMultipartUpload", "500 503 200 reset lost truncated stalled"),
    *trials("in parts", "CompleteMultipartUpload", "lost"),
    *trials("in one piece", "PutObject", "500 503 429 reset lost truncated stalled"),
    *trials("as a set", "PutObject", "503 lost"),
    *trials("in one piece", "HeadObject", "500 503 reset truncated stalled"),
    *trials("nothing", "ListObjectsV2", "500 503 reset truncated stalled"),
    Trial("as a set", "UploadPart", "slow", rate=1_000_000),
    Trial("in one piece", "PutObject", "slow", rate=10_000),
]
CLEANING_UP: Final = [
    *trials("as a set", "AbortMultipartUpload", "500 503 reset lost stalled", denied=NO_PART),
    *trials("as a set", "DeleteObject", "500 503 reset lost", denied=NO_MANIFEST),
]
"""What fails twice here is tidying up after something that is refused for ever."""
LASTING: Final = [
    *trials("as a set", "CreateMultipartUpload", "500 503 429 reset"),
    *trials("in parts", "UploadPart", "500", 1),
    *trials("in parts", "UploadPart", "503 reset lost stalled", 2),
    *trials("in parts", "UploadPart", "truncated", 3),
    *trials("as a set", "CompleteMultipartUpload", "500 503 200 reset lost truncated stalled"),
    *trials("in parts", "CompleteMultipartUpload", "500"),
    *trials("in one piece", "PutObject", "500 503 429 reset lost truncated stalled"),
    *trials("as a set", "PutObject", "500 lost"),
    *trials("in one piece", "HeadObject", "500 reset"),
    *trials("nothing", "ListObjectsV2", "500 503 reset stalled"),
]
LITTER: Final = [
    *trials("as a set", "CreateMultipartUpload", "lost truncated stalled"),  # of which nobody learns the id
    *trials("as a set", "AbortMultipartUpload", "500", denied=NO_PART),
    *trials("as a set", "DeleteObject", "500", denied=NO_MANIFEST),
]
"""What fails for ever here is what the store would be tidied up with."""
