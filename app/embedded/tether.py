"""The first thing a service's process is: a few lines that tie it to its parent, and then become the service.

Run as a program rather than between fork and exec, where a process that has threads may run next to nothing safely.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def tethered(
    command: Sequence[str], stop_signal: signal.Signals = signal.SIGTERM, user: tuple[int, int] | None = None
) -> list[str]:
    """The command that runs ``command``, and stops it when this process ends without a chance to stop it (on Linux).

    ``user``: the user id and group id to run it as, for root.
    """
    uid, gid = user or (-1, -1)
    # Isolated, and without site-packages: it starts in no time, and nothing of the directory it starts in is imported.
    python = [sys.executable, "-I", "-S", __file__]
    return [*python, str(os.getpid()), str(int(stop_signal)), str(uid), str(gid), *command]


def main() -> None:
    parent, stop_signal, uid, gid = (int(argument) for argument in sys.argv[1:5])
    command = sys.argv[5:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After the change of user, which would undo it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, stop_signal)
        if os.getppid() != parent:
            sys.exit(1)  # it ended before this line
    os.execv(command[0], command)  # noqa: S606  the service's own program


if __name__ == "__main__":
    main()
