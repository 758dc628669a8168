"""Archives are read inside limits: nothing escapes, nothing unpacks without end, nothing is lost silently"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from packtrain.data.packed import Limits, files_in
from packtrain.data.step import Skips

SMALL = Limits(file=1 << 20, archive=1 << 21, files=50)


def tar(*members: tuple[str, bytes | str], mode: str = "w") -> bytes:
    """Members of bytes are files; of str, links to that name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = (tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE), content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read(tmp_path: Path, data: bytes, name: str = "x.tar.gz", limits: Limits = SMALL) -> tuple[dict[str, bytes], Skips]:
    (tmp_path / name).write_bytes(data)
    skips = Skips()
    return dict(files_in(tmp_path / name, lambda member: not member.endswith(".png"), skips, limits)), skips


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tars_of_every_compression_are_read(tmp_path: Path, mode: str) -> None:
    files, skips = read(tmp_path, tar(("a.tex", b"A"), ("./d/b.tex", b"B"), ("c.png", b"C"), mode=mode))
    assert files == {"a.tex": b"A", "d/b.tex": b"B"}
    assert not skips.counts


def test_one_compressed_file_is_itself(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(b"\\section{A}" * 100), "1234.5678.gz")[0] == {
        "1234.5678": b"\\section{A}" * 100
    }
    assert read(tmp_path, b"plain", "p.tex")[0] == {"p.tex": b"plain"}
    assert read(tmp_path, b"", "p.tex")[0] == {"p.tex": b""}


def test_names_that_leave_and_links_are_skipped_and_nothing_is_written(tmp_path: Path) -> None:
    data = tar(
        ("../a.tex", b"A"),
        ("/etc/b.tex", b"B"),
        ("x/../../c.tex", b"C"),
        ("l.tex", "/etc/passwd"),
        ("h.tex", "=a"),
        ("ok.tex", b"D"),
    )
    files, skips = read(tmp_path, data)
    assert files == {"ok.tex": b"D"}
    assert skips.counts == {"name that leaves the archive": 3, "link or device in an archive": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["x.tar.gz"]


def test_a_zip_with_links_and_climbing_names(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("..\\up.txt", "A")
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("ok.txt", "B")
    files, skips = read(tmp_path, buffer.getvalue(), "x.zip")
    assert files == {"ok.txt": b"B"}
    assert skips.counts == {"name that leaves the archive": 1, "link or device in an archive": 1}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_bomb_stops_at_the_limit(tmp_path: Path, pack: object) -> None:
    zeros = b"\0" * (8 << 20)
    files, skips = read(tmp_path, pack(zeros), "x.gz")  # type: ignore[operator]
    assert files == {}
    assert skips.counts == {"unpacks to too much": 1}
    many = tar(*((f"{i}.tex", b"x" * (900 << 10)) for i in range(9)))
    files, skips = read(tmp_path, pack(many))  # type: ignore[operator]
    assert 1 <= len(files) <= 3
    assert skips.counts == {"unpacks to too much": 1}


def test_a_zip_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.txt", b"\0" * (8 << 20))
        for i in range(5):
            archive.writestr(f"{i}.txt", b"x" * (900 << 10))
    files, skips = read(tmp_path, buffer.getvalue(), "x.zip")
    assert len(files) == 2
    assert skips.counts == {"file too large": 1, "unpacks to too much": 1}
    lying = bytearray(buffer.getvalue())
    at = lying.index(b"PK\x01\x02")
    lying[at + 24 : at + 28] = (100).to_bytes(4, "little")  # the directory says 100 bytes
    files, skips = read(tmp_path, bytes(lying), "x.zip")
    assert all(len(content) <= SMALL.file for content in files.values())


def test_too_many_members(tmp_path: Path) -> None:
    files, skips = read(tmp_path, tar(*((f"{i}.tex", b"") for i in range(60))))
    assert len(files) == 50
    assert skips.counts == {"too many files in an archive": 1}


def test_what_stands_before_the_damage_is_read(tmp_path: Path) -> None:
    import random

    data = gzip.compress(tar(("a.tex", b"A" * 5000), ("b.tex", random.Random(0).randbytes(200_000))))
    files, skips = read(tmp_path, data[: len(data) // 2])
    assert files["a.tex"] == b"A" * 5000
    assert skips.counts == {"archive damaged": 1}


def test_the_files_before_the_break_of_a_small_archive_are_read(tmp_path: Path) -> None:
    files = {f"{i}.txt": os.urandom(900) for i in range(6)}
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    whole = (tmp_path / "whole.tar.gz").read_bytes()
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(whole[: len(whole) * 3 // 4])
    skips = Skips()
    found = dict(files_in(torn, lambda name: True, skips, Limits()))
    assert 3 <= len(found) < 6 and found.items() <= files.items()
    assert dict(skips.counts) == {"archive damaged": 1}
    (tmp_path / "one.gz").write_bytes(gzip.compress(os.urandom(9000))[:5000])
    assert dict(files_in(tmp_path / "one.gz", lambda name: True, skips, Limits())) == {}
    assert skips.counts["archive damaged"] == 2
