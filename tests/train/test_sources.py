"""Archives, .npz files and the cache: the official formats, and what may be wrong with them."""

import errno
import gzip
import hashlib
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.train import made_up
from train import archives, npz, sources
from train.data import load
from train.errors import InputError

SHAPES = {"cifar10": (32, 32, 3), "cifar100": (32, 32, 3), "fashion_mnist": (28, 28, 1)}
CLASSES = {"cifar10": 10, "cifar100": 100, "fashion_mnist": 10}
WRITE = {
    "cifar10": made_up.write_cifar10,
    "cifar100": made_up.write_cifar100,
    "fashion_mnist": made_up.write_fashion_mnist,
}


def _data(name: str) -> npz.Arrays:
    return made_up.arrays(200, 100, SHAPES[name], CLASSES[name])


def _read(name: str, folder: Path, *, unverified: bool = True) -> npz.Arrays:
    return sources.read(name, str(folder), unverified_archive=unverified).arrays


def _as_official(name: str, folder: Path, monkeypatch) -> None:
    """Makes the checksums of a made-up archive the official ones."""
    found = archives.find(name, folder)
    _, decode = archives._OFFICIAL[name]
    files = zip(archives._OFFICIAL[name][0], found.files.values(), strict=True)
    sums = {file: hashlib.sha256(content).hexdigest() for file, content in files}
    monkeypatch.setitem(archives._OFFICIAL, name, (sums, decode))


