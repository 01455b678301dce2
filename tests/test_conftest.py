"""What `conftest.py` promises to the processes that tests start."""

import subprocess
import sys
from pathlib import Path

TEST = "tests/train/common/test_signals.py::test_what_does_not_listen_ends_at_once[2-130]"
IN_THE_BACKGROUND = f"""
import signal, sys, pytest
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.exit(pytest.main(["-q", "-n0", "{TEST}"]))
"""


def test_a_background_jobs_tests_can_interrupt_what_they_start():
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_BACKGROUND],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
