"""Files of the user's own images: what is read, and what is said of the others."""

import gzip
import io
import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.train import made_up
from train.common.errors import InputError
from train.data import npz
from train.data.dataset import load


def _arrays(**changes) -> dict[str, np.ndarray]:
    return made_up.arrays(40, 20, (8, 12, 3), 4)._asdict() | changes


def _ones(*shape: int, dtype=np.uint8) -> np.ndarray:
    return np.ones(shape, dtype)


def _refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load(f"npz:{path}")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


BAD_ARRAYS = {
    "x_train is float32; images must be uint8": _arrays(x_train=_ones(40, 8, 12, 3, dtype="f4")),
    "x_test is float64; images": _arrays(x_test=np.full((20, 8, 12, 3), np.nan)),
    "x_test has the shape (20, 8)": _arrays(x_test=_ones(20, 8)),
    "x_train is empty": _arrays(x_train=_ones(0, 8, 12), y_train=_ones(0)),
    "x_train has images of 7×12; height and width must be 8 to 64": _arrays(
        x_train=_ones(40, 7, 12)
    ),
    "x_train has images of 8×65": _arrays(x_train=_ones(40, 8, 65)),
    "x_train has 2 channels; 1 and 3 are allowed": _arrays(x_train=_ones(40, 8, 12, 2)),
    "y_train is float64; labels must be integers": _arrays(y_train=np.zeros(40)),
    "y_train is bool": _arrays(y_train=np.zeros(40, bool)),
    "y_train is <U4": _arrays(y_train=np.array(["boot"] * 40)),
    "y_train is timedelta64[s]": _arrays(y_train=np.zeros(40, "m8[s]")),
    "y_test has the shape (20, 2); there are 20 images, each with one label": _arrays(
        y_test=_ones(20, 2)
    ),
    "y_train has the shape (39,); there are 40 images": _arrays(y_train=_ones(39)),
    "y_test holds -1; labels are 0 to K-1": _arrays(y_test=np.full(20, -1)),
    "y_train holds 4 but not 2": _arrays(y_train=np.array([0, 1, 3, 4] * 10)),
    "y_train holds 18446744073709551615 but not 0": _arrays(
        y_train=np.full(40, 2**64 - 1, np.uint64)
    ),
    "y_test holds 4; the labels of y_train end at 3": _arrays(y_test=np.full(20, 4)),
    "x_test has images of 8×12×1, x_train of 8×12×3": _arrays(x_test=_ones(20, 8, 12)),
    "y_test holds Python objects, not numbers": _arrays(y_test=np.array([{}] * 20, dtype=object)),
}


@pytest.mark.parametrize("why", BAD_ARRAYS)
def test_bad_arrays(why, tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, **BAD_ARRAYS[why])
    assert _refused(path).startswith(why)


def test_good_arrays(tmp_path):
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
            x_train=np.asfortranarray(data["x_train"][..., 0]),
            x_test=data["x_test"][..., 0],
            y_train=data["y_train"].astype(">i8")[:, None],
        ),
    )
    again = load(f"npz:{path}")
    np.testing.assert_array_equal(again.train.images, data["x_train"][..., :1])
    np.testing.assert_array_equal(again.train.labels, data["y_train"])
    assert again.train.labels.dtype == np.int32
    assert npz.read(path).x_train.flags.c_contiguous


def test_medmnists_names(tmp_path, capsys):
    data = _arrays()
    path = tmp_path / "bloodmnist.npz"
    held = {
        "train_images": data["x_train"],
        "train_labels": data["y_train"].astype(np.uint8)[:, None],
        "val_images": data["x_test"],
        "val_labels": data["y_test"].astype(np.uint8)[:, None],
        "test_images": data["x_test"],
        "test_labels": data["y_test"].astype(np.uint8)[:, None],
    }
    np.savez_compressed(path, **held)
    found = npz.read(path)
    for key, array in data.items():
        np.testing.assert_array_equal(getattr(found, key), array)
    assert capsys.readouterr().err == f"{path}: val_images and val_labels are left aside\n"
    np.savez(path, **held | {"train_labels": _ones(40, 14)})
    assert _refused(path).startswith("train_labels has the shape (40, 14); there are 40 images")


def test_arrays_without_names(tmp_path):
    data = _arrays()
    path = tmp_path / "mine.npz"
    np.savez(path, *data.values())
    message = _refused(path)
    assert message.startswith("its arrays have no names; if they are in this order, name them by: ")
    recipe = message.partition("name them by: ")[2].replace(
        "named.npz", str(tmp_path / "named.npz")
    )
    exec(recipe, {"np": np})  # noqa: S102
    np.testing.assert_array_equal(npz.read(tmp_path / "named.npz").y_test, data["y_test"])
    np.savez(path, data["x_train"])
    assert _refused(path) == "lacks x_train, y_train, x_test, y_test; it holds arr_0"


