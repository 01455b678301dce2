"""The download path, with TensorFlow and made-up archives: `make test-tfds`."""

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train import data_dirs, made_up
from train.common.errors import InputError
from train.data import cache as store
from train.data import npz, sources, tfds

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow's own, at import


def _archives(name: str, folder: Path) -> npz.Arrays:
    """Makes up what tensorflow-datasets downloads; returns its arrays."""
    # tensorflow-datasets takes nothing but the real sizes of Fashion-MNIST.
    sizes = (60_000, 10_000) if name == "fashion_mnist" else (200, 100)
    data = made_up.arrays(*sizes, data_dirs.SHAPES[name], 100 if name == "cifar100" else 10)
    if name == "fashion_mnist":
        for file, content in made_up.idx_files(data).items():
            (folder / f"{file}.gz").write_bytes(gzip.compress(content, 1))
    else:
        inside, archive, classes = {
            "cifar10": ("cifar-10-batches-bin", "cifar-10-binary.tar.gz", ("batches.meta.txt", 10)),
            "cifar100": (
                "cifar-100-binary",
                "cifar-100-binary.tar.gz",
                ("fine_label_names.txt", 100),
            ),
        }[name]
        names = {classes[0]: "".join(f"class {k}\n" for k in range(classes[1])).encode()}
        names["coarse_label_names.txt"] = "".join(f"group {k}\n" for k in range(20)).encode()
        files = made_up.binary_batches(name, data)
        made_up.packed(folder / archive, inside, names | files)
    return data.in_own_order()


def _register(name: str, folder: Path, monkeypatch) -> None:
    """Makes the checksums of made-up archives those that tensorflow-datasets expects."""
    import tensorflow_datasets
    from tensorflow_datasets.core import download

    infos = tensorflow_datasets.builder_cls(name).url_infos
    for url, info in list(infos.items()):
        content = (folder / Path(url).name).read_bytes()
        made = download.checksums.UrlInfo(
            size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename=info.filename
        )
        monkeypatch.setitem(infos, url, made)


@pytest.mark.parametrize("name", data_dirs.SHAPES)
def test_equals_the_files_read_directly(name, cache, tmp_path, monkeypatch):
    data = _archives(name, tmp_path)
    direct = sources.read(name, str(tmp_path), unverified_archive=True).arrays
    assert sources.fingerprint(direct) == sources.fingerprint(data)
    _register(name, tmp_path, monkeypatch)
    target = tmp_path / "out.npz"
    tfds.export(name, tmp_path, target)
    assert sources.fingerprint(npz.read(target)) == sources.fingerprint(data)


def test_a_folder_that_is_prepared_is_read_without_downloading(cache, tmp_path, monkeypatch):
    data = _archives("cifar10", tmp_path)
    _register("cifar10", tmp_path, monkeypatch)
    tfds.export("cifar10", tmp_path, tmp_path / "out.npz")
    elsewhere = tmp_path / "préparé"
    elsewhere.mkdir()
    (tmp_path / "cifar10").rename(elsewhere / "cifar10")  # without the archives
    found = sources.read("cifar10", str(elsewhere), unverified_archive=False).arrays
    assert sources.fingerprint(found) == sources.fingerprint(data)
    assert [path.name for path in sorted(cache.iterdir())] == [".cifar10.lock", "cifar10.npz"]


def test_a_prepared_folder_that_is_damaged(cache, tmp_path):
    # Nor does TensorFlow take a name that is not UTF-8.
    prepared = tmp_path / os.fsdecode(b"pr\xe9pared") / "cifar10" / "3.0.2"
    prepared.mkdir(parents=True)
    (prepared / "dataset_info.json").write_text("{}")
    with pytest.raises(InputError) as error:
        sources.read("cifar10", str(prepared.parents[1]), unverified_archive=False)
    assert "tensorflow-datasets could not prepare it in " in str(error.value)
    assert "\n" not in str(error.value)


def test_no_network(cache, tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(InputError) as error:
        sources.read("cifar10", None, unverified_archive=False)
    message = str(error.value)
    assert message.startswith("cifar10: tensorflow-datasets could not prepare it in ")
    assert message.endswith("into a folder: --data-dir FOLDER")
    assert "\n" not in message
    assert not (cache / "cifar10.npz").exists()


def test_what_is_kept_is_read_without_tensorflow(cache, tmp_path):
    cache.mkdir()
    store.write("cifar10", cache / "cifar10.npz", made_up.arrays(200, 100, (32, 32, 3), 10))
    code = (
        "import sys; from train.data.dataset import load; "
        "assert len(load('cifar10').train) == 200; "
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
