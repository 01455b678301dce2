"""The download path, with TensorFlow and made-up archives: `make test-tfds`."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train import made_up
from train import archives, npz, sources, tfds
from train.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow's own, at import

WRITE = {
    "cifar10": (made_up.write_cifar10, (32, 32, 3), 10),
    "cifar100": (made_up.write_cifar100, (32, 32, 3), 100),
    "fashion_mnist": (made_up.write_fashion_mnist, (28, 28, 1), 10),
}


@pytest.mark.parametrize("name", WRITE)
def test_equals_the_archive_read_directly(name, cache, tmp_path, monkeypatch):
    import tensorflow_datasets
    from tensorflow_datasets.core import download

    write, shape, classes = WRITE[name]
    # tensorflow-datasets takes nothing but the real sizes of Fashion-MNIST.
    sizes = (60_000, 10_000) if name == "fashion_mnist" else (200, 100)
    write(tmp_path, made_up.arrays(*sizes, shape, classes))
    direct = sources.read(name, str(tmp_path), unverified_archive=True).arrays
    infos = tensorflow_datasets.builder_cls(name).url_infos
    for url, info in list(infos.items()):
        path = tmp_path / Path(url).name
        content = path.read_bytes()
        made = download.checksums.UrlInfo(
            size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename=info.filename
        )
        monkeypatch.setitem(infos, url, made)
    target = tmp_path / "out.npz"
    tfds.export(name, tmp_path, target)
    assert sources.fingerprint(npz.read(target)) == sources.fingerprint(direct)


def test_real_checksum_of_the_archive_is_tfds_own():
    import tensorflow_datasets

    for name in ("cifar10", "cifar100"):
        (info,) = tensorflow_datasets.builder_cls(name).url_infos.values()
        assert archives._OFFICIAL[name][0] == {info.filename: info.checksum}


def test_no_network(cache, tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(InputError) as error:
        sources.read("cifar10", None, unverified_archive=False)
    message = str(error.value)
    assert message.startswith("cifar10: tensorflow-datasets could not prepare it in ")
    assert message.endswith("give it as --data-dir")
    assert "\n" not in message
    assert not (cache / "cifar10.npz").exists()


def test_what_is_kept_is_read_without_tensorflow(cache, tmp_path):
    cache.mkdir()
    npz.write(cache / "cifar10.npz", made_up.arrays(200, 100, (32, 32, 3), 10))
    code = (
        "import sys; from train.data import load; "
        "assert len(load('cifar10').train) == 200; "
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
