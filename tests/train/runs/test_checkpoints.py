"""Checkpoints by themselves: what is damage, what is not, and that nothing is ever lost."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from train.common.errors import InputError
from train.engine.steps import TrainState
from train.runs.checkpoints import KEPT, Checkpoints

EPOCHS = 9


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES = {
    "flipped bit": _flip,
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "missing": lambda path: path.unlink(),
}


class Momentum(NamedTuple):
    count: np.ndarray
    m: dict


def _state(epoch: int) -> TrainState:
    rng = np.random.default_rng(epoch)
    weights = {
        "w": rng.standard_normal((3, 2)).astype(np.float32),
        "half": rng.standard_normal(4).astype(jax.numpy.bfloat16),
    }
    norm = {"mean": rng.standard_normal(2)}
    return TrainState(np.int32(epoch), weights, norm, (Momentum(np.int32(epoch), weights), ()))


def _metrics(epoch: int) -> list[dict]:
    return [{"epoch": k + 1, "alpha": 0.1, "test_loss": 1 / 3} for k in range(epoch)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Checkpoints of the epochs 2, 3 and 4. Read only."""
    folder = tmp_path_factory.mktemp("kept") / "checkpoints"
    for epoch in (1, 2, 3, 4):
        Checkpoints(folder).save(_state(epoch), _metrics(epoch))
    return folder


@pytest.fixture
def folder(kept, tmp_path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(kept, tmp_path / "checkpoints"))


def _restore(folder: Path, template: TrainState | None = None):
    return Checkpoints(folder).restore(template or _state(0), EPOCHS)


def _assert_restores(folder: Path, epoch: int) -> None:
    state, metrics = _restore(folder)
    assert jax.tree.structure(state) == jax.tree.structure(_state(epoch))
    for found, wanted in zip(jax.tree.leaves(state), jax.tree.leaves(_state(epoch)), strict=True):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert found.tobytes() == wanted.tobytes()
    assert metrics == _metrics(epoch)


def _everything(folder: Path) -> dict[str, bytes | str]:
    """Every file below a folder with its content, links with their targets."""
    found: dict[str, bytes | str] = {}
    for parent, folders, files in os.walk(folder):  # not by pathlib, which tests make fail
        for name in (*folders, *files):
            path = os.path.join(parent, name)  # noqa: PTH118
            key = os.path.relpath(path, folder)
            if os.path.islink(path):  # noqa: PTH114
                found[key] = f"link to {os.readlink(path)}"  # noqa: PTH115
            elif name in folders:
                found[key] = "folder"
            else:
                with open(path, "rb") as file:  # noqa: PTH123
                    found[key] = file.read()
    return found


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _raising(error: BaseException) -> Callable[..., None]:
    def fail(*_args, **_options):
        raise error

    return fail


def write_sums(path: Path) -> None:
    """Makes a checkpoint's checksums anew, by the command sha256sum."""
    files = sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
    files.remove("SHA256SUMS")
    done = subprocess.run(["sha256sum", *files], cwd=path, capture_output=True, check=True)
    (path / "SHA256SUMS").write_bytes(done.stdout)


def test_what_was_saved_is_restored(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-2", "epoch-3", "epoch-4"]
    before = _everything(folder)
    _assert_restores(folder, 4)
    assert _everything(folder) == before


def test_without_checkpoints_there_is_nothing_to_restore(tmp_path):
    assert _restore(tmp_path / "none") is None
    (tmp_path / "empty").mkdir()
    assert _restore(tmp_path / "empty") is None


def test_the_checksums_are_those_of_the_command_sha256sum(kept):
    path = kept / "epoch-4"
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=path, check=True)
    named = {line.split("  ")[1] for line in (path / "SHA256SUMS").read_text().splitlines()}
    files = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert named == files - {"SHA256SUMS"}


def test_metrics_without_a_number_stay_readable(folder):
    path = folder / "epoch-4" / "metrics.json"
    assert json.loads(path.read_text()) == {"format": 3, "epochs": _metrics(4)}
    old = [{"epoch": k + 1, "learning_rate": 0.1, "test_loss": 1 / 3} for k in range(4)]
    path.write_text(json.dumps(old))
    write_sums(folder / "epoch-4")
    _assert_restores(folder, 4)


