"""what a program may not ask of the kernel → a seccomp filter → from here on it is refused, for good

The program stays one process (threads are allowed), starts no other program, opens no socket, signals nobody but
itself, mounts nothing, and changes nobody's ownership, mode or times. A filter is never taken off again, and the kernel
needs no privilege to set one: it holds inside of containers that allow no namespaces, too.

Numbers: Linux's asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64); from 424 on they are the same everywhere.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # the architecture as the kernel's audit names it
FORBIDDEN = {  # name → its number on (x86_64, aarch64); None: there is none
    "socket": (41, 198), "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "setpgid": (109, 154),
    "setsid": (112, 157), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "memfd_create": (319, 279), "personality": (135, 92), "pivot_root": (155, 41), "chroot": (161, 51),
    "acct": (163, 89), "mount": (165, 40), "umount2": (166, 39), "swapon": (167, 224), "swapoff": (168, 225),
    "reboot": (169, 142), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "quotactl": (179, 60), "unshare": (272, 97), "setns": (308, 268), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "setpriority": (141, 140), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122),
    "ioprio_set": (251, 30), "migrate_pages": (256, 238), "move_pages": (279, 239), "perf_event_open": (298, 241),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "bpf": (321, 280), "userfaultfd": (323, 282), "chmod": (90, None),
    "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None),
    "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "truncate": (76, 45),
    "pidfd_send_signal": (424, 424), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "mount_setattr": (442, 442),
    "quotactl_fd": (443, 443), "memfd_secret": (447, 447), "fchmodat2": (452, 452), "setxattrat": (463, 463),
    "removexattrat": (466, 466),
}  # fmt: skip
HALF_ALLOWED = {  # it depends on the arguments
    "clone": (56, 220), "clone3": (435, 435), "kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261),
    "fcntl": (72, 25),
}  # fmt: skip

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions of the filter's little machine
NUMBER, ARCHITECTURE, FIRST, SECOND = 0, 4, 16, 24  # where they lie in what a filter sees: the low half of an argument
ALLOW, KILL = 0x7FFF0000, 0x80000000
CLONE_THREAD, X32 = 0x10000, 0x40000000
F_SETOWN, F_SETSIG, F_SETOWN_EX = 8, 10, 15  # by which a pipe would signal another process
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2

Instruction = tuple[int, int, int, int]  # what to do, how far to jump if so, if not, with what


def refuse(number: int) -> Instruction:
    return RETURN, 0, 0, 0x00050000 | number


def filter_for(machine: str, pid: int) -> list[Instruction]:
    """The filter of the process `pid` on `machine`; `KeyError` for a machine whose numbers are not known here."""
    column = list(AUDIT).index(machine) if machine in AUDIT else None
    if column is None:
        raise KeyError(machine)
    denied, allowed = refuse(errno.EPERM), (RETURN, 0, 0, ALLOW)
    only_itself = [(LOAD, 0, 0, FIRST), (EQUAL, 0, 1, pid), allowed, denied]
    blocks = {
        "clone": [(LOAD, 0, 0, FIRST), (ANY_BIT, 0, 1, CLONE_THREAD), allowed, denied],
        "clone3": [refuse(errno.ENOSYS)],  # the C library then asks by clone, whose flags can be seen
        "kill": only_itself,
        "tgkill": only_itself,
        "prlimit64": [(LOAD, 0, 0, FIRST), (EQUAL, 2, 0, 0), (EQUAL, 1, 0, pid), denied, allowed],
        "fcntl": [
            (LOAD, 0, 0, SECOND), (EQUAL, 3, 0, F_SETOWN), (EQUAL, 2, 0, F_SETSIG), (EQUAL, 1, 0, F_SETOWN_EX), allowed,
            denied,
        ],
    }  # fmt: skip
    code = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, AUDIT[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    code += [(AT_LEAST, 0, 1, X32), denied]
    for name, numbers in {**FORBIDDEN, **HALF_ALLOWED}.items():
        if numbers[column] is not None:
            block = blocks.get(name, [denied])
            code += [(EQUAL, 0, len(block), numbers[column]), *block]
    return [*code, allowed]


def install() -> None:
    """From here on, for this process and its threads. Raises `OSError` where the kernel has no seccomp."""
    try:
        code = filter_for(platform.machine(), os.getpid())
    except KeyError as error:
        raise OSError(errno.ENOSYS, f"no table of system calls for {error.args[0]}") from None
    raw = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(raw)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0),
    ):
        if libc.prctl(*map(ctypes.c_ulong, arguments)):
            raise OSError(ctypes.get_errno(), "the kernel sets no seccomp filter")
