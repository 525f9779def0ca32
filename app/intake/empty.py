"""What SDKs ask for when they start, answered with nothing: no flags, no surveys, no recordings."""

import json
from typing import Any, Final

from app.intake.paths import NEWER

CONFIG: Final[dict[str, Any]] = {
    "supportedCompression": ["gzip", "gzip-js"],
    "analytics": {"endpoint": NEWER[0]},
    # Browsers send what was clicked as one text, as events are stored with it.
    "elementsChainAsString": True,
    "hasFeatureFlags": False,
    "autocapture_opt_out": False,
    "autocaptureExceptions": False,
    "captureDeadClicks": False,
    "capturePerformance": False,
    "defaultIdentifiedOnly": True,
    "heatmaps": False,
    "sessionRecording": False,
    "surveys": False,
    "siteApps": [],
    "siteAppsJS": [],
    "isAuthenticated": False,
    "toolbarParams": {},
}


def flags(version: str | None, *, config: bool) -> dict[str, Any]:
    """No flags, as version ``v`` of the document has them."""
    match version:
        case None | "1":
            found: dict[str, Any] = {"featureFlags": []}
        case "2" | "3":
            found = {"featureFlags": {}, "featureFlagPayloads": {}, "flags": {}}
        case _:
            found = {"flags": {}}
    return {"errorsWhileComputingFlags": False, **found, **(CONFIG if config else {})}


def config(token: str) -> dict[str, Any]:
    return {"token": token, **CONFIG}


def script(token: str) -> str:
    """Puts the configuration where the browser's SDK looks for it."""
    name = json.dumps(token)
    return (
        "(function () {\n"
        "  window._POSTHOG_REMOTE_CONFIG = window._POSTHOG_REMOTE_CONFIG || {};\n"
        f"  window._POSTHOG_REMOTE_CONFIG[{name}] = {{config: {json.dumps(config(token))}, siteApps: []}};\n"
        "})();\n"
    )
