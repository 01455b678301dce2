"""The report on one study or several, from their files alone: see train/report/report.py."""

if __name__ == "__main__":  # this checkout's packages come before others of their names
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from train.common.entrypoint import start

    start(__file__, "train.report.report")
