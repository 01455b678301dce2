"""The cache of decoded arrays: what is kept, what is not taken for one's own, who may write."""

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.train import made_up
from train.common.errors import InputError
from train.data import archives, npz, sources, tfds
from train.data import cache as store


@pytest.fixture
def folder(cache, tmp_path, monkeypatch) -> Path:
    """A folder of official files of CIFAR-100."""
    files = made_up.binary_batches("cifar100", _data())
    made_up.as_official(monkeypatch, "cifar100", files)
    return made_up.unpacked(tmp_path / "files", files)


def _data() -> npz.Arrays:
    return made_up.arrays(200, 100, (32, 32, 3), 100).in_own_order()


def _read(folder: Path | None) -> npz.Arrays:
    data_dir = None if folder is None else str(folder)
    return sources.read("cifar100", data_dir, unverified_archive=False).arrays


def _is_right(arrays: npz.Arrays) -> bool:
    return sources.fingerprint(arrays) == sources.fingerprint(_data())


def test_official_files_are_decoded_once(folder, cache, monkeypatch):
    assert not sources.is_here("cifar100", None)
    assert _is_right(_read(folder))
    assert sources.is_here("cifar100", None)
    monkeypatch.setattr(archives.Copy, "decode", lambda _: pytest.fail("decoded again"))
    assert _is_right(_read(folder))
    assert _is_right(_read(None))  # without the files, too
    assert [path.name for path in cache.iterdir()] == ["cifar100.npz"]


def test_a_damaged_cache_is_made_again(folder, cache, capsys):
    _read(folder)
    path = cache / "cifar100.npz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :], whole[:999]):
        path.write_bytes(damaged)
        assert _is_right(_read(folder))
        error = capsys.readouterr().err
        assert error.startswith(f"warning: {path}: ")
        assert error.endswith("; it is made again\n")
        assert path.read_bytes() == whole


def _foreign(path: Path) -> None:
    np.savez(path, **made_up.arrays(200, 100, (32, 32, 3), 100, seed=1)._asdict())


FOREIGN = {
    "an .npz file": _foreign,
    "text": lambda path: path.write_text("notes"),
    "empty": Path.touch,
    "another data set's": lambda path: store.write("cifar10", path, _data()),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_the_program_did_not_write_is_left_alone(what, folder, cache, no_tfds, capsys):
    cache.mkdir()
    path = cache / "cifar100.npz"
    FOREIGN[what](path)
    before = path.read_bytes()
    assert _is_right(_read(folder))
    error = capsys.readouterr().err
    assert error.startswith(f"warning: {path}: was not written by this program")
    assert error.endswith("the arrays are not kept\n")
    assert error.count("\n") == 1
    assert not sources.is_here("cifar100", None)
    with pytest.raises(InputError, match="was not written by this program"):
        _read(None)
    assert path.read_bytes() == before
    assert list(cache.iterdir()) == [path]


def test_a_cache_that_cannot_be_written(folder, cache, monkeypatch, capsys):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert _is_right(_read(folder))
    assert list(cache.iterdir()) == []
    (cache / "cifar100.npz").mkdir()  # not even a file can be put there
    assert _is_right(_read(folder))
    (cache / "cifar100.npz").rmdir()
    cache.rmdir()
    cache.touch()  # nor a folder made
    assert _is_right(_read(folder))
    lines = capsys.readouterr().err.splitlines()
    reasons = ("No space left on device", "Is a directory", "Not a directory")
    for line, reason in zip(lines, reasons, strict=True):
        assert line == (
            f"warning: {cache / 'cifar100.npz'}: {reason}; the arrays are not kept; name another "
            "place for them by XDG_CACHE_HOME"
        )


def test_processes_that_keep_the_same_arrays_at_once(tmp_path):
    barrier = threading.Barrier(4)
    fsync = os.fsync
    failures = []

    def keep():
        try:
            npz.write(tmp_path / "cifar100.npz", _data())
        except BaseException as error:
            failures.append(error)

    def together(file):
        fsync(file)
        barrier.wait(60)  # all have written, none has given the file its name

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", together)
        threads = [threading.Thread(target=keep) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["cifar100.npz"]
    assert _is_right(npz.read(tmp_path / "cifar100.npz"))


def test_processes_that_prepare_at_once_do_so_one_after_another(cache, monkeypatch):
    prepared = []
    entered = threading.Event()

    def prepare(name, folder, target):
        entered.set()
        prepared.append(folder)
        store.write(name, target, _data())

    monkeypatch.setattr(tfds, "prepare", prepare)
    found = []
    thread = threading.Thread(target=lambda: found.append(_read(None)))
    with store.locked("cifar100"):  # another process is at it
        thread.start()
        assert not entered.wait(0.2)
        store.write("cifar100", store.path("cifar100"), _data())
    thread.join()
    assert prepared == []
    assert _is_right(found[0])
    (cache / "cifar100.npz").unlink()
    assert _is_right(_read(None))
    assert prepared == [cache / "tensorflow_datasets"]


def test_a_file_system_without_locks(cache, monkeypatch):
    def unsupported(*args):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(store.fcntl, "flock", unsupported)
    monkeypatch.setattr(tfds, "prepare", lambda *given: npz.write(given[-1], _data()))
    assert _is_right(_read(None))


def test_without_a_home_folder(tmp_path, monkeypatch, capsys):
    def unknown(*args):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / f"rsgdm_optax-{os.getuid()}"
    assert [store.folder() for _ in range(3)] == [path] * 3
    line = f"warning: there is no home folder: data are kept in {path} (or XDG_CACHE_HOME)\n"
    assert capsys.readouterr().err == line


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert store.folder() == tmp_path / "cache" / "rsgdm_optax"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "~/elsewhere")
    assert store.folder() == tmp_path / "elsewhere" / "rsgdm_optax"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert store.folder() == tmp_path / ".cache" / "rsgdm_optax"


def test_without_files_cache_or_tfds(cache, no_tfds):
    with pytest.raises(InputError) as error:
        sources.read("fashion_mnist", None, unverified_archive=False)
    message = str(error.value)
    assert "pip install -e '.[tfds]'; or put the official train-images-idx3-ubyte.gz, " in message
    assert message.endswith("into a folder: --data-dir FOLDER")
    with pytest.raises(InputError, match="unverified_archive: no --data-dir is given"):
        sources.read("cifar10", None, unverified_archive=True)


def test_the_newest_version_that_was_prepared(tmp_path):
    for version in ("3.0.2", "10.0.0", "9.1.0"):
        (tmp_path / "cifar10" / version).mkdir(parents=True)
        (tmp_path / "cifar10" / version / "dataset_info.json").write_text("{}")
    found = [path.name for path in tfds.prepared("cifar10", tmp_path)]
    assert found == ["3.0.2", "9.1.0", "10.0.0"]
    assert tfds.prepared("cifar100", tmp_path) == []


def test_a_folder_that_tensorflow_datasets_prepared(cache, tmp_path, monkeypatch, no_tfds):
    prepared = tmp_path / "cifar100" / "3.0.2"
    prepared.mkdir(parents=True)
    (prepared / "dataset_info.json").write_text("{}")
    with pytest.raises(InputError, match="reading what was prepared needs no_such_package"):
        _read(tmp_path)
    monkeypatch.setattr(tfds, "prepare", lambda name, _, target: store.write(name, target, _data()))
    assert _is_right(_read(tmp_path))
    with pytest.raises(InputError, match="holds none of the files of cifar10, but cifar100"):
        sources.read("cifar10", str(tmp_path), unverified_archive=False)
