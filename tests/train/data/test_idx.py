"""IDX files: their names, and what may be wrong with them."""

import gzip
import re

import pytest

from tests.train import data_dirs, made_up


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_idx_files_under_their_other_names(compress, dotted, cache, tmp_path, monkeypatch):
    data = data_dirs.arrays("fashion_mnist")
    files = made_up.idx_files(data)
    made_up.as_official(monkeypatch, "fashion_mnist", files)
    for name, content in files.items():
        spelt = name.replace("-idx", ".idx") if dotted else name
        path = tmp_path / f"{spelt}{'.gz' if compress else ''}"
        path.write_bytes(gzip.compress(content, 1) if compress else content)
    assert data_dirs.pairs(*data_dirs.read("fashion_mnist", tmp_path)[:2]) == data_dirs.pairs(
        *data[:2]
    )


def test_damaged_idx_files(cache, tmp_path):
    whole = made_up.idx_files(data_dirs.arrays("fashion_mnist"))
    made_up.unpacked(tmp_path, whole)
    images, labels, _, test_labels = whole

    def refused(name, content, why):
        (tmp_path / name).write_bytes(content)
        assert re.search(why, data_dirs.refused("fashion_mnist", tmp_path, unverified=True))
        (tmp_path / name).write_bytes(whole[name])

    for name, content in whole.items():
        half = gzip.compress(content)[:-9]
        refused(name, half, f"{name}: truncated or damaged")
        refused(name, b"\0\0\x08", "is no IDX file")
        refused(name, content[:-1], "bytes of data for the shape")
    refused(labels, whole[test_labels], "y_train has the shape")
    refused(images, b"\0\0\x08\x03" + b"\xff" * 12, "0 bytes of data for the shape")
    (tmp_path / images).unlink()
    assert f"lacks {images}" in data_dirs.refused("fashion_mnist", tmp_path)
