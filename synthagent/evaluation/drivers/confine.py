"""Starts a harness in namespaces of its own: a read-only file system, one folder to write to, and no network at all.

Run as a file by the harness's own Python; imports nothing of ours. Reads its settings as JSON from standard input. The
first process of the new namespaces listens on loopback there and hands every connection on to one Unix socket outside,
the only way out; its child is the harness. Ends with the harness's exit code, or with 97 and a reason on standard
error if any part of the confinement cannot be had: then nothing was run.

Calls and constants: mount(2), mount_setattr(2), pivot_root(2), unshare(2), prctl(2) and the headers of Linux.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import platform
import resource
import signal
import socket
import struct
import sys
import threading
from typing import Any

REFUSED = 97
_NEW = 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mnt, uts, ipc, user, pid, net
_NOBODY = 65534
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = (
    1, 2, 4, 8, 32, 4096, 16384, 1 << 18,
)  # fmt: skip
_MNT_DETACH, _AT_FDCWD, _AT_RECURSIVE = 2, -100, 0x8000
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 1, 38, 22, 2
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def _ok(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(option: int, *arguments: Any) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _ok(_libc.prctl(option, *padded), f"prctl {option}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [text.encode() if text is not None else None for text in (source, target, kind, data)]
    _ok(_libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]), f"mount on {target}")


def _bound(source: str, root: str, *, writable: bool, devices: bool = False) -> None:
    """The same path in the new root; whatever is mounted below it comes along, read-only too."""
    target = root + source
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(target, os.O_CREAT | os.O_EXCL, 0o600))
    _mount(source, target, None, _MS_BIND | _MS_REC)
    flags = _MS_NOSUID | (0 if devices else _MS_NODEV) | (0 if writable else _MS_RDONLY)
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)
    done = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR), _AT_FDCWD, target.encode(), _AT_RECURSIVE, attributes, len(attributes)
    )
    _ok(done, f"mount_setattr on {target}")


def _new_root(settings: dict[str, Any]) -> None:
    """Leaves nothing in sight but what the settings name."""
    root = settings["root"]
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")
    # First: what is bound may lie below them.
    for folder in ("/tmp", "/dev/shm"):
        os.makedirs(root + folder, exist_ok=True)
        _mount("tmpfs", root + folder, "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={settings['scratch']}")
    for path in settings["read"]:
        if os.path.islink(path):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            os.symlink(os.readlink(path), root + path)
        elif os.path.exists(path):
            _bound(path, root, writable=False)
    for path in settings["write"]:
        _bound(path, root, writable=True)
    for device in _DEVICES:
        _bound(device, root, writable=True, devices=True)
    # Where a container hides parts of its own /proc, no new one may be mounted; a harness does without.
    os.makedirs(root + "/proc", exist_ok=True)
    with contextlib.suppress(OSError):
        _mount("proc", root + "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    os.chdir(root)
    _ok(_libc.syscall(ctypes.c_long(_PIVOT_ROOT[platform.machine()]), b".", b"."), "pivot_root")
    _ok(_libc.umount2(b".", _MNT_DETACH), "umount")
    _mount("none", "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS, up and running


def _relay(listener: socket.socket, path: str) -> None:
    """Hands connections on to the Unix socket, for ever."""
    while True:
        inner, _ = listener.accept()
        outer = socket.socket(socket.AF_UNIX)
        try:
            outer.connect(path)
        except OSError:
            inner.close()
            outer.close()
            continue
        for pair in ((inner, outer), (outer, inner)):
            threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def limit(limits: dict[str, int]) -> None:
    """Sets resource limits, hard and soft, never above what holds already."""
    for name, most in limits.items():
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def _harness(settings: dict[str, Any]) -> None:
    """Becomes the harness: no privileges left, and none to gain."""
    limit(settings["limits"])
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if settings["filter"]:
        steps = bytes.fromhex(settings["filter"])
        _prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(_Program(len(steps) // 8, steps)))
    os.chdir(settings["cwd"])
    command = settings["command"]
    os.execve(command[0], command, settings["environment"])


def _first(settings: dict[str, Any]) -> int:
    """The first process of the new namespaces; when it ends, all in them end."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    _loopback_up()
    _new_root(settings)
    listener = socket.create_server(("127.0.0.1", settings["port"]), backlog=512)
    child = os.fork()
    if child == 0:
        _or_refuse(_harness, settings)
    threading.Thread(target=_relay, args=(listener, settings["socket"]), daemon=True).start()
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


def _or_refuse(step: Any, settings: dict[str, Any]) -> None:
    try:
        code = step(settings)
    except (OSError, KeyError, ValueError) as error:
        os.write(2, f"confine: {error}\n".encode())
        code = REFUSED
    os._exit(code)


def main() -> None:
    """Takes the namespaces, and waits for what runs in them."""
    settings = json.load(sys.stdin)
    user, group = os.getuid(), os.getgid()
    try:
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        _ok(_libc.unshare(_NEW), "unshare")
        for name, text in (
            ("setgroups", "deny"), ("uid_map", f"{_NOBODY} {user} 1"), ("gid_map", f"{_NOBODY} {group} 1"),
        ):  # fmt: skip
            with open(f"/proc/self/{name}", "w") as stream:
                stream.write(text)
    except OSError as error:
        os.write(2, f"confine: {error}\n".encode())
        os._exit(REFUSED)
    first = os.fork()
    if first == 0:
        _or_refuse(_first, settings)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 0xFF)


if __name__ == "__main__":
    main()
