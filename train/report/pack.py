"""Packs a finished study's folder into one file, which train/report.py reads like the folder.

python tools/pack_study.py STUDY FILE
"""

from pathlib import Path

from train.common.arguments import Parser
from train.common.errors import InputError
from train.report.merge import merge
from train.runs import packed
from train.runs.folders import contents
from train.runs.store import exists


def pack(study: Path, file: Path) -> int:
    """Writes a study's runs, all of them finished, to a new file; returns their number.

    Raises:
      InputError: if the folder is no study, a run is not finished, a run's file is damaged, or
      the file exists. Nothing has been written then.
    """
    if exists(file):
        raise InputError(f"{file}: exists; choose another name, or move it away")
    unfinished = [run.path.name for run, _ in contents(study).runs if not run.is_finished]
    if unfinished:
        raise InputError(
            f"{study}: not finished: {', '.join(unfinished):.300}; the command that began the "
            "study goes on with them"
        )
    (merged,) = merge([study])
    file.parent.mkdir(parents=True, exist_ok=True)
    packed.write(file, merged.runs)
    return len(merged.runs)


def main() -> int:
    """Packs the study that the options name; returns the exit status."""
    parser = Parser(
        prog="pack_study.py",
        description="Pack a finished study into one file, which train/report.py reads like its "
        "folder. The folder stays.",
        allow_abbrev=False,
    )
    parser.add_argument("study", metavar="STUDY", type=Path, help="folder that training wrote")
    parser.add_argument("file", metavar="FILE", type=Path, help="new file, in JSON")
    given = parser.parse_args()
    count = pack(given.study, given.file)
    print(f"{given.file}: {count} runs of {given.study}")
    return 0
