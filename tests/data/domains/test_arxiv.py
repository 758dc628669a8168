# ruff: noqa: E501  (tables of cases)
"""e-prints of every kind become one paper's LaTeX; what is torn, missing or foreign is counted"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from packtrain.data.domains import arxiv
from packtrain.data.domains.arxiv import DOMAIN, Parameters, decoded
from packtrain.errors import UserError
from tests.data.run_domain import Made, corpora, made

PROSE = "The pack train left at dawn. " * 50
PAPER = (
    "\\documentclass{article}\n\\newcommand{\\R}{\\mathbb{R}}\n\\begin{document}\n\\title{T}\\maketitle\n"
    "% a comment\n\\section{One}\nIn $\\R$. \\input{rest}\n\\bibliography{x}\n\\appendix\nmore\n\\end{document}\n"
)
MADE = f"\\section{{One}}\nIn $\\mathbb{{R}}$. {PROSE.strip()}\n"


def tar(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            content = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def run(tmp_path: Path, files: dict[str, bytes], parameters: Parameters | None = None) -> Made:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return made(DOMAIN, folder, tmp_path, parameters)


def test_every_kind_of_archive_gives_the_paper(tmp_path: Path) -> None:
    whole = PAPER.replace("\\input{rest}", PROSE)
    result = run(
        tmp_path,
        {
            "1001.0001.tar.gz": tar({"main.tex": PAPER, "rest.tex": PROSE, "._main.tex": b"\0\5\26\7", "fig.png": b"\x89PNG"}),
            "1001.0002v3.gz": gzip.compress(whole.encode()),
            "1001.0003.tar": gzip.decompress(tar({"d/ms.tex": PAPER, "d/rest.tex": PROSE})),
            "1001.0004.tex": whole.encode(),
        },
    )  # fmt: skip
    assert [d.text for d in result.documents] == [MADE] * 4
    assert result.documents[1].url == "https://arxiv.org/abs/1001.0002v3"
    assert not result.skips.counts
    assert result.tallies["macros"].removed["macros expanded"] == 4
    assert result.tallies["body"].removed == {"appendix": 4, "bibliography": 4}


def test_stray_bytes_and_missing_files_do_not_cost_the_paper(tmp_path: Path) -> None:
    rest = PROSE.encode() + b" na\xefve Stra\xdfe \x81"
    result = run(tmp_path, {"1.tar.gz": tar({"main.tex": PAPER + "\\input{gone}", "rest.tex": rest + b" \xc3\xa9"}),
                            "2.tar.gz": tar({"main.tex": PAPER.replace("rest", "gone") + PROSE, "refs.bib": "x"})},
                 Parameters(min_characters=10))  # fmt: skip
    assert "naïve Straße" in result.documents[0].text
    assert "é" in result.documents[0].text
    assert result.documents[0].metadata["not_utf8"] == 1
    assert len(result.documents) == 2
    assert result.tallies["macros"].removed["missing \\input"] == 2


def test_what_is_no_paper_is_counted(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        {
            "a.tar.gz": tar({"main.tex": PAPER})[:60], "b.gz": gzip.compress(b"%PDF-1.4 ..."), "c.tar.gz": tar({"x.png": b"1"}),
            "d.tar.gz": tar({"notes.tex": "just text"}), "e.gz": gzip.compress(b"\0" * 100), "f.gz": b"",
            "g.tar.gz": tar({"../main.tex": PAPER}), "h.tex": (PAPER + "x" * (2 << 20)).encode(),
        },
        Parameters(max_mib=1),
    )  # fmt: skip
    assert result.raw == []
    assert result.skips.counts == {
        "archive damaged": 1, "PDF or PostScript, no LaTeX": 1, "no LaTeX in it": 7, "no main file": 1, "binary file": 1,
        "name that leaves the archive": 1, "unpacks to too much": 1,
    }  # fmt: skip


def test_papers_without_a_section_begin_after_their_abstract_or_are_dropped(tmp_path: Path) -> None:
    letter = "\\documentclass{revtex4}\\begin{document}\\begin{abstract}A\\end{abstract}" + PROSE + "\\end{document}"
    kept = run(tmp_path, {"a.tex": letter.encode()})
    assert kept.documents[0].text.startswith("The pack train")
    assert kept.documents[0].metadata["begins"] == "abstract"
    assert kept.tallies["body"].removed == {"no \\section: begins after the abstract": 1}
    (tmp_path / "other").mkdir()
    gone = run(tmp_path / "other", {"a.tex": letter.encode()}, Parameters(without_section="drop"))
    assert gone.tallies["body"].dropped == {"no \\section": 1}


def test_a_month_of_the_bulk_access_is_a_paper_a_member(tmp_path: Path) -> None:
    paper = "\\documentclass{article}\\begin{document}\\section{One}" + "Words of the paper. " * 99 + "\\end{document}"
    members = {
        "0001/astro-ph0001001.gz": gzip.compress(paper.encode()),
        "0001/0001.00002.gz": tar({"main.tex": paper.replace("One", "Two"), "../out.tex": "x"}),
        "0001/0001.00003.pdf": b"%PDF-1.4",
        "0001/0001.00004.gz": gzip.compress(paper.encode())[:60],
    }
    found = run(tmp_path, {"arXiv_src_0001_001.tar": tar(members)})
    assert [(d.id, d.url, d.source) for d in found.documents] == [
        (f"arXiv_src_0001_001.tar/0001/{name}", f"https://arxiv.org/abs/{identity}", "arXiv_src_0001_001.tar")
        for name, identity in (("astro-ph0001001.gz", "astro-ph/0001001"), ("0001.00002.gz", "0001.00002"))
    ]
    places = {(skip["reason"], skip["file"].rpartition("/")[2]) for skip in found.skips.first}
    assert ("name that leaves the archive", "0001.00002.gz") in places
    assert ("PDF or PostScript, no LaTeX", "0001.00003.pdf") in places and len(places) >= 4


def test_the_readme_of_the_archive_names_the_main_file(tmp_path: Path) -> None:
    files = {
        "main.tex": PAPER,
        "other.tex": PAPER.replace("One", "Other"),
        "rest.tex": PROSE,
        "00README.XXX": "other.tex toplevelfile\n",
    }
    assert "\\section{Other}" in run(tmp_path, {"1.tar.gz": tar(files)}).documents[0].text


def test_bytes_are_decoded_one_by_one() -> None:
    assert decoded(b"caf\xe9 \xc3\xa9 \x93x\x94") == ("café é “x”", True)
    assert decoded("café".encode()) == ("café", False)


def test_a_folder_without_papers_and_an_odd_choice_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no e-prints here; expected \.tar\.gz"):
        arxiv.inputs(tmp_path, Parameters())
    with pytest.raises(UserError, match=r"domain\.without_section=x: expected keep or drop"):
        Parameters(without_section="x")


def test_real_papers_begin_with_their_introduction_and_hold_no_own_macros(tmp_path: Path) -> None:
    result = made(DOMAIN, corpora("arxiv"), tmp_path)
    papers = {d.id: d.text for d in result.documents}
    assert {name.partition(".tar")[0] for name in papers} == {
        "1308.0729",
        "1703.09710",
        "1911.02782",
        "2004.14974",
        "thrift-whitepaper.gz",
    }
    for name, text in papers.items():
        assert text.startswith(("\\section{Introduction}", "\\chapter*{Preface}")), name
        assert not re.search(
            r"(?<!\\)%",
            re.sub(r"\\begin\{(verbatim|lstlisting)\}.*?\\end\{\1\}|\\url\{[^}]*\}", "", text, flags=re.DOTALL),
        ), name
        assert "\\bibliography" not in text
        assert "thebibliography" not in text
    scifact = papers["2004.14974.tar.gz"]
    assert "consists of 1,409 scientific claims" in re.sub(r"\s+", " ", scifact)
    assert not re.search(r"\\(?:ours|sysname|supports|numclaims)(?![a-zA-Z])", scifact)
    assert "\\textsc{SciFact}" in scifact
    assert result.tallies["macros"].removed["missing \\input"] == 10
