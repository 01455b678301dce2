"""The paper's experiments as a program.

python train/cifar.py --preset demo

Exit status: 0 done; 2 bad options or input; 3 finished, but a run diverged;
130 and 143 interrupted. Standard output and standard error may be closed or lose
their reader: training goes on.
"""

if __name__ == "__main__":  # this checkout's packages come before others of their names
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from train.common.entrypoint import start

    start(__file__)

from train.engine import multihost
from train.study.cli import parse
from train.study.dry_run import Plan
from train.study.runner import Devices, run_study


def main(devices: Devices | None = None) -> int:
    """Parses the options, does the study, prints its table; returns the exit status."""
    config, dry_run = parse()
    if dry_run is not None:
        Plan.of(config, timed_steps=dry_run, devices=devices).show()
        return 0
    report = run_study(config, devices)
    if multihost.is_first():
        report.show()
    return 3 if report.diverged else 0
