"""Small data sets with made-up content, in the exact formats of the official archives.

And runs with made-up figures, in the files of a study.
"""

import dataclasses
import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np

from train.config import PRESETS, runs
from train.npz import Arrays
from train.records import RunFolder


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


def _records(images: np.ndarray, labels: np.ndarray, *, coarse: bool) -> bytes:
    """CIFAR's binary records: one byte of label, or two, then the planes."""
    rows = []
    for image, label in zip(images, labels, strict=True):
        head = [label // 5, label] if coarse else [label]
        rows.append(bytes(int(byte) for byte in head) + image.transpose(2, 0, 1).tobytes())
    return b"".join(rows)


def write_cifar10(folder: Path, data: Arrays) -> Path:
    """cifar-10-binary.tar.gz: five training batches and one to test on."""
    names = {"batches.meta.txt": "".join(f"class {k}\n" for k in range(10)).encode()}
    for k in range(5):
        part = slice(k * len(data.y_train) // 5, (k + 1) * len(data.y_train) // 5)
        content = _records(data.x_train[part], data.y_train[part], coarse=False)
        names[f"data_batch_{k + 1}.bin"] = content
    names["test_batch.bin"] = _records(data.x_test, data.y_test, coarse=False)
    return _tar(folder / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", names)


def write_cifar100(folder: Path, data: Arrays) -> Path:
    """cifar-100-binary.tar.gz: a coarse label before the fine one."""
    names = {
        "coarse_label_names.txt": "".join(f"group {k}\n" for k in range(20)).encode(),
        "fine_label_names.txt": "".join(f"class {k}\n" for k in range(100)).encode(),
        "train.bin": _records(data.x_train, data.y_train, coarse=True),
        "test.bin": _records(data.x_test, data.y_test, coarse=True),
    }
    return _tar(folder / "cifar-100-binary.tar.gz", "cifar-100-binary", names)


def _tar(path: Path, folder: str, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_fashion_mnist(folder: Path, data: Arrays, *, compress: bool = True) -> list[Path]:
    """Four IDX files, gzipped or plain."""
    paths = []
    for split, images, labels in (
        ("train", data.x_train[..., 0], data.y_train),
        ("t10k", data.x_test[..., 0], data.y_test),
    ):
        for what, array in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = struct.pack(f">{array.ndim}I", *array.shape)
            content = struct.pack(">I", 0x0800 + array.ndim) + sizes
            content += array.astype(np.uint8).tobytes()
            path = folder / f"{split}-{what}-ubyte{'.gz' if compress else ''}"
            path.write_bytes(gzip.compress(content, 1) if compress else content)
            paths.append(path)
    return paths


def write_run(
    study: Path,
    optimizer: str,
    seed: int,
    accuracy: float | None,
    *,
    loss: float = 0.25,
    speed: float = 1000.0,
    **settings,
) -> None:
    """A finished run, of two epochs if not told; diverged in the last if it has no accuracy."""
    defaults = {"optimizer": optimizer, "seed": seed, "epochs": 2, "learning_rate": 0.5}
    (template, *_) = runs(PRESETS["demo"], data="0123456789abcdef")
    config = dataclasses.replace(template, **defaults | settings)
    folder = RunFolder(study / config.name)
    folder.start(config, {"started": "2026-01-01T00:00:00+00:00", "device": "made up"})
    evaluation = "validation" if config.validation_examples else "test"
    lines = [
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "alpha": config.learning_rate / epoch,
            "train_loss": 0.5 / epoch,
            "train_accuracy": 0.75,
            f"{evaluation}_loss": loss,
            f"{evaluation}_accuracy": accuracy,
            "images_per_second": speed,
        }
        for epoch in range(1, config.epochs + 1)
    ]
    folder.write_metrics(lines)
    clean = {"clean_train_loss": 0.125, "clean_train_accuracy": 0.875}
    ended = {"status": "diverged"} if accuracy is None else {"status": "done"} | clean
    folder.finish(lines[-1] | ended)
