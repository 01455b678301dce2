"""CIFAR and Fashion-MNIST through tensorflow-datasets, in a process of its own.

TensorFlow downloads and prepares, once; the arrays it leaves are read without it. In a
process of its own it cannot take the GPU's memory from the training.

python -m train.tfds NAME FOLDER TARGET
"""

import importlib.util
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from train import archives, npz
from train.errors import InputError
from train.progress import say

_NEEDED = ("tensorflow_datasets", "tensorflow", "importlib_resources")


def prepare(name: str, folder: Path, target: Path) -> None:
    """Downloads a data set into `folder` and writes its arrays to the file `target`.

    Raises:
      InputError: if a package or the network is missing, or the disk is full.
    """
    instead = f"or put the official {archives.names(name)} into a folder and give it as --data-dir"
    absent = [package for package in _NEEDED if importlib.util.find_spec(package) is None]
    if absent:
        raise InputError(
            f"{name}: downloading needs {', '.join(absent)}: pip install -e '.[tfds]'; {instead}"
        )
    say(f"{name}: downloaded and prepared by tensorflow-datasets in {folder}, once")
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "train.tfds", name, folder.absolute(), target.absolute()],
        cwd=root,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit status {done.returncode}"]
        raise InputError(
            f"{name}: tensorflow-datasets could not prepare it in {folder}: {lines[-1]}; try "
            f"again, {instead}"
        )


def export(name: str, folder: Path, target: Path) -> None:
    """Does the work of `prepare` in this process."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=folder)
    absent = [url for url in builder.url_infos if not (folder / Path(url).name).exists()]
    if absent and not builder.is_prepared():
        # A missing network shows at once; tensorflow-datasets would try for three minutes.
        urllib.request.urlopen(absent[0], timeout=30).close()  # noqa: S310
    # A file that lies in the folder under its original name is not downloaded.
    download = tfds.download.DownloadConfig(manual_dir=folder, try_download_gcs=False)
    builder.download_and_prepare(download_config=download)
    splits = builder.as_dataset(split=["train", "test"], batch_size=-1, as_supervised=True)
    (x_train, y_train), (x_test, y_test) = tfds.as_numpy(splits)
    npz.write(target, npz.check(name, x_train, y_train, x_test, y_test).in_own_order())


if __name__ == "__main__":
    try:
        export(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    except Exception as error:  # whatever it is, the parent shows it in one line
        print(f"{type(error).__name__}: {error}".splitlines()[0][:150])
        sys.exit(2)
