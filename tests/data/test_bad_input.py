# ruff: noqa: E501  (tables of cases)
"""Every domain beside empty, binary, endless and torn files and bombs: the sound file stays, each bad one is named"""

from __future__ import annotations

import bz2
import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from packtrain.data.domains import arxiv, books, c4, common_crawl, github, stack_exchange, text, wikipedia
from tests.data.run_domain import made
from tests.data.web import record

NOISE = random.Random(1).randbytes(4000)
WORDS = ("llama", "pack", "herd", "river", "salt", "wool")
LINES = "".join(f"The {a} and the {b} were seen near the {c} on that day.\n" for a, b, c in permutations(WORDS, 3))
POSTS = '<posts><row Id="1" PostTypeId="1" Title="T" Body="q" Score="1" /></posts>'
PAGE = (
    f"<mediawiki><page><title>T</title><ns>0</ns><id>1</id><revision><text>{LINES}</text></revision></page></mediawiki>"
)
PAPER = "\\documentclass{article}\\begin{document}\\section{A}" + LINES + "\\end{document}"
CODE = "def f(number):\n    return number + 1\n" * 9


def _tar(files: dict[str, bytes], links: bool = False) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if links:
            link = tarfile.TarInfo("evil.tex")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
    return buffer.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# domain, parameters, {the sound file}, name of a bad one, what packs it
DOMAINS: dict[str, tuple[Any, Any, dict[str, bytes], str, Callable[[bytes], bytes]]] = {
    "common_crawl": (common_crawl.DOMAIN, None, {"a.warc.wet.gz": gzip.compress(record(LINES.encode(), "conversion"))},
                     "{}.warc.wet.gz", gzip.compress),
    "c4": (c4.DOMAIN, None, {"a.warc.wet": record(LINES.encode(), "conversion")}, "{}.warc.wet", bytes),
    "github": (github.DOMAIN, github.Parameters(max_kib=1024),
               {"a.tar.gz": _tar({"a/LICENSE": b"MIT License\n\nPermission is hereby granted, free of charge", "a/a.py": CODE.encode()})},
               "{}.tar.gz", lambda data: _tar({"b/LICENSE": b"MIT License", "b/b.py": data})),
    "wikipedia": (wikipedia.DOMAIN, wikipedia.Parameters(max_page_mib=1), {"enwiki-a.xml.bz2": bz2.compress(PAGE.encode())},
                  "dewiki-{}.xml.bz2", bz2.compress),
    "books": (books.DOMAIN, books.Parameters(max_mib=1), {"a.txt": LINES.encode()}, "{}.zip", lambda data: _zip({"b.txt": data})),
    "arxiv": (arxiv.DOMAIN, arxiv.Parameters(max_mib=1), {"1.tar.gz": _tar({"a.tex": PAPER.encode()})},
              "{}.tar.gz", lambda data: _tar({"b.tex": data})),
    "stack_exchange": (stack_exchange.DOMAIN, stack_exchange.Parameters(sites="all"), {"a.com/Posts.xml": POSTS.encode()},
                       "{}.com/Posts.xml", bytes),
    "text": (text.DOMAIN, text.Parameters(max_mib=1), {"a.txt": LINES.encode()}, "{}.txt.gz", gzip.compress),
}  # fmt: skip
ENDLESS = b"x" * (5 << 20)
BAD = {
    "nothing": lambda pack: b"",
    "empty": lambda pack: pack(b""),
    "binary": lambda pack: pack(b"\0\1\2\3" + NOISE),
    "noise": lambda pack: NOISE,
    "endless": lambda pack: pack(ENDLESS),
    "torn": lambda pack: pack(NOISE)[:1000],
}


@pytest.mark.parametrize("name", DOMAINS)
def test_bad_files_cost_themselves_and_are_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain, parameters, sound, pattern, pack = DOMAINS[name]
    folder, scratch = tmp_path / "in", tmp_path / "scratch"
    scratch.mkdir()
    files = sound | {pattern.format(kind): make(pack) for kind, make in BAD.items()}
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    found = made(domain, folder, scratch, parameters)
    (good,) = sound
    assert any(document.source == good for document in found.documents), found
    told = {skip["file"] for skip in found.skips.first} | {document.source for document in found.dropped.values()}
    silent = set(files) - {good} - told - {document.source for document in found.documents}
    assert not silent, f"{name}: nothing is said of {silent}"
    kept = {document.source for document in found.documents} - {good}
    assert not kept - {pattern.format("endless")}, f"{name}: kept {kept}"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == sorted(files)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "scratch"]


@pytest.mark.parametrize("name", ["github", "arxiv", "books"])
def test_archives_that_climb_link_or_swell_write_nothing(name: str, tmp_path: Path) -> None:
    domain, parameters, sound, _, _ = DOMAINS[name]
    folder, scratch = tmp_path / "in", tmp_path / "scratch"
    scratch.mkdir()
    folder.mkdir()
    inner = {"github": "x.py", "arxiv": "x.tex", "books": "x.txt"}[name]
    bomb = {inner: b"a" * (3 << 20)}
    climbing = {f"../{inner}": b"out", f"/tmp/{inner}": b"out", "ok/" + inner: CODE.encode()}
    archives = {"climbing.zip": _zip(climbing), "climbing.tar.gz": _tar(climbing, links=True),
                "bomb.zip": _zip(bomb), "bomb.tar.gz": _tar(bomb)}  # fmt: skip
    if name == "books":
        archives = {file: content for file, content in archives.items() if file.endswith(".zip")}
    for file, content in (sound | archives).items():
        (folder / file).write_bytes(content)
    found = made(domain, folder, scratch, parameters)
    reasons = {(skip["file"], skip["reason"]) for skip in found.skips.first}
    for file in archives:
        assert {reason for told, reason in reasons if told == file}, f"nothing is said of {file}: {reasons}"
    assert {"name that leaves the archive", "file too large"} <= {reason for _, reason in reasons}
    assert name == "books" or "link or device in an archive" in {reason for _, reason in reasons}
    assert not (tmp_path / inner).exists() and not Path(f"/tmp/{inner}").exists()
