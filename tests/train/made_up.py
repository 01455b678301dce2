"""Small data sets with made-up content, in the exact formats of the official archives.

And runs with made-up figures, in the files of a study.
"""

import dataclasses
import hashlib
import io
import itertools
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from train.data import official
from train.data.npz import Arrays
from train.runs.folders import places
from train.study.presets import PRESETS

# What a study of the paper's has, and the preset `demo` has not.
PLAIN = {"schedule": "step", "halve_every": 3, "batch_norm": "running", "evaluate_every": 1}


def arrays(train: int, test: int, shape: tuple[int, ...], classes: int, seed: int = 0) -> Arrays:
    """Images whose brightness tells the class, so that a network can learn them."""
    random = np.random.default_rng(seed)
    splits: list[np.ndarray] = []
    for n in (train, test):
        labels = random.permutation(np.arange(n, dtype=np.int32) % classes)
        noise = random.integers(0, 60, (n, *shape))
        level = (labels * 190 // classes).reshape(-1, *[1] * len(shape))
        splits += [(level + noise).astype(np.uint8), labels]
    return Arrays(*splits)


def binary_batches(name: str, data: Arrays) -> dict[str, bytes]:
    """The files of CIFAR's binary version: one byte of label, or two, before the planes."""
    label_bytes, names = (1, _BATCHES) if name == "cifar10" else (2, ("train", "test"))
    return {
        f"{file}.bin": b"".join(
            bytes([int(label) // 5, int(label)][-label_bytes:]) + image.transpose(2, 0, 1).tobytes()
            for image, label in zip(images, labels, strict=True)
        )
        for file, (images, labels) in zip(names, _parts(data, len(names) - 1), strict=True)
    }


def python_batches(name: str, data: Arrays) -> dict[str, bytes]:
    """The files of CIFAR's Python version: pickled dictionaries."""
    names, key = (_BATCHES, b"labels") if name == "cifar10" else (("train", "test"), b"fine_labels")
    return {
        file: _python2_pickle(
            {
                b"batch_label": b"made up " + file.encode(),
                key: labels.tolist(),
                b"data": images.transpose(0, 3, 1, 2).reshape(len(labels), -1),
                b"filenames": [b"thing_s_%06d.png" % k for k in range(len(labels))],
            }
        )
        for file, (images, labels) in zip(names, _parts(data, len(names) - 1), strict=True)
    }


_BATCHES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")


def _parts(data: Arrays, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The training examples in so many parts, and those to test on."""
    parts = zip(
        np.array_split(data.x_train, count), np.array_split(data.y_train, count), strict=True
    )
    return [*parts, (data.x_test, data.y_test)]


def _python2_pickle(value: dict) -> bytes:
    """What Python 2's cPickle writes by protocol 2, in which text is bytes."""

    def text(content: bytes) -> bytes:
        short = len(content) < 256
        return (
            b"U%c" % len(content) if short else b"T" + struct.pack("<i", len(content))
        ) + content

    def number(n: int) -> bytes:
        return b"K%c" % n if n < 256 else b"M" + struct.pack("<H", n)

    def pickled(value) -> bytes:
        match value:
            case bytes():
                return text(value)
            case int():
                return number(value)
            case list():
                return b"](" + b"".join(map(pickled, value)) + b"e"
            case dict():
                return b"}(" + b"".join(pickled(k) + pickled(v) for k, v in value.items()) + b"u"
        rows, columns = value.shape
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
            + number(rows)
            + number(columns)
            + b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN"
            + b"J\xff\xff\xff\xff" * 2
            + b"K\x00tb\x89"
            + text(value.tobytes())
            + b"tb"
        )

    return b"\x80\x02" + pickled(value) + b"."


def idx_files(data: Arrays) -> dict[str, bytes]:
    """Fashion-MNIST's four files."""
    files = {}
    for split, images, labels in (
        ("train", data.x_train[..., 0], data.y_train),
        ("t10k", data.x_test[..., 0], data.y_test),
    ):
        for what, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
            files[f"{split}-{what}-ubyte"] = header + array.astype(np.uint8).tobytes()
    return files


def as_official(monkeypatch: pytest.MonkeyPatch, name: str, *copies: dict[str, bytes]) -> None:
    """Makes the checksums of made-up files the official ones."""
    sums = {file: hashlib.sha256(held).hexdigest() for c in copies for file, held in c.items()}
    versions = tuple(
        dataclasses.replace(
            version, files=dict(version.files) | {k: sums[k] for k in version.files if k in sums}
        )
        for version in official.VERSIONS[name]
    )
    monkeypatch.setitem(official.VERSIONS, name, versions)


def unpacked(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder that holds the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def packed(path: Path, folder: str, files: dict[str, bytes]) -> Path:
    """An archive that holds the files in a folder, gzipped unless its name ends in .tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:" if path.suffix == ".tar" else "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_run(
    study: Path,
    arm: str,
    seed: int,
    accuracy: float | None,
    *,
    loss: float = 0.25,
    train_loss: float = 0.5,
    last_loss: float | None = None,
    speed: float = 1000.0,
    **settings,
) -> None:
    """A finished run, of two epochs if not told; diverged in the last if it has no accuracy.

    Its training loss is train_loss / epoch, but of the last epoch last_loss if told.
    """
    defaults = {
        "arm": arm,
        "optimizer": arm,
        "seed": seed,
        "epochs": 2,
        "learning_rate": 0.5,
    } | PLAIN
    (template, *_) = PRESETS["demo"].runs("0123456789abcdef")
    config = dataclasses.replace(template, **defaults | settings)
    (folder,) = places(study, [config])
    folder.start(config, {"started": "2026-01-01T00:00:00+00:00", "device": "made up"})
    evaluation = "validation" if config.validation_examples else "test"
    lines = [
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "alpha": config.learning_rate / epoch,
            "train_loss": train_loss / epoch,
            "train_accuracy": 0.75,
            f"{evaluation}_loss": loss,
            f"{evaluation}_accuracy": accuracy,
            "images_per_second": speed,
        }
        for epoch in range(1, config.epochs + 1)
    ]
    if last_loss is not None:
        lines[-1]["train_loss"] = last_loss
    folder.write_metrics(lines)
    clean = {"clean_train_loss": 0.125, "clean_train_accuracy": 0.875}
    ended = {"status": "diverged"} if accuracy is None else {"status": "done"} | clean
    folder.finish(lines[-1] | ended)


def study_of(folder, seeds=range(8), optimizers=("sgdm", "rsgdm"), **settings):
    """Accuracies that depend on optimizer and seed alone."""
    for name, seed in itertools.product(optimizers, seeds):
        ahead = {"sgdm": 0, "rsgdm": 4, "nesterov": 5}[name]
        accuracy = (900 + (7 * seed) % 5 + ahead + (seed % 2 if ahead else 0)) / 1000
        write_run(folder, name, seed, accuracy, loss=0.25 + (3 * seed) % 7 / 100, **settings)
    return folder
