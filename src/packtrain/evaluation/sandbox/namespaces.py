"""a fresh view of the machine: no network, no other process, a small root in memory, Python's libraries read-only

/            tmpfs, `disk` bytes, thrown away with the process        /work   where the program is
/usr/lib, /lib, Python's lib …   bound from outside, read-only        /dev    null zero random urandom
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

NEW_NS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PID, NEW_NET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
READ_ONLY = 1 | 2  # MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
CAPSET = {"x86_64": 126, "aarch64": 91}
NOBODY = 65534
DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "random", "urandom"))

libc = ctypes.CDLL(None, use_errno=True)


def readable() -> list[str]:
    """What Python needs to import its standard library."""
    own = [os.path.join(prefix, lib) for prefix in (sys.base_prefix, sys.base_exec_prefix) for lib in ("lib", "lib64")]
    paths = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", *own]
    return [path for path in dict.fromkeys(paths) if os.path.exists(path)]


def check(done: int, what: str) -> None:
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare() -> None:
    """New namespaces; the next child is the first process of its own. Raises `OSError` where that is not allowed."""
    uid, gid = os.geteuid(), os.getegid()
    check(libc.unshare(NEW_USER | NEW_NS | NEW_PID | NEW_NET | NEW_IPC | NEW_UTS), "namespaces")
    for name, line in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    given = [None if text is None else text.encode() for text in (source, target, kind)]
    check(libc.mount(*given, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def bind(source: str, target: str, read_only: bool) -> None:
    mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        attributes = ctypes.create_string_buffer(struct.pack("=QQQQ", READ_ONLY, 0, 0, 0))
        arguments = (MOUNT_SETATTR, AT_FDCWD, target.encode(), AT_RECURSIVE, attributes, ctypes.c_size_t(32))
        check(libc.syscall(*arguments), f"read-only {target}")


def new_root(folder: str, disk: int) -> None:
    """`folder` becomes /, and nothing outside is there any more; ends in /work. In a child of `unshare`'s process."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"size={disk},nr_inodes=4096,mode=755")
    bound: list[str] = []
    for path in (*readable(), *DEVICES):
        target = folder + path
        if any(path.startswith(f"{other}/") for other in bound):
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.islink(path):
            os.symlink(os.readlink(path), target)
            continue
        if os.path.isdir(path):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT))
        bind(path, target, read_only=path not in DEVICES)
        bound.append(path)
    for name in ("work", "tmp"):
        os.mkdir(f"{folder}/{name}")
    os.chdir(folder)
    check(libc.syscall(PIVOT_ROOT[platform.machine()], b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "the old root")
    os.chdir("/work")


def drop_capabilities() -> None:
    """Those that a new user namespace gives over itself."""
    header = struct.pack("=Ii", 0x20080522, 0)
    check(libc.syscall(CAPSET[platform.machine()], header, bytes(24)), "capabilities")
