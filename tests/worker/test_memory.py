"""Memory of a worker process, measured in a process of its own."""

import subprocess
import sys
import textwrap

import pytest

MIB = 1024 * 1024


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system's own allocator elsewhere knows no limits")
def test_freed_blocks_stay_while_it_works_and_are_given_back_after() -> None:
    program = """
        import asyncio, ctypes, gc
        from worker.memory import give_back, keep_freed_blocks, leave_out_of_collections

        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4096

        keep_freed_blocks()
        leave_out_of_collections()
        assert gc.get_freeze_count() > 10_000
        before = resident()
        blocks = [b"x" * 4_000_000 for _ in range(10)]
        del blocks
        print(resident() - before)
        asyncio.run(give_back())
        print(resident() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=60
    )
    kept, left = map(int, done.stdout.split())
    assert kept > 30 * MIB
    assert left < 8 * MIB
