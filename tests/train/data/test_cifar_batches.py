"""CIFAR's batches: both versions, what may be wrong with them, and the danger of pickles."""

import pickle
from pathlib import Path

import pytest

from tests.train import data_dirs, made_up
from train.data import sources


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_both_versions_are_the_same_data_set(name, cache, tmp_path, monkeypatch):
    prints = []
    for k, version in enumerate(("binary", "python")):
        files = data_dirs.files(name, version, data_dirs.arrays(name))
        data_dirs.lay(tmp_path / version, "", files)
        made_up.as_official(monkeypatch, name, files)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{k}"))
        prints.append(sources.fingerprint(data_dirs.read(name, tmp_path / version)))
    assert prints[0] == prints[1]


class _Touch:
    """When unpickled, makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("unverified", [False, True])
def test_no_pickle_is_loaded_that_is_not_the_official_one(unverified, cache, tmp_path):
    evil = {"train": pickle.dumps(_Touch(tmp_path / "ran")), "test": b""}
    folder = made_up.unpacked(tmp_path / "cifar-100-python", evil)
    message = data_dirs.refused("cifar100", folder, unverified=unverified)
    assert "train, test (empty): not the official checksum, and a pickle may run code" in message
    assert "binary version or npz:FILE" in message
    assert not (tmp_path / "ran").exists()


def test_an_official_pickle_makes_nothing_but_arrays(cache, tmp_path, monkeypatch):
    files = made_up.python_batches("cifar100", data_dirs.arrays("cifar100"))
    files["test"] = pickle.dumps(_Touch(tmp_path / "ran"))
    made_up.as_official(monkeypatch, "cifar100", files)
    made_up.unpacked(tmp_path, files)
    assert "test is no batch of CIFAR: it asks for " in data_dirs.refused("cifar100", tmp_path)
    files["test"] = pickle.dumps({b"other": 1})
    made_up.as_official(monkeypatch, "cifar100", files)
    made_up.unpacked(tmp_path, files)
    assert "test is no batch of CIFAR" in data_dirs.refused("cifar100", tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("data_batch_3.bin", b"x" * 3072, "has 3072 bytes, not a multiple of 3073"),
        ("test_batch.bin", b"", "has 0 bytes"),
        ("test_batch.bin", b"\x0a" * 3073, "holds the label 10 of 10"),
        ("test_batch.bin", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
)
def test_batches_that_are_none(file, content, why, cache, tmp_path):
    files = made_up.binary_batches("cifar10", data_dirs.arrays("cifar10"))
    made_up.unpacked(tmp_path, files | {file: content})
    refused = [
        data_dirs.refused("cifar10", tmp_path, unverified=True),
        data_dirs.refused("cifar10", tmp_path),
    ]
    assert why in " ".join(refused)