def test_what_was_not_written_does_not_matter(folder):
    (folder / "epoch-4" / ".DS_Store").write_bytes(b"\x00")
    (folder / "epoch-4" / "state" / "Thumbs.db").write_bytes(b"\x00")
    for name in ("epoch-5.damaged", "epoch-05", "epoch-²", "epoch-", "notes", "epoch-6.old"):
        (folder / name).mkdir()
    before = _everything(folder)
    _assert_restores(folder, 4)
    assert _everything(folder) == before


# --- Damage: bytes that are not those that were written.


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_of_each_file_of_the_newest(damage, kept, tmp_path, capsys):
    files = sorted(p.relative_to(kept) for p in (kept / "epoch-4").rglob("*") if p.is_file())
    assert len(files) >= 10
    for k, name in enumerate(files):
        folder = Path(shutil.copytree(kept, tmp_path / str(k)))
        if not (folder / name).stat().st_size and damage != "missing":
            continue
        DAMAGES[damage](folder / name)
        before = _everything(folder)
        _assert_restores(folder, 3)
        said = capsys.readouterr().err
        assert said.startswith(f"warning: {folder / 'epoch-4'}: damaged, ")
        assert said.endswith("; renamed epoch-4.damaged\n")
        assert said.count("\n") == 1
        wanted = {key.replace("epoch-4", "epoch-4.damaged"): v for key, v in before.items()}
        assert _everything(folder) == wanted


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda text: b"\xff\xfe" + text, "SHA256SUMS is not as it was written"),
        (lambda text: b"\x00" * len(text), "SHA256SUMS is not as it was written"),
        (lambda text: text.rstrip(b"\n"), "SHA256SUMS is not as it was written"),
        (lambda text: text.replace(b"metrics.json", b"m\xe9trics.json"), "is missing"),
        (lambda text: text.replace(b"metrics.json", b"metrics.json/x"), "/x is missing"),
        (lambda text: text.replace(b"metrics.json", b"state"), "state is missing"),
    ],
)
def test_checksums_that_are_damaged_themselves(content, why, folder, capsys):
    path = folder / "epoch-4" / "SHA256SUMS"
    path.write_bytes(content(path.read_bytes()))
    _assert_restores(folder, 3)
    assert why in capsys.readouterr().err
    assert (folder / "epoch-4.damaged" / "SHA256SUMS").exists()


def test_each_damaged_checkpoint_gets_a_name_of_its_own(folder, capsys):
    for k, name in enumerate(("epoch-4.damaged", "epoch-4.damaged-2", "epoch-4.damaged-3")):
        for epoch in (2, 3):
            (folder / f"epoch-{epoch}" / "metrics.json").write_bytes(b"{%d" % k)
        (folder / "epoch-4" / "metrics.json").write_bytes(b"{%d" % k)
        assert _restore(folder) is None
        assert capsys.readouterr().err.count("; renamed epoch-") == 3
        assert (folder / name / "metrics.json").read_bytes() == b"{%d" % k
        for epoch in (2, 3, 4):
            Checkpoints(folder).save(_state(epoch), _metrics(epoch))
    _assert_restores(folder, 4)