def _pairs(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((i.tobytes(), int(k)) for i, k in zip(images, labels, strict=True))


@pytest.mark.parametrize("name", SHAPES)
def test_archive_in_the_official_format(name, cache, tmp_path, capsys):
    data = _data(name)
    WRITE[name](tmp_path, data)
    found = sources.read(name, str(tmp_path), unverified_archive=True)
    assert found.arrays.x_train.dtype == np.uint8
    assert found.arrays.y_train.dtype == np.int32
    assert found.arrays.x_train.shape == (200, *SHAPES[name])
    assert _pairs(*found.arrays[:2]) == _pairs(*data[:2])
    assert _pairs(*found.arrays[2:]) == _pairs(*data[2:])
    assert (found.classes, found.can_flip) == (CLASSES[name], True)
    assert "warning: " in capsys.readouterr().err
    assert not cache.exists()  # an archive that nobody vouches for is not kept as the real one


def test_plain_idx_files_equal_gzipped_ones(cache, tmp_path):
    folders = {compress: tmp_path / str(compress) for compress in (True, False)}
    for compress, folder in folders.items():
        folder.mkdir()
        made_up.write_fashion_mnist(folder, _data("fashion_mnist"), compress=compress)
    a, b = (sources.fingerprint(_read("fashion_mnist", f)) for f in folders.values())
    assert a == b


def test_the_order_of_delivery_does_not_matter(cache, tmp_path):
    data = _data("cifar10")
    mixed = np.random.default_rng(1).permutation(200)
    prints = []
    for k, order in enumerate((np.arange(200), mixed)):
        (tmp_path / str(k)).mkdir()
        made_up.write_cifar10(
            tmp_path / str(k),
            data._replace(x_train=data.x_train[order], y_train=data.y_train[order]),
        )
        prints.append(sources.fingerprint(_read("cifar10", tmp_path / str(k))))
    assert prints[0] == prints[1]


def test_fingerprint_sees_every_array():
    data = _data("cifar10")
    prints = {sources.fingerprint(data)}
    for name, array in data._asdict().items():
        changed = array.copy()
        changed.flat[-1] ^= 1
        prints.add(sources.fingerprint(data._replace(**{name: changed})))
    assert len(prints) == 5


@pytest.mark.parametrize("name", SHAPES)
def test_an_altered_archive_is_refused(name, cache, tmp_path):
    WRITE[name](tmp_path, _data(name))
    with pytest.raises(InputError, match=r"not the official checksum.* --unverified-archive"):
        _read(name, tmp_path, unverified=False)
    assert not cache.exists()


@pytest.mark.parametrize("name", SHAPES)
def test_official_checksums_are_well_formed(name):
    for sha256 in archives._OFFICIAL[name][0].values():
        assert len(bytes.fromhex(sha256)) == 32


def test_a_truncated_archive_is_named(cache, tmp_path):
    path = made_up.write_cifar10(tmp_path, _data("cifar10"))
    content = path.read_bytes()
    for size in (0, 10, len(content) // 2, len(content) - 20):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz: truncated or damaged"):
            _read("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: m.pop("test_batch.bin"), "its member test_batch.bin has 0 bytes"),
        (lambda m: m.update({"data_batch_3.bin": b"x" * 3072}), "has 3072 bytes, not a multiple"),
        (lambda m: m.update({"test_batch.bin": b"\x0a" * 3073}), "holds the label 10 of 10"),
    ],
)
def test_an_archive_with_other_members(change, why, cache, tmp_path):
    path = made_up.write_cifar10(tmp_path, _data("cifar10"))
    with tarfile.open(path) as tar:
        members = {Path(m.name).name: tar.extractfile(m).read() for m in tar}
    change(members)
    made_up._tar(path, "cifar-10-batches-bin", members)
    with pytest.raises(InputError, match=why):
        _read("cifar10", tmp_path)


def test_damaged_idx_files(cache, tmp_path):
    paths = made_up.write_fashion_mnist(tmp_path, _data("fashion_mnist"))
    whole = {path: path.read_bytes() for path in paths}

    def broken(path, content, why):
        path.write_bytes(content)
        with pytest.raises(InputError, match=why):
            _read("fashion_mnist", tmp_path)
        path.write_bytes(whole[path])

    for path in paths:
        broken(path, whole[path][: len(whole[path]) // 2], f"{path.name}: truncated or damaged")
        broken(path, b"not gzip", f"{path.name}: truncated or damaged")
        broken(path, gzip.compress(b"\0\0\x08"), "is no IDX file")
        plain = gzip.decompress(whole[path])
        broken(path, gzip.compress(plain[:-1]), "bytes of data for the shape")
    broken(paths[1], whole[paths[3]], "y_train has the shape")
    paths[2].unlink()
    with pytest.raises(InputError, match=r"lacks t10k-images-idx3-ubyte\.gz"):
        _read("fashion_mnist", tmp_path)


@pytest.mark.parametrize("name", SHAPES)
def test_an_official_archive_is_decoded_once(name, cache, tmp_path, monkeypatch):
    WRITE[name](tmp_path, _data(name))
    _as_official(name, tmp_path, monkeypatch)
    first = _read(name, tmp_path, unverified=False)
    monkeypatch.setattr(archives, "find", lambda *_: archives.Archive({}, [], pytest.fail))
    again = _read(name, tmp_path, unverified=False)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    # Without the archive, too.
    kept = sources.read(name, None, unverified_archive=False)
    np.testing.assert_array_equal(kept.arrays.x_test, first.x_test)
    assert [path.name for path in cache.iterdir()] == [f"{name}.npz"]


def test_a_damaged_cache_is_made_again(cache, tmp_path, monkeypatch, capsys):
    WRITE["cifar10"](tmp_path, _data("cifar10"))
    _as_official("cifar10", tmp_path, monkeypatch)
    first = _read("cifar10", tmp_path, unverified=False)
    path = cache / "cifar10.npz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
    for damaged in (flipped, whole[:middle], whole[:100], b"", b"\0" * len(whole)):
        path.write_bytes(damaged)
        again = _read("cifar10", tmp_path, unverified=False)
        assert sources.fingerprint(again) == sources.fingerprint(first)
        assert f"warning: {path}" in capsys.readouterr().err
        assert path.read_bytes() == whole


def test_a_cache_without_room(cache, tmp_path, monkeypatch):
    WRITE["cifar10"](tmp_path, _data("cifar10"))
    _as_official("cifar10", tmp_path, monkeypatch)

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cifar10.npz: No space left on device; make room"):
        _read("cifar10", tmp_path, unverified=False)
    assert list(cache.iterdir()) == []


def test_without_archive_cache_or_tfds(no_tfds, tmp_path):
    with pytest.raises(InputError, match=r"pip install -e '.\[tfds\]'.*t10k-labels-idx1-ubyte.gz"):
        load("fashion_mnist", data_dir=str(tmp_path))


def _arrays(**changes) -> dict[str, np.ndarray]:
    return made_up.arrays(40, 20, (8, 12, 3), 4)._asdict() | changes


def _ones(*shape: int, dtype=np.uint8) -> np.ndarray:
    return np.ones(shape, dtype)


BAD_NPZ = {
    "x_train is float32; images must be uint8": _arrays(x_train=_ones(40, 8, 12, 3, dtype="f4")),
    "x_test has the shape (20, 8)": _arrays(x_test=_ones(20, 8)),
    "x_train is empty": _arrays(x_train=_ones(0, 8, 12), y_train=_ones(0)),
    "x_train has images of 7×12; height and width must be 8 to 64": _arrays(
        x_train=_ones(40, 7, 12)
    ),
    "x_train has images of 8×65": _arrays(x_train=_ones(40, 8, 65)),
    "x_train has 2 channels; 1 and 3 are allowed": _arrays(x_train=_ones(40, 8, 12, 2)),
    "y_train is float64; labels must be integers": _arrays(y_train=np.zeros(40)),
    "y_train is bool": _arrays(y_train=np.zeros(40, bool)),
    "y_test has the shape (20, 1); there are 20 images": _arrays(y_test=_ones(20, 1)),
    "y_train has the shape (39,); there are 40 images": _arrays(y_train=_ones(39)),
    "y_test holds -1; labels are 0 to K-1": _arrays(y_test=np.full(20, -1)),
    "y_train holds 4 but not 2": _arrays(y_train=np.array([0, 1, 3, 4] * 10)),
    "y_test holds 4; the labels of y_train end at 3": _arrays(y_test=np.full(20, 4)),
    "x_test has images of 8×12×1, x_train of 8×12×3": _arrays(x_test=_ones(20, 8, 12)),
}


@pytest.mark.parametrize("why", BAD_NPZ)
def test_bad_npz(why, tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, **BAD_NPZ[why])
    with pytest.raises(InputError) as error:
        load(f"npz:{path}")
    assert str(error.value).startswith(f"{path}: {why}")


def test_npz(tmp_path):
    data = _arrays()
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, **data, more=1)
    found = load(f"npz:{path}")
    np.testing.assert_array_equal(found.train.images, data["x_train"])
    np.testing.assert_array_equal(found.evaluation.labels, data["y_test"])
    assert (found.classes, found.can_flip) == (4, False)
    np.savez(
        path,
        **_arrays(
            x_train=data["x_train"][..., 0],
            x_test=data["x_test"][..., 0],
            y_train=data["y_train"].astype(np.uint8),
        ),
    )
    assert load(f"npz:{path}").train.images.shape == (40, 8, 12, 1)


def test_files_that_are_no_npz(tmp_path):
    data = _arrays()
    path = tmp_path / "mine.npz"

    def refused(why):
        with pytest.raises(InputError, match=why) as error:
            load(f"npz:{path}")
        assert "\n" not in str(error.value)

    refused("does not exist")
    np.savez(path, x_train=data["x_train"], labels=data["y_train"])
    refused("lacks y_train, x_test, y_test; it holds x_train, labels")
    np.savez(path, **data | {"y_test": np.array([{}] * 20, dtype=object)})
    refused("y_test cannot be read: Object arrays cannot be loaded")
    with path.open("wb") as file:
        np.save(file, data["x_train"])
    refused("holds one array without a name")
    for content in (b"", b"text", b"PK\x03\x04"):
        path.write_bytes(content)
        refused("is no .npz file, or damaged")
    np.savez(path, **data)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("is no .npz file, or damaged")
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    refused("x_train cannot be read: Bad CRC-32")
