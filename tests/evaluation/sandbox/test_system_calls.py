"""the filter → an own small machine that runs it → what the kernel would answer; its numbers → the kernel's headers"""

import errno
import re
from pathlib import Path

import pytest

from packtrain.evaluation.sandbox import system_calls as s

HEADERS = {
    "x86_64": [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")],
    "aarch64": [Path("/usr/include/asm-generic/unistd.h")],
}
ALLOWED, DENIED = s.ALLOW, 0x00050000 | errno.EPERM


def answer(machine: str, number: int, *arguments: int, pid: int = 77, audit: int | None = None) -> int:
    """What the filter of `pid` returns, by the rules of the kernel's documentation (networking/filter)."""
    seen = {s.NUMBER: number, s.ARCHITECTURE: s.AUDIT[machine] if audit is None else audit}
    seen |= {s.FIRST + 8 * i: argument & 0xFFFFFFFF for i, argument in enumerate((*arguments, 0, 0))}
    code, at, loaded = s.filter_for(machine, pid), 0, 0
    while True:
        what, yes, no, value = code[at]
        if what == s.RETURN:
            return value
        if what == s.LOAD:
            loaded, jump = seen[value], 0
        else:
            is_so = {s.EQUAL: loaded == value, s.AT_LEAST: loaded >= value, s.ANY_BIT: bool(loaded & value)}[what]
            jump = yes if is_so else no
        at += 1 + jump


@pytest.mark.parametrize("machine", s.AUDIT)
def test_every_forbidden_call_is_denied_and_the_others_are_not(machine: str) -> None:
    column = list(s.AUDIT).index(machine)
    forbidden = {numbers[column] for numbers in s.FORBIDDEN.values()} - {None}
    for number in forbidden:
        assert answer(machine, number) == DENIED
    special = {numbers[column] for numbers in s.HALF_ALLOWED.values()}
    for number in set(range(500)) - forbidden - special:
        assert answer(machine, number) == ALLOWED


@pytest.mark.parametrize("machine", s.AUDIT)
def test_calls_that_depend_on_their_arguments(machine: str) -> None:
    number = {name: numbers[list(s.AUDIT).index(machine)] for name, numbers in s.HALF_ALLOWED.items()}
    assert answer(machine, number["clone"], s.CLONE_THREAD | 0x100) == ALLOWED
    assert answer(machine, number["clone"], 17) == DENIED
    assert answer(machine, number["clone3"]) == 0x00050000 | errno.ENOSYS
    for name in ("kill", "tgkill"):
        assert answer(machine, number[name], 77) == ALLOWED
        assert {answer(machine, number[name], pid) for pid in (0, 1, -1, 78)} == {DENIED}
    assert {answer(machine, number["prlimit64"], pid) for pid in (0, 77)} == {ALLOWED}
    assert answer(machine, number["prlimit64"], 78) == DENIED
    assert {answer(machine, number["fcntl"], 3, what) for what in (8, 10, 15)} == {DENIED}
    assert {answer(machine, number["fcntl"], 3, what) for what in (0, 1, 2, 3, 4, 1030)} == {ALLOWED}


def test_another_architecture_or_x32_is_not_a_way_around() -> None:
    assert answer("x86_64", 1, audit=0x40000003) == s.KILL
    assert answer("x86_64", 1 | s.X32) == DENIED
    with pytest.raises(KeyError):
        s.filter_for("riscv64", 1)


@pytest.mark.parametrize("machine", s.AUDIT)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    header = next((path for path in HEADERS[machine] if path.is_file()), None)
    if header is None:
        pytest.skip("the kernel's headers are not installed (Debian: linux-libc-dev)")
    text = header.read_text()
    published = {name: int(n) for name, n in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)}
    column = list(s.AUDIT).index(machine)
    for name, numbers in {**s.FORBIDDEN, **s.HALF_ALLOWED}.items():
        if name in published:
            assert numbers[column] == published[name], name
        elif numbers[column] is not None:
            assert numbers[column] > 430, f"{name} is not in {header}"  # newer than the headers
