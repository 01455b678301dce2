"""Checkpoints by themselves: damage, and what is kept; nothing is ever lost."""

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import orbax.checkpoint as ocp
import pytest

from tests.train.runs.saved import (
    DAMAGES,
    assert_restores,
    everything,
    flip,
    metrics_of,
    os_error,
    raising,
    restore,
    state_of,
    write_sums,
)
from train.common.errors import InputError
from train.runs.checkpoints import KEPT, Checkpoints


def test_what_was_saved_is_restored(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-2", "epoch-3", "epoch-4"]
    before = everything(folder)
    assert_restores(folder, 4)
    assert everything(folder) == before


def test_without_checkpoints_there_is_nothing_to_restore(tmp_path):
    assert restore(tmp_path / "none") is None
    (tmp_path / "empty").mkdir()
    assert restore(tmp_path / "empty") is None


def test_the_checksums_are_those_of_the_command_sha256sum(kept):
    path = kept / "epoch-4"
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=path, check=True)
    named = {line.split("  ")[1] for line in (path / "SHA256SUMS").read_text().splitlines()}
    files = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert named == files - {"SHA256SUMS"}


def test_metrics_without_a_number_stay_readable(folder):
    path = folder / "epoch-4" / "metrics.json"
    assert json.loads(path.read_text()) == {"format": 3, "epochs": metrics_of(4)}
    old = [{"epoch": k + 1, "learning_rate": 0.1, "test_loss": 1 / 3} for k in range(4)]
    path.write_text(json.dumps(old))
    write_sums(folder / "epoch-4")
    assert_restores(folder, 4)


def test_what_was_not_written_does_not_matter(folder):
    (folder / "epoch-4" / ".DS_Store").write_bytes(b"\x00")
    (folder / "epoch-4" / "state" / "Thumbs.db").write_bytes(b"\x00")
    for name in ("epoch-5.damaged", "epoch-05", "epoch-²", "epoch-", "notes", "epoch-6.old"):
        (folder / name).mkdir()
    before = everything(folder)
    assert_restores(folder, 4)
    assert everything(folder) == before


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
        before = everything(folder)
        assert_restores(folder, 3)
        said = capsys.readouterr().err
        assert said.startswith(f"warning: {folder / 'epoch-4'}: damaged, ")
        assert said.endswith("; renamed epoch-4.damaged\n")
        assert said.count("\n") == 1
        wanted = {key.replace("epoch-4", "epoch-4.damaged"): v for key, v in before.items()}
        assert everything(folder) == wanted


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
    assert_restores(folder, 3)
    assert why in capsys.readouterr().err
    assert (folder / "epoch-4.damaged" / "SHA256SUMS").exists()


def test_each_damaged_checkpoint_gets_a_name_of_its_own(folder, capsys):
    for k, name in enumerate(("epoch-4.damaged", "epoch-4.damaged-2", "epoch-4.damaged-3")):
        for epoch in (2, 3):
            (folder / f"epoch-{epoch}" / "metrics.json").write_bytes(b"{%d" % k)
        (folder / "epoch-4" / "metrics.json").write_bytes(b"{%d" % k)
        assert restore(folder) is None
        assert capsys.readouterr().err.count("; renamed epoch-") == 3
        assert (folder / name / "metrics.json").read_bytes() == b"{%d" % k
        for epoch in (2, 3, 4):
            Checkpoints(folder).save(state_of(epoch), metrics_of(epoch))
    assert_restores(folder, 4)


def test_a_damaged_checkpoint_that_cannot_be_renamed(folder, monkeypatch):
    flip(folder / "epoch-4" / "metrics.json")
    before = everything(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", raising(os_error(errno.EROFS)))
        with pytest.raises(InputError) as error:
            restore(folder)
    assert str(error.value) == (
        f"{folder / 'epoch-4'}: damaged, metrics.json has another checksum; it cannot be renamed "
        "epoch-4.damaged: Read-only file system"
    )
    assert everything(folder) == before


# --- What is kept.


def test_the_newest_are_kept(folder):
    names = {"epoch-1.damaged", "epoch-9.damaged-2", "epoch-0"}
    for name in names:
        (folder / name).mkdir()
    Checkpoints(folder).save(state_of(5), metrics_of(5))
    assert KEPT == 3
    assert {path.name for path in folder.iterdir()} == names | {"epoch-3", "epoch-4", "epoch-5"}
    Checkpoints(folder).keep(1)
    assert {path.name for path in folder.iterdir()} == names | {"epoch-5"}
    assert_restores(folder, 5)


def test_links_to_checkpoints_elsewhere(folder, tmp_path):
    for epoch in (2, 4):
        (folder / f"epoch-{epoch}").rename(tmp_path / f"mine-{epoch}")
        (folder / f"epoch-{epoch}").symlink_to(tmp_path / f"mine-{epoch}")
    assert_restores(folder, 4)
    before = everything(tmp_path / "mine-2")
    Checkpoints(folder).save(state_of(5), metrics_of(5))
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-3", "epoch-4", "epoch-5"]
    assert everything(tmp_path / "mine-2") == before


def test_a_removal_that_fails_halfway_leaves_no_half_checkpoint(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "rmdir", raising(os_error(errno.EBUSY))
        )  # as a file that is open on NFS makes it
        Checkpoints(folder).save(state_of(5), metrics_of(5))
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert names == {"epoch-3", "epoch-4", "epoch-5"}
    assert_restores(folder, 5)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-3", "epoch-4", "epoch-5"]


def test_a_checkpoint_that_cannot_be_written(folder, monkeypatch):
    before = everything(folder)
    with monkeypatch.context() as patch:
        patch.setattr(ocp.Checkpointer, "save", raising(os_error(errno.ENOSPC)))
        with pytest.raises(InputError, match=r"epoch 5 cannot be written: .*No space left"):
            Checkpoints(folder).save(state_of(5), metrics_of(5))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2, 1, 1))
        with pytest.raises(InputError, match=r"No space left .* epoch 5: it needs 1\.0 MB, 0\."):
            Checkpoints(folder).save(state_of(5), metrics_of(5))
    assert everything(folder) == before