def test_a_damaged_checkpoint_that_cannot_be_renamed(folder, monkeypatch):
    _flip(folder / "epoch-4" / "metrics.json")
    before = _everything(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", _raising(_os_error(errno.EROFS)))
        with pytest.raises(InputError) as error:
            _restore(folder)
    assert str(error.value) == (
        f"{folder / 'epoch-4'}: damaged, metrics.json has another checksum; it cannot be renamed "
        "epoch-4.damaged: Read-only file system"
    )
    assert _everything(folder) == before


# --- Everything else: one line, and nothing is touched.


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
    return lambda _folder, patch: patch.setattr(ocp.Checkpointer, "restore", _raising(error))


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
    "EIO in metrics": (_failing("metrics.json", _os_error(errno.EIO)), "Input/output error"),
    "ESTALE in arrays": (_failing("_METADATA", _os_error(errno.ESTALE)), "Stale file handle"),
    "EACCES": (_failing("SHA256SUMS", _os_error(errno.EACCES)), "Permission denied"),
    "EACCES of the folder": (_failing("epoch-4", _os_error(errno.EACCES)), "Permission denied"),
    "EIO in all": (_failing("checkpoints", _os_error(errno.EIO)), "Input/output error"),
    "EACCES of all": (_failing("checkpoints", _os_error(errno.EACCES)), "Permission denied"),
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
        before = _everything(folder)
        with pytest.raises(InputError) as error:
            _restore(folder)
    assert str(error.value).startswith(str(folder))
    assert why in str(error.value)
    assert "nothing was changed" in str(error.value)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().err == ""
    assert _everything(folder) == before


def test_what_stands_before_an_unreadable_one_is_not_touched(folder, monkeypatch, capsys):
    _flip(folder / "epoch-4" / "metrics.json")
    (folder / ".epoch-5.partial").mkdir()
    before = _everything(folder)
    with monkeypatch.context() as patch:
        _failing("epoch-3", _os_error(errno.EIO))(folder, patch)
        with pytest.raises(InputError, match=r"epoch-3: cannot be read: OSError: .Errno 5. "):
            _restore(folder)
    assert _everything(folder) == before
    assert capsys.readouterr().err == ""
    _assert_restores(folder, 3)
    assert not (folder / ".epoch-5.partial").exists()


def _replaced(**changes: object) -> TrainState:
    weights = _state(0).params | changes
    kept = {name: value for name, value in weights.items() if value is not None}
    return _state(0)._replace(params=kept)


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
    before = _everything(folder)
    with pytest.raises(InputError) as error:
        _restore(folder, template)
    assert str(error.value).startswith(f"{folder / 'epoch-4'}: does not fit: params.")
    assert why in str(error.value)
    assert _everything(folder) == before


# --- What is kept.


def test_the_newest_are_kept(folder):
    names = {"epoch-1.damaged", "epoch-9.damaged-2", "epoch-0"}
    for name in names:
        (folder / name).mkdir()
    Checkpoints(folder).save(_state(5), _metrics(5))
    assert KEPT == 3
    assert {path.name for path in folder.iterdir()} == names | {"epoch-3", "epoch-4", "epoch-5"}
    Checkpoints(folder).keep(1)
    assert {path.name for path in folder.iterdir()} == names | {"epoch-5"}
    _assert_restores(folder, 5)


def test_links_to_checkpoints_elsewhere(folder, tmp_path):
    for epoch in (2, 4):
        (folder / f"epoch-{epoch}").rename(tmp_path / f"mine-{epoch}")
        (folder / f"epoch-{epoch}").symlink_to(tmp_path / f"mine-{epoch}")
    _assert_restores(folder, 4)
    before = _everything(tmp_path / "mine-2")
    Checkpoints(folder).save(_state(5), _metrics(5))
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-3", "epoch-4", "epoch-5"]
    assert _everything(tmp_path / "mine-2") == before


def test_a_removal_that_fails_halfway_leaves_no_half_checkpoint(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "rmdir", _raising(_os_error(errno.EBUSY))
        )  # as a file that is open on NFS makes it
        Checkpoints(folder).save(_state(5), _metrics(5))
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert names == {"epoch-3", "epoch-4", "epoch-5"}
    _assert_restores(folder, 5)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-3", "epoch-4", "epoch-5"]


def test_a_checkpoint_that_cannot_be_written(folder, monkeypatch):
    before = _everything(folder)
    with monkeypatch.context() as patch:
        patch.setattr(ocp.Checkpointer, "save", _raising(_os_error(errno.ENOSPC)))
        with pytest.raises(InputError, match=r"epoch 5 cannot be written: .*No space left"):
            Checkpoints(folder).save(_state(5), _metrics(5))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2, 1, 1))
        with pytest.raises(InputError, match=r"No space left .* epoch 5: it needs 1\.0 MB, 0\."):
            Checkpoints(folder).save(_state(5), _metrics(5))
    assert _everything(folder) == before
