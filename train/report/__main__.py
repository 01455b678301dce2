"""`python -m train.report`."""

from pathlib import Path

from train.common.entrypoint import start

start(f"{Path(__file__).parent}.py", "train.report.report")
