"""copies of evaluation sets in documents: found with white space, case and punctuation changed; reported or dropped"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from packtrain.cli import main
from packtrain.data.documents import Document, DocumentWriter, read_documents
from packtrain.data.ngrams import Hasher, read_evaluations
from tests.data.corpus import text

QUESTION = ("A baker has thirty-seven loaves, sells nine of them before noon and gives five to a neighbour; how many "
            "are left on the shelf in the evening?")  # fmt: skip
CODE = "def has_close_elements(numbers, threshold):\n    for i, a in enumerate(numbers):\n        return a < threshold"
PLANTED = {
    "as it is": f"Some page. {QUESTION} The answer is 23.",
    "white space": QUESTION.replace(" ", "\n\t "),
    "case": QUESTION.upper(),
    "punctuation": QUESTION.replace(",", " -").replace(";", "").replace("-", " "),
    "full width": QUESTION.replace("baker", "ｂａｋｅｒ"),
    "inside": f"{text(3, 200)} {QUESTION.lower()} {text(4, 200)}",
    "code": f"# found on the web\n{CODE}\n",
}
INNOCENT = {
    "twelve words": " ".join(QUESTION.split()[:11]),
    "other order": " ".join(sorted(QUESTION.split())),
    "one word changed in each dozen": " ".join(w if i % 9 else "x" for i, w in enumerate(QUESTION.split())),
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "maths.jsonl").write_text(json.dumps({"question": QUESTION, "answer": ["23"]}) + "\n")
    with gzip.open(tmp_path / "eval" / "code.jsonl.gz", "wt") as file:
        file.write(json.dumps({"prompt": {"text": CODE}}) + "\n")
    (tmp_path / "eval" / "SOURCE.md").write_text(text(7, 300))
    for domain in ("a", "b"):
        with DocumentWriter(tmp_path / "documents" / domain) as writer:
            for name, words in {**PLANTED, **INNOCENT, **{f"other {i}": text(i, 60) for i in range(20)}}.items():
                split = "held_out" if name in ("case", "other 3") else "train"
                writer.write(Document(f"{domain}/{name}", words, domain, "made up", split=split))
    return tmp_path


def command(base: Path, output: str, *more: str) -> int:
    return main(["data", "decontaminate", f"input={base / 'documents'}", f"evaluations={base / 'eval'}",
                 f"output={base / output}", "processes=0", *more])  # fmt: skip


def test_planted_copies_are_found_and_nothing_else(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(base, "out") == 0
    printed = capsys.readouterr().out
    assert (
        "14 of 60 documents (23.333%) hold 13 words in a row of 2 evaluation files; reported, none dropped" in printed
    )
    assert "1 of 3 texts are under 13 words and cannot be found" in printed
    found = [json.loads(line) for line in (base / "out" / "contaminated.ndjson").read_text().splitlines()]
    assert {one["id"] for one in found} == {f"{d}/{name}" for d in ("a", "b") for name in PLANTED}
    assert all(one["evaluation"] == ("code.jsonl.gz" if "code" in one["id"] else "maths.jsonl") for one in found)
    assert next(one for one in found if one["id"] == "a/case")["words"].startswith("a baker has thirty seven loaves")
    summary = json.loads((base / "out" / "contamination.json").read_text())
    assert summary["by_evaluation"] == {"maths.jsonl": 12, "code.jsonl.gz": 2}
    assert not list((base / "out").rglob("*.zst"))


def test_asked_to_it_leaves_them_out_and_the_rest_is_as_it_was(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(base, "out", "drop=true") == 0
    before = {document.id: document for document in read_documents(base / "documents")}
    after = {document.id: document for document in read_documents(base / "out")}
    assert before.keys() - after.keys() == {f"{d}/{name}" for d in ("a", "b") for name in PLANTED}
    assert all(before[identity] == document for identity, document in after.items())
    names = [p.relative_to(base / "out").as_posix() for p in (base / "out").rglob("*.zst")]
    assert sorted(names) == [f"{d}/{s}-00000.jsonl.zst" for d in ("a", "b") for s in ("held_out", "train")]
    capsys.readouterr()
    assert command(base, "out", "drop=true") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert command(base, "out") == 2
    assert "made with other settings (drop True → False)" in capsys.readouterr().err


def test_two_processes_find_the_same(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from packtrain.data.run_steps import units_of

    monkeypatch.setattr("packtrain.data.decontaminate.units_of", lambda files, sizes: units_of(files, sizes, 1))
    for output, processes in (("one", 1), ("two", 2)):
        assert command(base, output, "drop=true", f"processes={processes}") == 0
    trees = [
        {p.relative_to(base / o).as_posix(): p.read_bytes() for p in (base / o).rglob("*") if p.is_file()}
        for o in ("one", "two")
    ]
    assert trees[0] == trees[1]


def test_the_report_beside_the_documents_tells_what_was_taken_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, words in {**PLANTED, **INNOCENT}.items():
        (tmp_path / "in" / f"{name}.txt").write_text(words)
    (tmp_path / "eval.json").write_text(json.dumps([{"question": QUESTION}, {"code": CODE}]))
    documents, clean = tmp_path / "documents", tmp_path / "clean"
    assert main(["prepare", f"input={tmp_path / 'in'}", f"output={documents}", "held_out=0.2"]) == 0
    arguments = [f"input={documents}", f"evaluations={tmp_path / 'eval.json'}", f"output={clean}", "drop=true"]
    assert main(["data", "decontaminate", *arguments]) == 0
    report = json.loads((clean / "report.json").read_text())
    left = list(read_documents(clean))
    assert report["kept"] == len(left) == sum(counts["documents"] for counts in report["splits"].values())
    assert report["bytes"] == sum(len(document.text.encode()) for document in left)
    assert report["steps"][-1]["name"] == "decontaminate" and report["read"] == report["kept"] + sum(
        report["dropped"].values()
    )
    assert main(["report", f"documents={clean}", f"output={tmp_path / 'page.html'}"]) == 0


def test_what_cannot_be_compared_is_one_line(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (base / "empty").mkdir()
    (base / "bad.jsonl").write_text("{")
    (base / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "whole"}' * 99)[:-9])
    (base / "deep.json").write_text("[" * 100_000)
    for given, message in (
        ("nowhere", "evaluations={}: no such file or directory"),
        ("empty", "evaluations={}: no evaluation sets here; expected .jsonl"),
        ("bad.jsonl", "evaluations: bad.jsonl cannot be read"),
        ("cut.jsonl.gz", "evaluations: cut.jsonl.gz cannot be read"),
        ("deep.json", "evaluations: deep.json cannot be read"),
    ):
        assert command(base, "out", f"evaluations={base / given}") == 2
        assert message.format(base / given) in capsys.readouterr().err
    assert command(base, "out", "words=0") == 2
    assert "words=0: expected at least 1" in capsys.readouterr().err


def test_a_json_may_hold_a_value_a_line(tmp_path: Path) -> None:
    """As MATH's test.json does."""
    for name, values in (("one", '["a b c", {"x": "d e f"}]'), ("lines", '{"x": "a b c"}\n\n {"x": "d e f"}\n')):
        (tmp_path / f"{name}.json").write_text(values)
        found = read_evaluations((str(tmp_path / f"{name}.json"),), Hasher(3))
        assert found.texts == 2 and len(found.grams) == 2, name


def test_the_sets_of_the_paper_are_read_whole() -> None:
    places = [Path(os.environ.get("PACKTRAIN_TEST_DATA", "../shared/data")) / "eval"]
    if not places[0].is_dir():
        pytest.skip("no evaluation sets here; set PACKTRAIN_TEST_DATA")
    gsm = read_evaluations((str(places[0] / "gsm8k"), str(places[0] / "humaneval")), Hasher())
    assert gsm.texts > 2 * (1319 + 500) and len(gsm.grams) > 100_000 and len(gsm.files) == 5
