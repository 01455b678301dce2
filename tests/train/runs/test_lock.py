"""One process at a time in a study's folder, on file systems with and without flock."""

import errno
import fcntl
import os

import pytest

from train.common.errors import InputError
from train.runs.lock import locked


def test_a_second_holder_is_refused_and_the_first_named(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(InputError, match=rf"is being trained by process {os.getpid()} on \S+$"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".lock"}


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def no_flock(request, monkeypatch) -> str:
    """A file system that cannot lock, as Colab's drive; what it says."""

    def flock(_file, _operation):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)
    return os.strerror(request.param)


def test_without_flock_a_file_holds_the_study(no_flock, tmp_path, capsys):
    with (
        locked(tmp_path),
        pytest.raises(InputError) as refused,
        locked(tmp_path),
    ):
        pass
    line = f"{tmp_path}: its file system cannot lock files ({no_flock}); .locked is used\n"
    assert capsys.readouterr().err == 2 * f"warning: {line}"
    assert str(refused.value).startswith(
        f"{tmp_path}: is being trained by process {os.getpid()} on "
    )
    assert f"remove {tmp_path / '.locked'}, or choose another --output" in str(refused.value)
    assert not (tmp_path / ".locked").exists()
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    with locked(tmp_path):
        assert (tmp_path / ".locked").exists()


def test_without_flock_what_a_killed_process_left_says_how_to_go_on(no_flock, tmp_path):
    (tmp_path / ".locked").write_text("")
    with (
        pytest.raises(InputError, match=r"by another process, or that was killed: then remove "),
        locked(tmp_path),
    ):
        pass
    assert (tmp_path / ".locked").exists()


def test_another_error_is_no_missing_lock(tmp_path, monkeypatch):
    def flock(_file, _operation):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path):
        pass
