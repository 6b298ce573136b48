"""A seccomp filter: the system calls that code in a sandbox has no use for. Classic BPF, written by hand.

It leaves one process with threads, no sockets, no signals to others, no new programs, no namespaces and mounts, and
no memory that the limits do not see. Numbers: arch/x86/entry/syscalls/syscall_64.tbl and asm-generic/unistd.h of Linux.
"""

import errno
import platform
import struct
from collections.abc import Collection

# name -> x86_64, aarch64; None where there is no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "setpgid": (109, 154), "setsid": (112, 157), "setrlimit": (160, 164),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "socket": (41, 198), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "mount_setattr": (442, 442),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip
_CLONE3 = 435
_FAMILIES = (1, 2, 10)
"""Unix, IPv4, IPv6."""
_MACHINES = {
    # machine -> audit architecture, column of the table, clone, prlimit64
    "x86_64": (0xC000003E, 0, 56, 302),
    "aarch64": (0xC00000B7, 1, 220, 261),
}
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_DENY, _UNKNOWN = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS


def filter_program(machine: str | None = None, *, allowed: Collection[str] = ()) -> bytes | None:
    """The filter as an array of `struct sock_filter` for this machine; None for machines it was not written for.

    `allowed`: calls by name that it leaves alone after all, for who is confined otherwise and has a use for them; of
    `socket` only what a network namespace holds: a virtual machine's way to its host (vsock) is in none.
    """
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    architecture, column, clone, prlimit = known
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL)]
    steps += [(_LOAD, 0, 0, 0), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _DENY)]
    for name, numbers in _DENIED.items():
        if (number := numbers[column]) is not None and name not in allowed:
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    if "socket" in allowed and (number := _DENIED["socket"][column]) is not None:
        steps += [(_EQUAL, 0, 6, number), (_LOAD, 0, 0, 16), *((_EQUAL, 3 - n, 0, f) for n, f in enumerate(_FAMILIES))]
        steps += [(_RETURN, 0, 0, _DENY), (_RETURN, 0, 0, _ALLOW)]
    # Its flags lie in memory, where a filter cannot look: without it, the C library takes `clone`.
    steps += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _UNKNOWN)]
    # A thread may be made, a process may not.
    steps += [(_EQUAL, 0, 4, clone), (_LOAD, 0, 0, 16), (_ANY_BIT, 1, 0, _CLONE_THREAD)]
    steps += [(_RETURN, 0, 0, _DENY), (_RETURN, 0, 0, _ALLOW)]
    # Limits may be read (the third argument is NULL), not set.
    steps += [(_EQUAL, 0, 6, prlimit), (_LOAD, 0, 0, 32), (_EQUAL, 0, 3, 0), (_LOAD, 0, 0, 36), (_EQUAL, 0, 1, 0)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]
    steps += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
