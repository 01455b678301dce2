"""The official files in every form that people have them, and what may be wrong with them."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest

from tests.train import made_up
from train import archives, npz, official, sources
from train.errors import InputError

SHAPES = {"cifar10": (32, 32, 3), "cifar100": (32, 32, 3), "fashion_mnist": (28, 28, 1)}
CLASSES = {"cifar10": 10, "cifar100": 100, "fashion_mnist": 10}

# Data set, version, and where its files lie: a name that ends in a slash is a folder.
FORMS = [
    *(("cifar10", "binary", place) for place in ("", "cifar-10-batches-bin/")),
    *(("cifar10", "binary", place) for place in ("cifar-10-binary.tar.gz", "cifar-10-binary.tar")),
    *(("cifar10", "python", place) for place in ("", "cifar-10-batches-py/")),
    ("cifar10", "python", "cifar-10-batches-py-target/cifar-10-batches-py/"),
    ("cifar10", "python", "cifar-10-python/cifar-10-batches-py/"),
    ("cifar10", "python", "cifar-10-python.tar.gz"),
    ("cifar10", "python", "cifar-10-batches-py.tar.gz"),
    ("cifar10", "python", "cifar-10-batches-py-target_archive"),
    *(("cifar100", "binary", place) for place in ("", "cifar-100-binary/")),
    ("cifar100", "binary", "cifar-100-binary.tar.gz"),
    *(("cifar100", "python", place) for place in ("", "cifar-100-python/")),
    ("cifar100", "python", "cifar-100-python-target/cifar-100-python/"),
    ("cifar100", "python", "cifar-100-python.tar.gz"),
    ("cifar100", "python", "cifar-100-python-target_archive"),
    *(("fashion_mnist", "idx", place) for place in ("", "FashionMNIST/raw/", "fashion-mnist/")),
]


def _data(name: str) -> npz.Arrays:
    return made_up.arrays(200, 100, SHAPES[name], CLASSES[name])


def _files(name: str, version: str, data: npz.Arrays) -> dict[str, bytes]:
    if version == "idx":
        return made_up.idx_files(data)
    make = made_up.binary_batches if version == "binary" else made_up.python_batches
    return make(name, data)


def _lay(folder: Path, place: str, files: dict[str, bytes]) -> None:
    if place.endswith("/") or not place:
        made_up.unpacked(folder / place, files)
    else:
        made_up.packed(folder / place, "inside", files)


def _read(name: str, folder: Path, *, unverified: bool = False) -> npz.Arrays:
    return sources.read(name, str(folder), unverified_archive=unverified).arrays


def _pairs(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((i.tobytes(), int(k)) for i, k in zip(images, labels, strict=True))


def _refused(name: str, folder: Path, *, unverified: bool = False) -> str:
    with pytest.raises(InputError) as error:
        _read(name, folder, unverified=unverified)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("name", "version", "place"), FORMS)
def test_official_files_in_every_form(name, version, place, cache, tmp_path, monkeypatch, capsys):
    data = _data(name)
    files = _files(name, version, data)
    _lay(tmp_path, place, files)
    made_up.as_official(monkeypatch, name, files)
    source = sources.read(name, str(tmp_path), unverified_archive=False)
    found = source.arrays
    assert (found.x_train.dtype, found.y_train.dtype) == (np.uint8, np.int32)
    assert found.x_train.shape == (200, *SHAPES[name])
    assert _pairs(*found[:2]) == _pairs(*data[:2])
    assert _pairs(*found[2:]) == _pairs(*data[2:])
    assert (source.classes, source.can_flip) == (CLASSES[name], True)
    assert capsys.readouterr().err == ""
    assert [path.name for path in cache.iterdir()] == [f"{name}.npz"]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_both_versions_are_the_same_data_set(name, cache, tmp_path, monkeypatch):
    prints = []
    for k, version in enumerate(("binary", "python")):
        files = _files(name, version, _data(name))
        _lay(tmp_path / version, "", files)
        made_up.as_official(monkeypatch, name, files)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{k}"))
        prints.append(sources.fingerprint(_read(name, tmp_path / version)))
    assert prints[0] == prints[1]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_idx_files_under_their_other_names(compress, dotted, cache, tmp_path, monkeypatch):
    data = _data("fashion_mnist")
    files = made_up.idx_files(data)
    made_up.as_official(monkeypatch, "fashion_mnist", files)
    for name, content in files.items():
        spelt = name.replace("-idx", ".idx") if dotted else name
        path = tmp_path / f"{spelt}{'.gz' if compress else ''}"
        path.write_bytes(gzip.compress(content, 1) if compress else content)
    assert _pairs(*_read("fashion_mnist", tmp_path)[:2]) == _pairs(*data[:2])


def test_the_order_of_delivery_does_not_matter(cache, tmp_path):
    data = _data("cifar10")
    mixed = np.random.default_rng(1).permutation(200)
    prints = []
    for k, order in enumerate((np.arange(200), mixed)):
        moved = data._replace(x_train=data.x_train[order], y_train=data.y_train[order])
        folder = made_up.unpacked(tmp_path / str(k), made_up.binary_batches("cifar10", moved))
        prints.append(sources.fingerprint(_read("cifar10", folder, unverified=True)))
    assert prints[0] == prints[1]


@pytest.mark.parametrize(
    ("name", "version", "place"),
    [
        ("cifar10", "binary", "cifar-10-binary.tar.gz"),
        ("cifar100", "binary", "cifar-100-binary/"),
        ("fashion_mnist", "idx", ""),
    ],
)
def test_altered_files_are_refused_unless_accepted(
    name, version, place, cache, tmp_path, monkeypatch, capsys
):
    files = _files(name, version, _data(name))
    made_up.as_official(monkeypatch, name, files)
    other = _files(name, version, made_up.arrays(200, 100, SHAPES[name], CLASSES[name], seed=1))
    altered = list(files)[-1]
    _lay(tmp_path, place, files | {altered: other[altered]})
    message = _refused(name, tmp_path)
    assert f"{altered}: not the official checksum of {name}" in message
    assert message.endswith("accept it with --unverified-archive")
    assert _read(name, tmp_path, unverified=True).x_train.shape == (200, *SHAPES[name])
    error = capsys.readouterr().err
    assert error.startswith("warning: ")
    assert f"{altered}: not the official checksum of {name}; used as it is" in error
    assert not cache.exists()  # what nobody vouches for is not kept as the real one


class _Touch:
    """When unpickled, makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("unverified", [False, True])
