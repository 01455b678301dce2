"""What was measured inside of a training, one JSON file a run.

FOLDER/ARM-seedK.json   format  measurement  settings  environment  and the numbers

Format 1, of files without a number, has the same keys but `format`.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from train.common.errors import InputError
from train.common.files import reading
from train.runs import formats
from train.runs.formats import check_format

# The names in the files, of what train/experiments/ measures.
NESTEROV_DISTANCE = "straying"
BIAS_VARIANCE = "correction"
SHARPNESS = "sharpness"

Numbers = dict[str, Any]


def read_numbers(path: Path, measurement: str) -> Numbers:
    """What a measurement wrote; its settings are checked and in today's format.

    Raises:
      InputError: if it is another file, cannot be read, is damaged, or from a newer version.
    """
    with reading(path):
        content = path.read_bytes()
    try:
        numbers = json.loads(content)
    except (ValueError, RecursionError):
        numbers = None
    if not isinstance(numbers, dict) or numbers.get("measurement") != measurement:
        raise InputError(
            f"{path}: is no {measurement} measurement, or damaged; choose another folder"
        )
    check_format(str(path), numbers)
    settings = formats.settings(f"{path}, settings", numbers.get("settings"))
    return numbers | {"settings": dataclasses.asdict(settings)}
