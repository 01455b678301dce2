"""Packs a finished study into one file, which train/report.py reads like the study's folder.

python tools/pack_study.py STUDY [STUDY ...] FILE

Several are put together, if they could stand in one folder: more seeds of a study that has been
packed, from another machine or another day.
"""

from collections.abc import Sequence
from pathlib import Path

from train.common.arguments import Parser, path
from train.common.errors import InputError
from train.common.files import exists
from train.report.merge import merge
from train.runs import packed
from train.runs.folders import contents


def pack(studies: Sequence[Path], file: Path) -> int:
    """Writes the runs of studies, all of them finished, to a new file; returns their number.

    Args:
      studies: folders that training wrote, or files that were packed.
      file: the new file.

    Raises:
      InputError: if one is no study, two do not agree or hold one run with different results, a
      run is not finished, a file is damaged, or the new file exists. Nothing has been written then.
    """
    if exists(file):
        raise InputError(f"{file}: exists; choose another name, or move it away")
    for study in (study for study in studies if study.is_dir()):
        unfinished = [run.path.name for run, _ in contents(study).runs if not run.is_finished]
        if unfinished:
            raise InputError(
                f"{study}: not finished: {', '.join(unfinished):.300}; the command that began the "
                "study goes on with them"
            )
    merged, *others = merge(studies)
    if others:
        names = ", ".join(map(str, studies))
        raise InputError(f"{names}: their settings differ; they cannot be one study")
    file.parent.mkdir(parents=True, exist_ok=True)
    packed.write(file, merged.runs)
    return len(merged.runs)


def main() -> int:
    """Packs the studies that the options name; returns the exit status."""
    parser = Parser(
        prog="pack_study.py",
        description="Pack a finished study, or several that agree, into one file, which "
        "train/report.py reads like a folder. What was given stays.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "study", metavar="STUDY", type=path, nargs="+", help="folder that training wrote, or packed"
    )
    parser.add_argument("file", metavar="FILE", type=path, help="new file, in JSON")
    given = parser.parse_args()
    count = pack(given.study, given.file)
    print(f"{given.file}: {count} runs of {', '.join(map(str, given.study))}")
    return 0
