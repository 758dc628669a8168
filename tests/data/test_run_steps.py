"""steps, global steps and units: every document accounted for, the same bytes on any number of processes"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from packtrain.data.documents import Document, document_files, key_number, read_documents
from packtrain.data.domain import Domain
from packtrain.data.domains import registry
from packtrain.data.hash_ranges import ALL, Decision, Shard
from packtrain.data.plan import stages
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.data.run_steps import units_of
from packtrain.data.step import AnyStep, DropEmpty, Skips, Tally
from packtrain.errors import UserError


@dataclass(frozen=True)
class Shout:
    name: ClassVar[str] = "shout"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            if "secret" in document.text:
                tally.drop(document, "secret")
                continue
            tally.cut("lower case", sum(map(str.islower, document.text)))
            yield tally.change(document, replace(document, text=document.text.upper()))


@dataclass(frozen=True)
class Unique:
    """Keeps the first document of each text."""

    name: ClassVar[str] = "unique"

    def collect(self, documents: Iterable[Document]) -> np.ndarray:
        rows = [(key_number(d.text), key_number(d.id)) for d in documents]
        return np.array(rows, dtype=np.uint64).reshape(-1, 2)

    def merge(self, parts: Iterable[Path], output: Path, shard: Shard = ALL) -> None:
        rows = np.concatenate([np.load(part) for part in parts])
        np.save(output, np.sort(rows[np.unique(rows[:, 0], return_index=True)[1], 1]))

    def apply(self, documents: Iterable[Document], decision: Decision, tally: Tally) -> Iterator[Document]:
        for document in documents:
            if decision.find(np.array([key_number(document.id)], np.uint64))[0][0]:
                yield tally.keep(document)
            else:
                tally.drop(document, "seen before")


@dataclass(frozen=True)
class Careless:
    name: ClassVar[str] = "careless"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            if len(document.text) > 3:
                yield document


@dataclass(frozen=True)
class Parameters:
    extra: str = ""


def inputs(path: Path, parameters: Parameters) -> list[Path]:
    return sorted(path.glob("*.in"))


def read(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    offset = 0
    for i, line in enumerate(path.read_text(errors="surrogateescape").splitlines(keepends=True)):
        text = line.rstrip("\n")
        if text == "broken":
            skips.skip("broken line", offset, "as planted")
        elif text == "fatal":
            raise ValueError("planted")
        else:
            yield Document(f"{name}/{i}", text, "planted", name, language="en")
        offset += len(line)


def steps(parameters: Parameters) -> list[AnyStep]:
    return [Shout(), Unique(), DropEmpty(), *([Careless()] if parameters.extra else [])]


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    domain = Domain("planted", Parameters, inputs, read, steps)
    module = type(registry)("planted")
    module.DOMAIN = domain  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(registry, "NAMES", (*registry.NAMES, "planted"))
    monkeypatch.setitem(__import__("sys").modules, "packtrain.data.domains.planted", module)
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(6):
        lines = [f"line {i * 50 + k}" for k in range(50)] + ["the same everywhere", "a secret", "", "broken"]
        (folder / f"{i}.in").write_text("\n".join(lines) + "\n")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def made(folder: Path, output: Path, **options: Any) -> dict[str, Any]:
    processes = options.pop("processes", 0)
    return prepare("planted", folder, output, 0.2, options=PrepareOptions(processes=processes, **options))


def test_every_document_is_kept_or_dropped_and_every_skip_told_with_its_place(planted: Path, tmp_path: Path) -> None:
    report = made(planted, tmp_path / "out")
    assert report["read"] == 6 * 53 and report["kept"] == 301
    assert report["dropped"] == {"empty": 1, "secret": 6, "seen before": 10}
    shout, unique, _ = report["steps"]
    assert shout["seen"] == 318 and shout["kept"] == 312 and shout["changed"] == 306 and shout["cut"]["lower case"] > 0
    assert unique == {
        "name": "unique",
        "seen": 312,
        "kept": 302,
        "changed": 0,
        "dropped": {"seen before": 10},
        "cut": {},
    }
    assert report["skipped"]["counts"] == {"broken line": 6}
    offset = len("\n".join((planted / "0.in").read_text().splitlines()[:-1])) + 1
    first = {"reason": "broken line", "file": "0.in", "offset": offset, "detail": "as planted"}
    assert report["skipped"]["first"][0] == first
    assert report["after"]["languages"] == {"en": 301}
    assert sum(report["after"]["lengths"].values()) == 301
    assert len(report["samples"]) == 10
    assert all(s["text"] == s["before"]["text"].upper() for s in report["samples"])
    assert {(d["step"], d["reason"]) for d in report["dropped_samples"]} == {
        ("shout", "secret"), ("unique", "seen before"), ("drop empty", "empty"),
    }  # fmt: skip
    assert {d.text for d in read_documents(tmp_path / "out")} == {
        *(f"LINE {i}" for i in range(300)),
        "THE SAME EVERYWHERE",
    }
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "held_out-00000.jsonl.zst",
        "report.json",
        "train-00000.jsonl.zst",
    ]


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i:02d}.txt").write_text("\n\n".join(f"paragraph {i}.{k} " * 30 for k in range(200)))
    kept: list[dict[str, bytes]] = []
    for processes in (1, 3):
        output = tmp_path / f"out{processes}"
        monkeypatch.setattr("packtrain.data.prepare.units_of", lambda f, s: units_of(f, s, 300_000))
        prepare("text", folder, output, 0.1, options=PrepareOptions(processes=processes))
        kept.append(tree(output))
    assert kept[0] == kept[1] and len(kept[0]) > 4


def test_dropped_documents_can_be_found_again_and_are_never_read_as_input(planted: Path, tmp_path: Path) -> None:
    report = made(planted, tmp_path / "out", keep_dropped=True)
    files = sorted((tmp_path / "out").glob("dropped-*.jsonl.zst"))
    found = [d for path in files for d in read_documents(path)]
    assert len(found) == sum(report["dropped"].values())
    assert {(d.metadata["dropped_by"], d.metadata["dropped_reason"]) for d in found} == {
        ("shout", "secret"), ("unique", "seen before"), ("drop empty", "empty"),
    }  # fmt: skip
    assert {d.id for d in found if d.metadata["dropped_reason"] == "seen before"} == {
        f"{i}.in/{k}" for i in range(6) for k in ((50, 52) if i else ())
    }
    assert not set(files) & set(document_files(tmp_path / "out"))
    assert len(list(read_documents(tmp_path / "out"))) == report["kept"]


def test_a_reader_that_stumbles_loses_one_file_and_says_so(planted: Path, tmp_path: Path) -> None:
    (planted / "3.in").write_text("whole\nfatal\nnever seen\n")
    report = made(planted, tmp_path / "out")
    assert report["skipped"]["counts"]["reader failed: ValueError"] == 1
    (skip,) = (s for s in report["skipped"]["first"] if s["reason"].startswith("reader"))
    assert skip["file"] == "3.in" and "planted" in skip["detail"]
    texts = {d.text for d in read_documents(tmp_path / "out")}
    assert "WHOLE" in texts and "NEVER SEEN" not in texts and "LINE 299" in texts


def test_a_step_that_loses_a_document_is_caught(planted: Path, tmp_path: Path) -> None:
    (planted / "0.in").write_text("abc\n")
    with pytest.raises(RuntimeError, match=r"careless.*took.*0 kept and 0 dropped"):
        prepare({"name": "planted", "extra": "careless"}, planted, tmp_path / "out", 0.1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_what_utf_8_cannot_hold_becomes_the_replacement_character(planted: Path, tmp_path: Path) -> None:
    (planted / "0.in").write_bytes(b"caf\xe9 au lait\n")
    report = made(planted, tmp_path / "out")
    assert "CAF\ufffd AU LAIT" in {d.text for d in read_documents(tmp_path / "out")}
    assert report["after"]["bytes"] == sum(len(d.text.encode()) for d in read_documents(tmp_path / "out"))


def test_made_once_with_these_parameters_and_refused_by_name_with_others(planted: Path, tmp_path: Path) -> None:
    made(planted, tmp_path / "out")
    before = tree(tmp_path / "out")
    said: list[str] = []
    prepare("planted", planted, tmp_path / "out", 0.2, say=said.append, options=PrepareOptions(processes=0))
    assert len(said) == 1 and "nothing to do" in said[0]
    with pytest.raises(UserError, match=r"keep_dropped False → True.*overwrite=true"):
        made(planted, tmp_path / "out", keep_dropped=True)
    with pytest.raises(UserError, match=r"parameters .*overwrite=true"):
        prepare({"name": "planted", "extra": "x"}, planted, tmp_path / "out", 0.2)
    assert tree(tmp_path / "out") == before


def test_skips_are_said_on_the_screen_with_file_and_offset(planted: Path, tmp_path: Path) -> None:
    said: list[str] = []
    prepare("planted", planted, tmp_path / "out", 0.2, say=said.append)
    assert "301 of 318 documents kept (1 empty, 6 secret, 10 seen before)" in said[0]
    assert "skipped 6 broken line" in said[1] and "broken line: 0.in at" in said[2] and len(said) == 5


def test_units_follow_the_sizes_alone() -> None:
    files: list[Any] = [(Path(str(i)), str(i)) for i in range(6)]
    cut = units_of(files, [10, 10, 500, 1, 1, 99], limit=100)
    assert [[name for _, name in unit] for unit in cut] == [["0", "1"], ["2"], ["3", "4"], ["5"]]
    assert [len(u) for u in units_of([files[0]] * 2500, [0] * 2500)] == [1000, 1000, 500]


def test_steps_are_cut_at_the_global_ones() -> None:
    cut = stages([Shout(), Unique(), Unique(), DropEmpty()])
    assert [(s.first is not None, [x.name for x in s.steps], s.last is not None) for s in cut] == [
        (False, ["shout"], True), (True, [], True), (True, ["drop empty"], False),
    ]  # fmt: skip


def test_a_domain_that_reads_files_wants_some_and_takes_no_url(tmp_path: Path, planted: Path) -> None:
    with pytest.raises(UserError, match="needs input=PATH"):
        prepare("planted", None, tmp_path / "out", 0.1)
    with pytest.raises(UserError, match="local files"):
        prepare("planted", "memory://x", tmp_path / "out", 0.1)
    with pytest.raises(UserError, match=r"domain\.extre.*did you mean 'extra'"):
        prepare({"name": "planted", "extre": 1}, planted, tmp_path / "out", 0.1)


def test_report_json_is_what_prepare_returns(planted: Path, tmp_path: Path) -> None:
    report = made(planted, tmp_path / "out")
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
