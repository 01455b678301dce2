"""Packs a finished study into one file: see train/report/pack.py.

python tools/pack_study.py STUDY [STUDY ...] FILE
"""

if __name__ == "__main__":  # this checkout's packages come before others of their names
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from train.common.entrypoint import start

    start(__file__, "train.report.pack")
