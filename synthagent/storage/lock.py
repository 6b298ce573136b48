"""One process at a time: an advisory lock on a file, which the kernel takes back when its holder dies."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from synthagent.errors import RunFolderError


class Lock:
    """A lock that is held. Use `take`."""

    def __init__(self, descriptor: int):
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path, *, wait: bool = False) -> "Lock | None":
        """Lock the file and note our process id in it; None when another holds it and we are not to wait.

        Raises `RunFolderError` when the file cannot be made, or its file system knows no locks.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be opened ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise RunFolderError(f"{path}: cannot be locked ({error.strerror}); use a local disk") from error
        # The note only helps the next one's error message: a full disk must not stop anyone here.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let go. The file stays: deleting it would let two processes lock two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> str:
    """Who holds the lock, in words: `process 123`, or `another process` when it left no note."""
    try:
        note = path.read_bytes()[:20].strip()
    except OSError:
        note = b""
    return f"process {int(note)}" if note.isdigit() else "another process"
