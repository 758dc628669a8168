"""Documents come back as they were written, in the same bytes each time; a damaged file names itself and the line"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from packtrain.data.documents import Document, DocumentWriter, document_files, read_documents, split_of
from packtrain.data.publish import publish
from packtrain.errors import Failure, UserError

ALL = [
    Document("1", 'a\r\n\u2028\x85 \0 ▁ 😀 "quoted"\\', "d", "s", "http://x", "en", "MIT", "train", {"k": [1]}),
    Document("2", "", "d", "s", split="held_out"),
    Document("3", "no split", "d", "s"),
]


def write(folder: Path) -> Path:
    with DocumentWriter(folder) as writer:
        for document in ALL:
            writer.write(document)
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path)
    names = ["documents-00000.jsonl.zst", "held_out-00000.jsonl.zst", "train-00000.jsonl.zst"]
    assert [path.name for path in document_files(folder)] == names
    assert sorted(read_documents(folder), key=lambda d: d.id) == ALL


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_a_new_file_is_begun_when_one_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packtrain.data.documents.FILE_CHARACTERS", 100)
    with DocumentWriter(tmp_path) as writer:
        for i in range(10):
            writer.write(Document(str(i), "x" * 40, "d", "s", split="train"))
    assert len(document_files(tmp_path)) > 2
    assert [d.id for d in read_documents(tmp_path)] == [str(i) for i in range(10)]


def test_plain_lines_with_nothing_but_text_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "x.jsonl"
    path.parent.mkdir()
    path.write_text('{"text": "hello", "score": 3}\n\n{"text": "again", "id": 7}')
    first, second = read_documents(path)
    assert (first.text, first.id, first.domain, first.metadata) == ("hello", "x.jsonl:1", "mine", {"score": 3})
    assert (second.text, second.id) == ("again", "7")


@pytest.mark.parametrize(
    "line", ["{", '"text"', "{}", '{"text": 1}', '{"text": "x", "split": "dev"}', '{"text": "\xff"}']
)
def test_a_wrong_line_is_named_with_its_file(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "fine"}\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(UserError, match=r"x\.jsonl: line 2 ") as error:
        list(read_documents(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_truncated_file_is_a_failure_that_names_it(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "x.jsonl.zst"
    lines = "".join(json.dumps({"text": str(i) * 50}) + "\n" for i in range(5000))
    data = zstandard.compress(lines.encode())
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(Failure, match=r"x\.jsonl\.zst.*line"):
        list(read_documents(path))


def test_several_zstd_frames_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(zstandard.compress(b'{"text": "one"}\n{"te') + zstandard.compress(b'xt": "two"}\n'))
    assert [d.text for d in read_documents(path)] == ["one", "two"]


def test_missing_and_empty_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        document_files(tmp_path / "none")
    with pytest.raises(UserError, match="packtrain prepare"):
        document_files(tmp_path)


def test_the_split_is_stable_and_a_larger_share_keeps_the_smaller() -> None:
    names = [f"name {i}" for i in range(5000)]
    small, large = ({n for n in names if split_of(n, share) == "held_out"} for share in (0.05, 0.2))
    assert small < large and len(small) / 5000 == pytest.approx(0.05, abs=0.01)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(RuntimeError), publish(output) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with publish(output) as folder:
        (folder / "first").write_text("x")
        assert not output.exists()
    with pytest.raises(RuntimeError), publish(output):
        raise RuntimeError
    assert (output / "first").exists(), "what was there stays when its replacement fails"
    with publish(output) as folder:
        (folder / "second").write_text("x")
    assert [path.name for path in output.iterdir()] == ["second"] and len(list(tmp_path.iterdir())) == 1


def test_the_broken_lines_of_a_users_jsonl_are_dropped_and_counted_by_reason(tmp_path: Path) -> None:
    from packtrain.data.domains import text
    from packtrain.data.step import Skips

    lines = ['{"text": "one whole line of text"}', "{broken", '{"text": null}', r'{"text": "half \ud800"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    skips = Skips()
    found = list(text.read(tmp_path / "a.jsonl", "a.jsonl", text.Parameters(), skips))
    assert "".join(d.text for d in found) == "one whole line of text"
    assert skips.counts == {"line is not JSON": 1, "line has no text": 1, "line is not Unicode": 1}
