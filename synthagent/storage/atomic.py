"""Files that are either the old ones or the new ones, never half of each."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synthagent.errors import RunFolderError


@contextmanager
def replacing(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Write a file anew through the callable that is yielded; the file changes only when the block ends well.

    A device or a pipe (`/dev/stdout`) is written directly. A kill leaves at most a hidden `.NAME.PID.tmp` behind.
    Raises `RunFolderError` naming the file when the disk, the limits or the rights do not allow it.
    """
    # A link's target is what should change, not the link; and renaming over a device would destroy the device.
    path = path.resolve()
    direct = path.exists() and not path.is_file()
    target = path if direct else path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Not a `with`: closing flushes, and a failure there must be told like any other failed write.
        stream = target.open("wb", buffering=1 << 16)
    except OSError as error:
        raise _failed(path, error) from error

    def write(data: bytes) -> None:
        try:
            stream.write(data)
        except OSError as error:
            raise _failed(path, error) from error

    try:
        yield write
        try:
            stream.flush()
            if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                os.fsync(stream.fileno())
            stream.close()
            if not direct:
                target.replace(path)
        except OSError as error:
            raise _failed(path, error) from error
    except BaseException:
        with suppress(OSError):
            stream.close()
        if not direct:
            with suppress(OSError):
                target.unlink()
        raise


def make_folder(path: Path) -> Path:
    """The folder, made with its parents unless it is there. Raises `RunFolderError` when that is not allowed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be made ({error.strerror}); use another --out") from error
    return path


def _failed(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"{path}: could not be written ({error.strerror}); nothing was changed there")
