"""System calls that Python has no names for: namespaces, mounts, and a filter for further system calls.

All of them are Linux's. Elsewhere, and on processors whose numbers are not listed, `OSError` is raised.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:  # A program is started for every answer: what loads slowly is not loaded here.
    from collections.abc import Sequence

NEW_MOUNTS = 0x00020000
NEW_HOST_NAME = 0x04000000
NEW_IPC = 0x08000000
NEW_USERS = 0x10000000
NEW_PROCESSES = 0x20000000
NEW_NETWORK = 0x40000000
_THREAD = 0x00010000

READ_ONLY, NO_SUID, NO_DEVICES, REMOUNT = 0x1, 0x2, 0x4, 0x20
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000
_DETACH = 2

_SET_DEATH_SIGNAL, _SET_SECCOMP, _SET_NO_NEW_PRIVILEGES = 1, 22, 38
_SIGINT, _SIGKILL = 2, 9

_X86, _ARM = 0xC000003E, 0xC00000B7
_ARCHITECTURES = {"x86_64": _X86, "aarch64": _ARM}
_PIVOT_ROOT = {_X86: 155, _ARM: 41}

# Names of system calls and their numbers on x86_64 and aarch64.
_NUMBERS = {
    "socket": (41, 198),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "fork": (57, None),
    "vfork": (58, None),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "io_uring_setup": (425, 425),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "clone": (56, 220),
    "clone3": (435, 435),
}
_NOT_ALONE = (
    *("socket", "setsid", "setpgid", "fork", "vfork", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
    *("pidfd_open", "pidfd_send_signal"),
)
_NEVER_NEEDED = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "io_uring_setup", "unshare", "setns", "mount"),
    *("bpf", "perf_event_open", "userfaultfd", "keyctl"),
)

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16

_Instruction = tuple[int, int, int, int]


def unshare(namespaces: int) -> None:
    """Moves this process (its future children, for `NEW_PROCESSES`) into new namespaces."""
    _check(_libc().unshare(namespaces), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mounts `source` at `target`."""
    texts = [text.encode() or None for text in (source, target, kind)]
    _check(_libc().mount(*texts, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def change_root(root: str) -> None:
    """Makes the mount point `root` the root of this mount namespace, and lets go of the old one."""
    os.chdir(root)
    libc = _libc()
    _check(libc.syscall(ctypes.c_long(_PIVOT_ROOT[_architecture()]), b".", b"."), "pivot_root")
    _check(libc.umount2(b".", _DETACH), "umount2")
    os.chdir("/")


def die_with_parent() -> None:
    """This process is killed when the one that started it ends, however that happens."""
    _check(_libc().prctl(_SET_DEATH_SIGNAL, _SIGKILL, 0, 0, 0), "prctl")


def let_interrupts_through() -> None:
    """Undoes Python's own handling of interrupts: they do nothing to the first process of a room."""
    _libc().signal(_SIGINT, None)


def no_new_privileges() -> None:
    """Nothing that is executed from here on gains a privilege by it."""
    _check(_libc().prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")


def filter_calls(alone: bool) -> None:
    """Denies this process and its children what no test needs: tracing, new namespaces, limits of others.

    With `alone` there are no sockets either, no other processes (threads there are), and no signals to any.
    Needs `no_new_privileges` before.
    """
    program = _filter(_architecture(), os.getpid(), alone)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    _check(_libc().prctl(_SET_SECCOMP, 2, ctypes.c_char_p(header), 0, 0), "seccomp")


def _filter(architecture: int, own: int, alone: bool) -> list[_Instruction]:
    """Each rule below falls through to the next one where it does not apply."""
    place = 0 if architecture == _X86 else 1
    number = {name: found for name, numbers in _NUMBERS.items() if (found := numbers[place]) is not None}
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        *((_EQUAL, 1, 0, architecture), _return(errno.EPERM)),
        (_LOAD, 0, 0, _NUMBER),
        *((_AT_LEAST, 0, 1, 0x40000000), _return(errno.EPERM)),  # The other numbering of x86, x32.
        # The flags of clone3 lie in memory, where a filter cannot read: the C library falls back to clone.
        *((_EQUAL, 0, 1, number["clone3"]), _return(errno.ENOSYS)),
    ]
    for name in _NEVER_NEEDED + (_NOT_ALONE if alone else ()):
        if name in number:
            program += [(_EQUAL, 0, 1, number[name]), _return(errno.EPERM)]
    program += _unless_first(number["prlimit64"], (0, own))
    if alone:
        program += _unless_first(number["kill"], (own,)) + _unless_first(number["tgkill"], (own,))
    program += [
        (_EQUAL, 0, 5 if alone else 3, number["clone"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *((_ANY_BIT, 0, 1, NEW_USERS), _return(errno.EPERM)),
    ]
    if alone:
        program += [(_ANY_BIT, 1, 0, _THREAD), _return(errno.EPERM)]
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _unless_first(number: int, allowed: Sequence[int]) -> list[_Instruction]:
    """Denies the call unless its first argument is one of `allowed`."""
    tests = [(_EQUAL, len(allowed) - place, 0, value) for place, value in enumerate(allowed)]
    body = [(_LOAD, 0, 0, _FIRST_ARGUMENT), *tests, _return(errno.EPERM), (_LOAD, 0, 0, _NUMBER)]
    return [(_EQUAL, 0, len(body), number), *body]


def _return(error: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERROR | error)


def _architecture() -> int:
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"the numbers of system calls on {machine} are not known here")
    return _ARCHITECTURES[machine]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
