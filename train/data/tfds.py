"""CIFAR and Fashion-MNIST through tensorflow-datasets, in a process of its own.

TensorFlow downloads and prepares, once; the arrays it leaves are read without it. In a
process of its own it cannot take the GPU's memory from the training.

python -m train.data.tfds NAME FOLDER TARGET
"""

import importlib.util
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from train.common.errors import InputError
from train.common.progress import say
from train.data import archives, cache, npz
from train.data.filetype import shown

_NEEDED = ("tensorflow_datasets", "tensorflow", "importlib_resources")


def prepared(name: str, folder: Path) -> list[Path]:
    """What tensorflow-datasets prepared: NAME/VERSION of each version; the newest is last."""
    found = (path.parent for path in folder.glob(f"{name}/*/dataset_info.json"))
    return sorted(found, key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])


def prepare(name: str, folder: Path, target: Path) -> None:
    """Writes the arrays of a data set to the file `target`; downloads it into `folder` if need be.

    Raises:
      InputError: if a package or the network is missing, or the disk is full.
    """
    instead = f"or put the official {archives.expected(name)}, into a folder: --data-dir FOLDER"
    absent = [package for package in _NEEDED if importlib.util.find_spec(package) is None]
    if absent:
        what = "reading what was prepared" if prepared(name, folder) else "downloading"
        raise InputError(
            f"{name}: {what} needs {', '.join(absent)}: pip install -e '.[tfds]'; {instead}"
        )
    say(f"{name}: prepared by tensorflow-datasets in {shown(folder)}, once")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "train.data.tfds", name, folder.absolute(), target.absolute()],
        cwd=root,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit status {done.returncode}"]
        raise InputError(
            f"{name}: tensorflow-datasets could not prepare it in {shown(folder)}: {lines[-1]}; "
            f"try again, {instead}"
        )


def export(name: str, folder: Path, target: Path) -> None:
    """Does the work of `prepare` in this process."""
    import tensorflow_datasets as tfds

    if found := prepared(name, folder):
        builder = tfds.builder_from_directory(found[-1])
    else:
        builder = tfds.builder(name, data_dir=folder)
        absent = [url for url in builder.url_infos if not (folder / Path(url).name).exists()]
        if absent:
            # A missing network shows at once; tensorflow-datasets would try for three minutes.
            urllib.request.urlopen(absent[0], timeout=30).close()  # noqa: S310
        # A file that lies in the folder under its original name is not downloaded.
        download = tfds.download.DownloadConfig(manual_dir=folder, try_download_gcs=False)
        builder.download_and_prepare(download_config=download)
    splits = builder.as_dataset(split=["train", "test"], batch_size=-1, as_supervised=True)
    (x_train, y_train), (x_test, y_test) = tfds.as_numpy(splits)
    arrays = npz.check(name, x_train, y_train, x_test, y_test).in_own_order()
    cache.write(name, target, arrays)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        export(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    except Exception as error:  # whatever it is, the parent shows it in one line
        print(f"{type(error).__name__}: {error}".splitlines()[0][:150])
        sys.exit(2)
