"""where no namespaces are to be had: Python's libraries and one folder may be read, and nothing at all be written

Landlock needs no privilege. What it does not cover (modes, owners, times) `system_calls` refuses.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF, SET_NO_NEW_PRIVS = 444, 445, 446, 38
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
RIGHTS = {3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}  # ABI → every right to files that it knows
LEAST = 3  # before it, a file could be emptied

libc = ctypes.CDLL(None, use_errno=True)


def call(*arguments: object) -> int:
    found = libc.syscall(*arguments)
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return found


def restrict(readable: Iterable[str], devices: Iterable[str]) -> None:
    """From here on, for this process and its threads. Raises `OSError` where the kernel's Landlock is absent or old."""
    abi = call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if abi < LEAST:
        raise OSError(f"Landlock: ABI {abi}, older than {LEAST} (Linux 6.2)")
    rights = struct.pack("=Q", RIGHTS[min(abi, max(RIGHTS))])
    rules = call(CREATE_RULESET, rights, ctypes.c_size_t(8), ctypes.c_uint(0))
    for path in readable:
        _allow(rules, path, EXECUTE | READ_FILE | (READ_DIR if os.path.isdir(path) else 0))
    for path in devices:
        _allow(rules, path, READ_FILE | WRITE_FILE)
    libc.prctl(*map(ctypes.c_ulong, (SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
    call(RESTRICT_SELF, rules, ctypes.c_uint(0))
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    call(ADD_RULE, rules, 1, struct.pack("=Qi", rights, beneath), ctypes.c_uint(0))
    os.close(beneath)
