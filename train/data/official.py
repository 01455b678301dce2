"""The official files of CIFAR-10, CIFAR-100 and Fashion-MNIST: names, checksums, format.

A data set is published in one or two versions. Programs that download them keep the archive or
unpack it, under names of their own: torchvision, Keras 2 and 3 and MXNet are looked after here.
"""

import dataclasses
from collections.abc import Callable, Mapping

from train.data import cifar_batches, idx
from train.data.npz import Arrays


@dataclasses.dataclass(frozen=True)
class Version:
    """One version in which a data set is published."""

    archives: tuple[str, ...]  # names of the archive that holds all files
    folders: tuple[str, ...]  # where the unpacked files may lie, from the folder that is given
    files: Mapping[str, str]  # name → SHA-256; those to train on first
    decode: Callable[[str, Mapping[str, bytes]], Arrays]
    is_pickled: bool = False


def _packed(
    stem: str,
    folder: str,
    decode: Callable[[str, Mapping[str, bytes]], Arrays],
    files: Mapping[str, str],
) -> Version:
    """A version of CIFAR: the archive STEM.tar.gz, in which the files are in a folder."""
    return Version(
        archives=(
            f"{stem}.tar.gz",
            f"{stem}.tar",
            *(f"{folder}{ending}" for ending in (".tar.gz", "-target_archive", "_archive")),
        ),
        folders=(
            *("", folder),
            *(f"{outer}/{folder}" for outer in (folder, f"{folder}-target", stem)),
        ),
        files=files,
        decode=decode,
        is_pickled=isinstance(decode, cifar_batches.Python),
    )


_BINARY_10 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
_PYTHON_10 = {
    "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
    "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
    "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
    "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
    "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
    "test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
}
_BINARY_100 = {
    "train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
    "test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
}
_PYTHON_100 = {
    "train": "735e79b04f092ca3d2e6d07f368c0a7d70d48c48d28865950cc24454cf45129b",
    "test": "4b67687d9933c4db8f0831104447f15b93774f4f464bd0516f0f0f2ac83b7864",
}
_FASHION_MNIST = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

VERSIONS: dict[str, tuple[Version, ...]] = {
    "cifar10": (
        _packed("cifar-10-binary", "cifar-10-batches-bin", cifar_batches.Binary(1, 10), _BINARY_10),
        _packed(
            "cifar-10-python", "cifar-10-batches-py", cifar_batches.Python("labels", 10), _PYTHON_10
        ),
    ),
    "cifar100": (
        _packed("cifar-100-binary", "cifar-100-binary", cifar_batches.Binary(2, 100), _BINARY_100),
        _packed(
            "cifar-100-python",
            "cifar-100-python",
            cifar_batches.Python("fine_labels", 100),
            _PYTHON_100,
        ),
    ),
    "fashion_mnist": (
        Version(
            archives=(),
            folders=("", "FashionMNIST/raw", "raw", "fashion-mnist", "data/fashion", "fashion"),
            files=_FASHION_MNIST,
            decode=idx.decode,
        ),
    ),
}
