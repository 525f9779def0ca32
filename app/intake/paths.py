"""Where the intake is: at the root, for SDKs are told a host and nothing else. Each path with its slash and without."""

from typing import Final

OLDER: Final = ("/batch/", "/capture/", "/e/")
NEWER: Final = ("/i/v0/e/", "/i/v0/ai/batch/")
EVENTS: Final = (*OLDER, *NEWER)
FLAGS: Final = ("/flags/", "/decide/")
CONFIG: Final = "/array/{token}/config"
SCRIPT: Final = "/array/{token}/config.js"


def is_intake(path: str) -> bool:
    """Whether browsers may ask for it from any site, and how large what they send may be."""
    return _slashed(path) in EVENTS or _slashed(path) in FLAGS or path.startswith("/array/")


def takes_events(path: str) -> bool:
    return _slashed(path) in EVENTS


def _slashed(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"
