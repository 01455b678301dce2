"""Checkpoints that cannot be read, or do not fit: one line, and nothing is touched."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.train.runs.saved import (
    assert_restores,
    everything,
    flip,
    os_error,
    raising,
    restore,
    state_of,
    write_sums,
)
from train.common.errors import InputError
from train.engine.steps import TrainState


def _failing(name: str, error: BaseException) -> Callable[[Path, pytest.MonkeyPatch], None]:
    """Every file or folder of that name fails, when it is opened or listed."""

    def install(_folder: Path, patch: pytest.MonkeyPatch) -> None:
        for method in ("open", "iterdir"):
            original = getattr(Path, method)

            def failing(self, *args, original=original, **options):
                if self.name == name:
                    raise error
                return original(self, *args, **options)

            patch.setattr(Path, method, failing)

    return install


def _orbax_fails(error: Exception) -> Callable[[Path, pytest.MonkeyPatch], None]:
    return lambda _folder, patch: patch.setattr(ocp.Checkpointer, "restore", raising(error))


def _rewritten(content: object) -> Callable[[Path, pytest.MonkeyPatch], None]:
    """The metrics are others, and their checksum is right."""

    def rewrite(folder: Path, _patch: pytest.MonkeyPatch) -> None:
        (folder / "epoch-4" / "metrics.json").write_text(json.dumps(content))
        write_sums(folder / "epoch-4")

    return rewrite


def _a_link_to_nowhere(folder: Path, _patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder / "epoch-4")
    (folder / "epoch-4").symlink_to("/a/disk/that/is/not/there")


def _a_file_for_a_folder(folder: Path, _patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder / "epoch-4")
    (folder / "epoch-4").write_text("mine")


def _of_a_longer_run(folder: Path, _patch: pytest.MonkeyPatch) -> None:
    (folder / "epoch-4").rename(folder / "epoch-10")


def _under_anothers_name(folder: Path, _patch: pytest.MonkeyPatch) -> None:
    (folder / "epoch-4").rename(folder / "epoch-5")


# what happens → the checkpoint that is named, and what is said
FAILURES = {
    "EIO in metrics": (_failing("metrics.json", os_error(errno.EIO)), "Input/output error"),
    "ESTALE in arrays": (_failing("_METADATA", os_error(errno.ESTALE)), "Stale file handle"),
    "EACCES": (_failing("SHA256SUMS", os_error(errno.EACCES)), "Permission denied"),
    "EACCES of the folder": (_failing("epoch-4", os_error(errno.EACCES)), "Permission denied"),
    "EIO in all": (_failing("checkpoints", os_error(errno.EIO)), "Input/output error"),
    "EACCES of all": (_failing("checkpoints", os_error(errno.EACCES)), "Permission denied"),
    "no memory": (_failing("manifest.ocdbt", MemoryError()), "cannot be read: MemoryError; "),
    "Orbax's own": (_orbax_fails(Exception("no\nway")), "cannot be read: Exception: no; "),
    "Orbax without memory": (_orbax_fails(MemoryError()), "cannot be read: MemoryError; "),
    "newer": (
        _rewritten({"format": 4, "epochs": [], "more": 1}),
        "metrics.json was written by a newer version, in format 4; this one reads up to 3",
    ),
    "no format": (_rewritten({"epochs": []}), "metrics.json is in an unknown format"),
    "another format": (_rewritten({"format": "x"}), "metrics.json is in an unknown format"),
    "no epochs": (_rewritten({"format": 2, "epochs": 4}), "metrics.json is in an unknown format"),
    "a number": (_rewritten(4), "metrics.json is in an unknown format"),
    "another's name": (_under_anothers_name, "epoch-5: does not fit: metrics.json has 4 epochs"),
    "a longer run": (_of_a_longer_run, "epoch-10: does not fit: the run has 9 epochs"),
    "a link to nowhere": (_a_link_to_nowhere, "No such file or directory"),
    "a file for a folder": (_a_file_for_a_folder, "NotADirectoryError"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_any_other_failure_is_one_line_and_changes_nothing(failure, folder, monkeypatch, capsys):
    happen, why = FAILURES[failure]
    with monkeypatch.context() as patch:
        happen(folder, patch)
        before = everything(folder)
        with pytest.raises(InputError) as error:
            restore(folder)
    assert str(error.value).startswith(str(folder))
    assert why in str(error.value)
    assert "nothing was changed" in str(error.value)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().err == ""
    assert everything(folder) == before


def test_what_stands_before_an_unreadable_one_is_not_touched(folder, monkeypatch, capsys):
    flip(folder / "epoch-4" / "metrics.json")
    (folder / ".epoch-5.partial").mkdir()
    before = everything(folder)
    with monkeypatch.context() as patch:
        _failing("epoch-3", os_error(errno.EIO))(folder, patch)
        with pytest.raises(InputError, match=r"epoch-3: cannot be read: OSError: .Errno 5. "):
            restore(folder)
    assert everything(folder) == before
    assert capsys.readouterr().err == ""
    assert_restores(folder, 3)
    assert not (folder / ".epoch-5.partial").exists()


def _replaced(**changes: object) -> TrainState:
    weights = state_of(0).params | changes
    kept = {name: value for name, value in weights.items() if value is not None}
    return state_of(0)._replace(params=kept)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (_replaced(w=np.zeros((2, 3), np.float32)), "w is float32[3, 2] there and float32[2, 3]"),
        (_replaced(w=np.zeros((3, 3), np.float32)), "w is float32[3, 2] there and float32[3, 3]"),
        (_replaced(w=np.zeros((3, 2), np.float64)), "w is float32[3, 2] there and float64[3, 2]"),
        (_replaced(half=np.zeros(4, np.float16)), "half is bfloat16[4] there and float16[4]"),
        (_replaced(w=None), "params.w is float32[3, 2] there and missing here"),
        (_replaced(b=np.zeros(1, np.int8)), "params.b is missing there and int8[1] here"),
    ],
)
def test_a_state_of_another_version_does_not_fit(template, why, folder):
    before = everything(folder)
    with pytest.raises(InputError) as error:
        restore(folder, template)
    assert str(error.value).startswith(f"{folder / 'epoch-4'}: does not fit: params.")
    assert why in str(error.value)
    assert everything(folder) == before
