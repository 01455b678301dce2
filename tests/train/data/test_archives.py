"""The official files in every form that people have them, and what may be wrong with them."""

import errno
import gzip
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.train import data_dirs, made_up
from train.common.errors import InputError
from train.data import archives, official, sources

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


@pytest.mark.parametrize(("name", "version", "place"), FORMS)
def test_official_files_in_every_form(name, version, place, cache, tmp_path, monkeypatch, capsys):
    data = data_dirs.arrays(name)
    files = data_dirs.files(name, version, data)
    data_dirs.lay(tmp_path, place, files)
    made_up.as_official(monkeypatch, name, files)
    source = sources.read(name, str(tmp_path), unverified_archive=False)
    found = source.arrays
    assert (found.x_train.dtype, found.y_train.dtype) == (np.uint8, np.int32)
    assert found.x_train.shape == (200, *data_dirs.SHAPES[name])
    assert data_dirs.pairs(*found[:2]) == data_dirs.pairs(*data[:2])
    assert data_dirs.pairs(*found[2:]) == data_dirs.pairs(*data[2:])
    assert (source.classes, source.can_flip) == (data_dirs.CLASSES[name], True)
    assert capsys.readouterr().err == ""
    assert [path.name for path in cache.iterdir()] == [f"{name}.npz"]


def test_the_order_of_delivery_does_not_matter(cache, tmp_path):
    data = data_dirs.arrays("cifar10")
    mixed = np.random.default_rng(1).permutation(200)
    prints = []
    for k, order in enumerate((np.arange(200), mixed)):
        moved = data._replace(x_train=data.x_train[order], y_train=data.y_train[order])
        folder = made_up.unpacked(tmp_path / str(k), made_up.binary_batches("cifar10", moved))
        prints.append(sources.fingerprint(data_dirs.read("cifar10", folder, unverified=True)))
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
    files = data_dirs.files(name, version, data_dirs.arrays(name))
    made_up.as_official(monkeypatch, name, files)
    other = data_dirs.files(
        name,
        version,
        made_up.arrays(200, 100, data_dirs.SHAPES[name], data_dirs.CLASSES[name], seed=1),
    )
    altered = list(files)[-1]
    data_dirs.lay(tmp_path, place, files | {altered: other[altered]})
    message = data_dirs.refused(name, tmp_path)
    assert f"{altered}: not the official checksum of {name}" in message
    assert message.endswith("accept it with --unverified-archive")
    assert data_dirs.read(name, tmp_path, unverified=True).x_train.shape == (
        200,
        *data_dirs.SHAPES[name],
    )
    error = capsys.readouterr().err
    assert error.startswith("warning: ")
    assert f"{altered}: not the official checksum of {name}; used as it is" in error
    assert not cache.exists()  # what nobody vouches for is not kept as the real one