def test_arrays_of_other_names(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=_ones(1), labels=_ones(1))
    assert _refused(path) == "lacks y_train, x_test, y_test; it holds x_train, labels"
    np.savez(path, **{f"x{k}": _ones(1) for k in range(9)})
    assert _refused(path).endswith("it holds x0, x1, x2, x3, x4, x5 and 3 more")
    np.savez(path)
    assert _refused(path) == "is an empty zip file, not an .npz file; write it with np.savez"


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, _ones(4))
    return buffer.getvalue()


OTHER_FILES = {
    "empty": b"",
    "text": b"x,y\n1,2\n",
    "a single array (.npy)": _npy(),
    "a pickle": pickle.dumps({"x_train": [1]}),
    "gzip data": gzip.compress(b"something"),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "a MATLAB file": b"MATLAB 5.0 MAT-file, Platform: GLNXA64",
    "a Git LFS pointer (git lfs pull fetches the file itself)": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    ),
    "an HTML or XML page (as a failed download leaves)": b"\n<!doctype html>\n<html>404</html>",
    "a tar archive": bytes(257) + b"ustar\x0000" + bytes(300),
    "of an unknown type": bytes(range(256)),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_other_files_are_called_what_they_are(kind, tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(OTHER_FILES[kind])
    assert _refused(path) == f"is {kind}, not an .npz file; write it with np.savez"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [{"x": 1}, [1], np.arange(3)], ids=["dict", "list", "array"])
def test_pickles_of_every_protocol(protocol, value, tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(pickle.dumps(value, protocol))
    assert _refused(path).startswith("is a pickle, not")


def test_what_is_no_file(tmp_path):
    assert _refused(tmp_path) == "is a folder, not an .npz file"
    assert _refused(tmp_path / "none.npz") == "does not exist"
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    assert _refused(tmp_path / "pipe") == "is a pipe or a device, not an .npz file"
    assert _refused(tmp_path / ("long" * 100)) == "File name too long"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_anywhere_is_an_input_error_or_harmless(save, tmp_path):
    path = tmp_path / "mine.npz"
    save(path, **_arrays())
    whole = path.read_bytes()
    good = npz.read(path)
    for size in (4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert _refused(path).startswith("is a truncated or damaged zip file: ")
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    assert _refused(path).startswith("x_train cannot be read: ")
    # In the header and in the directory at the end, where most of what is read is not data.
    end = len(whole)
    said = []
    for place in (*range(4, 200), *range(end - 320, end)):
        for flip in (1, 255):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            try:
                found = npz.read(path)
            except InputError as error:
                said.append(str(error).removeprefix(f"{path}: "))
            else:
                for a, b in zip(found, good, strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=str(place))
    allowed = (
        "is a truncated or damaged zip|is of an unknown|lacks|[xy]_[a-z]+ (cannot be|is damaged)"
    )
    assert [line for line in said if not re.match(allowed, line) or "\n" in line] == []


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_header_that_promises_more_than_the_file_holds(compression, tmp_path):
    path = tmp_path / "mine.npz"

    def write(shape: tuple[int, ...], claimed: int | None) -> None:
        with zipfile.ZipFile(path, "w", compression) as archive:
            for key, array in _arrays().items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                content = buffer.getvalue()
                if key == "x_train":
                    header = io.BytesIO()
                    described = {"descr": "|u1", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(header, described)
                    content = header.getvalue() + content[128:]
                archive.writestr(f"{key}.npy", content)
            if claimed is not None:  # the directory is written on closing
                info = archive.getinfo("x_train.npy")
                info.file_size = info.compress_size = 128 + claimed

    write((10**12, 8, 8), None)
    assert _refused(path) == (
        "x_train is damaged: it has 11520 bytes for uint8 of the shape (1000000000000, 8, 8)"
    )
    write((10**12, 8, 8), 64 * 10**12)
    assert _refused(path).startswith("x_train cannot be read: ")
    write((-40, -8, 12, 3), None)
    assert _refused(path).startswith("x_train cannot be read: ")


def test_the_home_folder_and_names_that_are_not_utf_8(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    odd = os.fsdecode(b"caf\xe9.npz")
    with (tmp_path / odd).open("wb") as file:
        np.savez(file, **_arrays())
    assert len(load(f"npz:~/{odd}").train) == 40
    (tmp_path / odd).write_bytes(b"text")
    with pytest.raises(InputError) as error:
        load(f"npz:~/{odd}")
    assert str(error.value).startswith(f"{str(tmp_path / odd)!a}: is text")
    with pytest.raises(InputError, match="does not exist"):
        load("npz:~nobody-of-this-name/x.npz")


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    data = made_up.arrays(40, 20, (8, 8), 4)
    npz.write(tmp_path / "mine.npz", data)
    whole = (tmp_path / "mine.npz").read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        npz.write(tmp_path / "mine.npz", data._replace(y_test=1 - data.y_test))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]
    assert (tmp_path / "mine.npz").read_bytes() == whole
