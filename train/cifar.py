"""The paper's experiments as a program.

python train/cifar.py --preset demo

Exit status: 0 done; 2 bad options or input; 3 finished, but a run diverged;
130 and 143 interrupted.
"""

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from train.errors import InputError
from train.options import parse
from train.study import run_study


class _Terminated(BaseException):
    """SIGTERM, as SIGINT already is an exception: files are closed on the way out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        report = run_study(parse(arguments))
    except InputError as error:
        return _stop(2, str(error))
    except OSError as error:
        return _stop(2, f"{error.filename or 'output'}: {error.strerror or error}")
    except KeyboardInterrupt:
        return _stop(130, "interrupted; the same command goes on after the last finished run")
    except _Terminated:
        return _stop(143, "terminated; the same command goes on after the last finished run")
    report.show()
    return 3 if report.diverged else 0


def _stop(status: int, line: str) -> int:
    print(f"cifar.py: {line}", file=sys.stderr)
    return status


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