def test_an_official_copy_is_found_beside_others(cache, tmp_path, monkeypatch):
    data = data_dirs.arrays("cifar10")
    files = made_up.python_batches("cifar10", data)
    made_up.as_official(monkeypatch, "cifar10", files)
    made_up.unpacked(tmp_path / "cifar-10-batches-bin", {"data_batch_1.bin": b"\1"})
    made_up.unpacked(
        tmp_path, made_up.binary_batches("cifar10", data._replace(y_test=1 - data.y_test % 2))
    )
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"<html>moved</html>")
    made_up.unpacked(tmp_path / "cifar-10-batches-py", files | {"test_batch": b"altered"})
    made_up.packed(tmp_path / "cifar-10-python.tar.gz", "cifar-10-batches-py", files)
    for a, b in zip(data_dirs.read("cifar10", tmp_path), data.in_own_order(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_incomplete_copy_says_what_is_missing(cache, tmp_path):
    files = made_up.binary_batches("cifar10", data_dirs.arrays("cifar10"))
    del files["data_batch_4.bin"]
    data_dirs.lay(tmp_path / "a", "cifar-10-binary.tar.gz", files)
    data_dirs.lay(tmp_path / "b", "cifar-10-batches-bin/", files)
    for folder, place in (("a", "cifar-10-binary.tar.gz"), ("b", "cifar-10-batches-bin")):
        for unverified in (False, True):
            message = data_dirs.refused("cifar10", tmp_path / folder, unverified=unverified)
            assert message == (
                f"{tmp_path / folder / place}: lacks data_batch_4.bin, without which cifar10 is "
                "not complete"
            )


def test_a_damaged_archive_is_named(cache, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    data_dirs.lay(
        tmp_path, path.name, made_up.binary_batches("cifar10", data_dirs.arrays("cifar10"))
    )
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
    cut = [whole[:size] for size in (0, 10, middle, len(whole) - 20)]
    other = [b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n", b"PK\3\4"]
    for content in (*cut, flipped, *other, gzip.compress(b"text")):
        path.write_bytes(content)
        message = data_dirs.refused("cifar10", tmp_path, unverified=True)
        assert message.startswith(f"{path}: truncated or damaged, ")
        assert message.endswith("; fetch it again")
    assert "it is text" in message


def test_a_size_that_no_file_has(cache, tmp_path):
    header = bytearray(tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin").tobuf())
    header[124:136] = b"\x80" + b"\xff" * 11  # the size, in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(bytes(header) + bytes(1024)))
    assert "truncated or damaged, " in data_dirs.refused("cifar10", tmp_path, unverified=True)


def test_files_that_are_far_too_large(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST", 10_000)
    for name, content in (
        ("train.bin", b"\0" * 10_001),
        ("train.bin", gzip.compress(bytes(20_000))),
    ):
        made_up.unpacked(tmp_path, {name: content})
        assert "has more than 10000 bytes" in data_dirs.refused("cifar100", tmp_path)


def test_an_archive_whose_file_unpacks_to_zeros_without_end(cache, tmp_path):
    with tarfile.open(tmp_path / "cifar-100-binary.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("cifar-100-binary/train.bin"))
        sparse = tarfile.TarInfo("cifar-100-binary/test.bin")
        sparse.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(2**29)}
        tar.addfile(sparse)
    assert "lacks test.bin" in data_dirs.refused("cifar100", tmp_path, unverified=True)


def test_a_disk_that_cannot_be_read(cache, tmp_path, monkeypatch):
    made_up.unpacked(tmp_path, {"train.bin": b"", "test.bin": b""})

    def broken(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "open", broken)
    assert data_dirs.refused("cifar100", tmp_path) == f"{tmp_path}: Input/output error"


def test_a_folder_without_the_files_says_what_it_holds(cache, no_tfds, tmp_path):
    for name in ("cifar10", "fashion_mnist"):
        assert data_dirs.refused(name, tmp_path).startswith(
            f"data_dir: {tmp_path} holds none of the files of {name}, but nothing;"
        )
    made_up.unpacked(tmp_path, {f"{k}.png": b"" for k in range(1, 9)} | {".hidden": b""})
    expected = "1.png, 2.png, 3.png, 4.png, 5.png, 6.png and 2 more; expected "
    for unverified in (False, True):
        message = data_dirs.refused("cifar10", tmp_path, unverified=unverified)
        assert (
            expected + "cifar-10-binary.tar.gz or cifar-10-python.tar.gz, packed or unp" in message
        )
    assert "train-images-idx3-ubyte.gz, train-labels" in data_dirs.refused(
        "fashion_mnist", tmp_path
    )


def test_a_folder_without_the_files_is_no_reason_to_read_the_cache(cache, tmp_path, monkeypatch):
    files = made_up.binary_batches("cifar10", data_dirs.arrays("cifar10"))
    made_up.as_official(monkeypatch, "cifar10", files)
    data_dirs.read("cifar10", made_up.unpacked(tmp_path / "full", files))
    assert sources.is_here("cifar10", None)
    (tmp_path / "empty").mkdir()
    assert "holds none of the files of cifar10" in data_dirs.refused("cifar10", tmp_path / "empty")


def test_data_dirs_that_are_no_folders(tmp_path, monkeypatch):
    file = tmp_path / "cifar-10-binary.tar.gz"
    file.touch()
    for text in (str(file), str(tmp_path / "none"), "", "~/none", "~nobody-of-this-name/x"):
        with pytest.raises(InputError, match=r"data_dir: .* is not a folder"):
            sources.read("cifar10", text, unverified_archive=False)


def test_the_home_folder_and_names_that_are_not_utf_8(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    odd = os.fsdecode(b"caf\xe9\n")
    folder = made_up.unpacked(
        tmp_path / odd, made_up.binary_batches("cifar10", data_dirs.arrays("cifar10"))
    )
    assert len(sources.read("cifar10", f"~/{odd}", unverified_archive=True).arrays.y_test) == 100
    for path in folder.iterdir():
        path.unlink()
    message = data_dirs.refused("cifar10", tmp_path)
    assert message.startswith(
        f"data_dir: {tmp_path} holds none of the files of cifar10, but {odd!a};"
    )
    message.encode()
    data_dirs.refused("cifar10", folder).encode()
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