def test_no_pickle_is_loaded_that_is_not_the_official_one(unverified, cache, tmp_path):
    import pickle

    evil = {"train": pickle.dumps(_Touch(tmp_path / "ran")), "test": b""}
    folder = made_up.unpacked(tmp_path / "cifar-100-python", evil)
    message = _refused("cifar100", folder, unverified=unverified)
    assert "train, test (empty): not the official checksum, and a pickle may run code" in message
    assert "binary version or npz:FILE" in message
    assert not (tmp_path / "ran").exists()


def test_an_official_pickle_makes_nothing_but_arrays(cache, tmp_path, monkeypatch):
    import pickle

    files = made_up.python_batches("cifar100", _data("cifar100"))
    files["test"] = pickle.dumps(_Touch(tmp_path / "ran"))
    made_up.as_official(monkeypatch, "cifar100", files)
    made_up.unpacked(tmp_path, files)
    assert "test is no batch of CIFAR: it asks for " in _refused("cifar100", tmp_path)
    files["test"] = pickle.dumps({b"other": 1})
    made_up.as_official(monkeypatch, "cifar100", files)
    made_up.unpacked(tmp_path, files)
    assert "test is no batch of CIFAR" in _refused("cifar100", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_copy_that_is_whole_is_found_beside_damaged_ones(cache, tmp_path, monkeypatch):
    data = _data("cifar10")
    files = made_up.python_batches("cifar10", data)
    made_up.as_official(monkeypatch, "cifar10", files)
    made_up.unpacked(tmp_path / "cifar-10-batches-bin", {"data_batch_1.bin": b"\1"})
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"<html>moved</html>")
    made_up.unpacked(tmp_path / "cifar-10-batches-py", files | {"test_batch": b"altered"})
    made_up.packed(tmp_path / "cifar-10-python.tar.gz", "cifar-10-batches-py", files)
    assert _pairs(*_read("cifar10", tmp_path)[:2]) == _pairs(*data[:2])


def test_an_incomplete_copy_says_what_is_missing(cache, tmp_path):
    files = made_up.binary_batches("cifar10", _data("cifar10"))
    del files["data_batch_4.bin"]
    _lay(tmp_path / "a", "cifar-10-binary.tar.gz", files)
    _lay(tmp_path / "b", "cifar-10-batches-bin/", files)
    for folder, place in (("a", "cifar-10-binary.tar.gz"), ("b", "cifar-10-batches-bin")):
        for unverified in (False, True):
            message = _refused("cifar10", tmp_path / folder, unverified=unverified)
            assert message == (
                f"{tmp_path / folder / place}: lacks data_batch_4.bin, without which cifar10 is "
                "not complete"
            )


