"""A room of its own for one program: no network, no other processes, and hardly any files.

Made of Linux's user, mount, process and network namespaces, which need no privilege where the system lets
users have them. Inside, the root is a small file system in memory that holds Python, read-only, and an
empty working folder.
"""

# pathlib takes longer to load than all the rest.
# ruff: noqa: PTH101, PTH102, PTH103, PTH106, PTH110, PTH112, PTH114, PTH115, PTH120, PTH211

from __future__ import annotations

import os

from dapo.verify.cell import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:  # A program is started for every answer: what loads slowly is not loaded here.
    from collections.abc import Iterable

WORKPLACE = "/box"
NOBODY = 65534
UNABLE = 77
"""Exit status of a process that could not build the room."""

_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/etc/ld.so.cache", "/nix/store")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_MOUNT_POINTS = ("/sys", "/mnt", "/srv")
_REST = kernel.NEW_MOUNTS | kernel.NEW_PROCESSES | kernel.NEW_NETWORK | kernel.NEW_IPC | kernel.NEW_HOST_NAME


def enter(readable: Iterable[str], disk_bytes: int) -> bool:
    """Moves on inside the room, as process 1 of it; everything in it dies with that process.

    The process that called waits, and ends as the one inside did. It comes back with False where there can
    be no room.
    """
    ready, asked = os.pipe(), os.pipe()
    outer = os.fork()
    if outer == 0:
        _enter(ready[1], asked[0], [*_SYSTEM, *readable], disk_bytes)
        return True
    os.close(ready[1])
    if os.read(ready[0], 1):
        _name_users(outer)
        os.write(asked[1], b"x")
    status = os.waitstatus_to_exitcode(os.waitpid(outer, 0)[1])
    if status != UNABLE:
        os._exit(0 if status == 0 else 1)
    for end in (ready[0], *asked):
        os.close(end)
    return False


def _enter(ready: int, asked: int, readable: Iterable[str], disk_bytes: int) -> None:
    """Returns inside the room only."""
    try:
        kernel.die_with_parent()
        kernel.unshare(kernel.NEW_USERS)
        os.write(ready, b"x")
        os.read(asked, 1)
        kernel.unshare(_REST)
        inside = os.fork()
        if inside != 0:
            os._exit(max(os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1]), 0))
        kernel.die_with_parent()
        # Programs inside may signal this process. What it does not handle does not reach the first process.
        kernel.let_interrupts_through()
        _furnish(readable, disk_bytes)
    except OSError:
        os._exit(UNABLE)


def _name_users(pid: int) -> None:
    """Says who the users inside are. Root can give them another user's rights; others only their own.

    Where this fails the next step of the process inside fails as well, and it ends as unable.
    """
    user, group = os.geteuid(), os.getegid()
    others = f"\n{NOBODY} {NOBODY} 1\n"
    try:
        if user == 0:
            _write(f"/proc/{pid}/uid_map", f"0 0 1{others}")
            _write(f"/proc/{pid}/gid_map", f"0 0 1{others}")
        else:
            _write(f"/proc/{pid}/setgroups", "deny")
            _write(f"/proc/{pid}/uid_map", f"{NOBODY} {user} 1\n")
            _write(f"/proc/{pid}/gid_map", f"{NOBODY} {group} 1\n")
    except OSError:
        return


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _furnish(readable: Iterable[str], disk_bytes: int) -> None:
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    root = next(point for point in _MOUNT_POINTS if os.path.isdir(point))
    size = f"size={disk_bytes},nr_inodes=4096,mode=0755"
    kernel.mount("tmpfs", root, "tmpfs", kernel.NO_SUID | kernel.NO_DEVICES, size)
    for path in readable:
        _show(path, root)
    os.makedirs(root + "/dev")
    for device in _DEVICES:
        _touch(root + device)
        kernel.mount(device, root + device, flags=kernel.BIND)
    for folder in (WORKPLACE, "/tmp"):
        os.makedirs(root + folder, exist_ok=True)
        os.chmod(root + folder, 0o777)
    _show_processes(root)
    kernel.change_root(root)
    os.chdir(WORKPLACE)


def _show(source: str, root: str) -> None:
    """Makes `source` of the old root readable at the same place of the new one."""
    target = root + source
    if not os.path.exists(source) or os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.mkdir(target)
    else:
        _touch(target)
    kernel.mount(source, target, flags=kernel.BIND | kernel.RECURSIVE)
    # A mount keeps the restrictions it came with, or it is refused.
    kept = os.statvfs(target).f_flag & (kernel.NO_SUID | kernel.NO_DEVICES)
    flags = kernel.BIND | kernel.REMOUNT | kernel.READ_ONLY | kernel.NO_SUID | kept
    kernel.mount(source, target, flags=flags)


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _show_processes(root: str) -> None:
    """Mounts /proc, of the processes inside. Containers that hide parts of their own refuse it."""
    place = root + "/proc"
    os.mkdir(place)
    try:
        kernel.mount("proc", place, "proc", kernel.NO_SUID | kernel.NO_DEVICES)
    except OSError:
        os.rmdir(place)