def test_a_damaged_archive_is_named(cache, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    _lay(tmp_path, path.name, made_up.binary_batches("cifar10", _data("cifar10")))
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
    cut = [whole[:size] for size in (0, 10, middle, len(whole) - 20)]
    other = [b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n", b"PK\3\4"]
    for content in (*cut, flipped, *other, gzip.compress(b"text")):
        path.write_bytes(content)
        message = _refused("cifar10", tmp_path, unverified=True)
        assert message.startswith(f"{path}: truncated or damaged, ")
        assert message.endswith("; fetch it again")
    assert "it is text" in message


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
    files = made_up.binary_batches("cifar10", _data("cifar10"))
    made_up.unpacked(tmp_path, files | {file: content})
    refused = [_refused("cifar10", tmp_path, unverified=True), _refused("cifar10", tmp_path)]
    assert why in " ".join(refused)


def test_damaged_idx_files(cache, tmp_path):
    whole = made_up.idx_files(_data("fashion_mnist"))
    made_up.unpacked(tmp_path, whole)
    images, labels, _, test_labels = whole

    def refused(name, content, why):
        (tmp_path / name).write_bytes(content)
        assert re.search(why, _refused("fashion_mnist", tmp_path, unverified=True))
        (tmp_path / name).write_bytes(whole[name])

    for name, content in whole.items():
        half = gzip.compress(content)[:-9]
        refused(name, half, f"{name}: truncated or damaged")
        refused(name, b"\0\0\x08", "is no IDX file")
        refused(name, content[:-1], "bytes of data for the shape")
    refused(labels, whole[test_labels], "y_train has the shape")
    refused(images, b"\0\0\x08\x03" + b"\xff" * 12, "0 bytes of data for the shape")
    (tmp_path / images).unlink()
    assert f"lacks {images}" in _refused("fashion_mnist", tmp_path)


def test_files_that_are_far_too_large(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST", 10_000)
    for name, content in (
        ("train.bin", b"\0" * 10_001),
        ("train.bin", gzip.compress(bytes(20_000))),
    ):
        made_up.unpacked(tmp_path, {name: content})
        assert "has more than 10000 bytes" in _refused("cifar100", tmp_path)


def test_a_folder_without_the_files_says_what_it_holds(cache, no_tfds, tmp_path):
    for name in ("cifar10", "fashion_mnist"):
        assert _refused(name, tmp_path).startswith(
            f"data_dir: {tmp_path} holds none of the files of {name}, but nothing;"
        )
    made_up.unpacked(tmp_path, {f"{k}.png": b"" for k in range(1, 9)} | {".hidden": b""})
    expected = "1.png, 2.png, 3.png, 4.png, 5.png, 6.png and 2 more; expected "
    for unverified in (False, True):
        message = _refused("cifar10", tmp_path, unverified=unverified)
        assert (
            expected + "cifar-10-binary.tar.gz or cifar-10-python.tar.gz, packed or unp" in message
        )
    assert "train-images-idx3-ubyte.gz, train-labels" in _refused("fashion_mnist", tmp_path)


def test_a_folder_without_the_files_is_no_reason_to_read_the_cache(cache, tmp_path, monkeypatch):
    files = made_up.binary_batches("cifar10", _data("cifar10"))
    made_up.as_official(monkeypatch, "cifar10", files)
    _read("cifar10", made_up.unpacked(tmp_path / "full", files))
    assert sources.is_here("cifar10", None)
    (tmp_path / "empty").mkdir()
    assert "holds none of the files of cifar10" in _refused("cifar10", tmp_path / "empty")


def test_data_dirs_that_are_no_folders(tmp_path, monkeypatch):
    file = tmp_path / "cifar-10-binary.tar.gz"
    file.touch()
    for text in (str(file), str(tmp_path / "none"), "", "~/none", "~nobody-of-this-name/x"):
        with pytest.raises(InputError, match=r"data_dir: .* is not a folder"):
            sources.read("cifar10", text, unverified_archive=False)


def test_the_home_folder_and_names_that_are_not_utf_8(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    odd = os.fsdecode(b"caf\xe9\n")
    folder = made_up.unpacked(tmp_path / odd, made_up.binary_batches("cifar10", _data("cifar10")))
    assert len(sources.read("cifar10", f"~/{odd}", unverified_archive=True).arrays.y_test) == 100
    for path in folder.iterdir():
        path.unlink()
    message = _refused("cifar10", tmp_path)
    assert message.startswith(
        f"data_dir: {tmp_path} holds none of the files of cifar10, but {odd!a};"
    )
    message.encode()
    _refused("cifar10", folder).encode()
    capsys.readouterr().err.encode()


def test_official_checksums_are_well_formed():
    sums = [
        sha
        for name in official.VERSIONS
        for v in official.VERSIONS[name]
        for sha in v.files.values()
    ]
    assert len({bytes.fromhex(sha) for sha in sums}) == len(sums) == 6 + 6 + 2 + 2 + 4
    assert {len(sha) for sha in sums} == {64}
