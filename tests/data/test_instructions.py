"""Files of instructions → conversations → ids whose prompts do not count → packed rows"""

import json
import os
from pathlib import Path
from threading import Thread

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from packtrain.data.instructions.config import InstructionConfig
from packtrain.data.instructions.packing import best_fit
from packtrain.data.instructions.read import read_instructions
from packtrain.data.instructions.shards import DOMAIN, encode, ensure_instruction_shards
from packtrain.data.manifest import load_manifest
from packtrain.data.masked import counted, ids, is_masked
from packtrain.data.shards import held_out_documents, open_blocks
from packtrain.errors import UserError
from packtrain.model.layout import document_lengths
from packtrain.tokenizer.template import ChatTemplate
from packtrain.tokenizer.tokenizer import Tokenizer
from tests.tiny_run import make_tokenizer

DATA = Path(os.environ.get("PACKTRAIN_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SEED = DATA / "eval" / "self_instruct_seed" / "seed_tasks.jsonl"
PLAIN = ChatTemplate("plain", user="{content}\n")
MARKED = ChatTemplate("marked", "[{content}]", "<{content}>", "{instruction} | {input}", "=", ";")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.model")


def file(folder: Path, *rows: object, name: str = "some.jsonl") -> InstructionConfig:
    path = folder / name
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return InstructionConfig(str(path), held_out=0.0)


ROWS = {
    "alpaca": ({"instruction": "Add", "input": "1, 2", "output": "3"}, [("user", "Add | 1, 2"), ("assistant", "3")]),
    "alpaca without an input": ({"instruction": "Go", "output": "Ok"}, [("user", "Go"), ("assistant", "Ok")]),
    "prompt": ({"prompt": "Go", "completion": "Ok"}, [("user", "Go"), ("assistant", "Ok")]),
    "self_instruct": (
        {"instruction": "Add", "instances": [{"input": "1", "output": "2"}]},
        [("user", "Add | 1"), ("assistant", "2")],
    ),
    "chat": (
        {
            "messages": [
                {"role": "system", "content": "Be kind"},
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": "c"},
                {"role": "assistant", "content": "d"},
            ]
        },
        [("system", "Be kind"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
    ),
}


@pytest.mark.parametrize("kind", ROWS)
def test_each_format_is_found_by_its_fields(tmp_path: Path, kind: str) -> None:
    row, turns = ROWS[kind]
    found = read_instructions(file(tmp_path, row), MARKED)
    assert found.format == kind.split()[0] and found.conversations == [turns]
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps([row]))
    assert read_instructions(InstructionConfig(str(listed)), MARKED).conversations == [turns]


def test_parquet_is_read_as_json_lines_are(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    for name in ("alpaca", "chat", "self_instruct"):
        row, turns = ROWS[name]
        parquet.write_table(arrow.Table.from_pylist([row]), tmp_path / f"{name}.parquet")
        found = read_instructions(InstructionConfig(str(tmp_path / f"{name}.parquet")), MARKED)
        assert (found.format, found.conversations) == (name, [turns])


def test_a_parquet_row_that_is_no_utf_8_is_refused_or_left_out(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    ends, text = (arrow.py_buffer(data) for data in (b"\0\0\0\0\1\0\0\0\2\0\0\0", b"a\xff"))
    asked = arrow.StringArray.from_buffers(2, ends, text)
    parquet.write_table(arrow.table({"prompt": asked, "completion": ["x", "y"]}), tmp_path / "odd.parquet")
    with pytest.raises(UserError, match=r"odd.parquet, row 2: not UTF-8 text; get the file anew or mend the row"):
        read_instructions(InstructionConfig(str(tmp_path / "odd.parquet")), PLAIN)
    found = read_instructions(InstructionConfig(str(tmp_path / "odd.parquet"), bad_rows="drop"), PLAIN)
    assert found.conversations == [[("user", "a"), ("assistant", "x")]] and len(found.bad) == 1


GOOD = {"instruction": "Go", "output": "Ok"}
BAD = {
    "no output": ({"instruction": "Go"}, "some.jsonl:2: has no 'output' .format alpaca"),
    "empty": ({"instruction": "Go", "output": " \n"}, r"some.jsonl:2: the response \('output'\) is empty"),
    "number": ({"instruction": "Go", "output": 4}, "some.jsonl:2: 'output' is int, expected text"),
    "no JSON": ('{"instruction": ', "some.jsonl:2: no JSON"),
    "a list": ("[1]", "some.jsonl:2: expected an object"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_refused_with_its_line_or_left_out_and_counted(tmp_path: Path, kind: str) -> None:
    row, said = BAD[kind]
    config = file(tmp_path, GOOD, row, GOOD)
    with pytest.raises(UserError, match=said):
        read_instructions(config, PLAIN)
    found = read_instructions(InstructionConfig(config.path, bad_rows="drop"), PLAIN)
    assert len(found.conversations) == 2 and len(found.bad) == 1 and "some.jsonl:2" in found.bad[0]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (r'{"prompt": "a", "completion": "\ud800"}', "element 2 holds half a character"),
        ("3", "element 2 is no object"),
        (f"{'[' * 100_000}", "some.json:1: no JSON"),
    ],
)
def test_a_bad_element_of_a_list_is_refused_or_left_out(tmp_path: Path, bad: str, said: str) -> None:
    config = file(tmp_path, f"[{json.dumps(GOOD)}, {bad}]", name="some.json")
    with pytest.raises(UserError, match=said):
        read_instructions(config, PLAIN)
    dropping = InstructionConfig(config.path, bad_rows="drop")
    if bad.startswith("[["):
        with pytest.raises(UserError, match=said):
            read_instructions(dropping, PLAIN)
    else:
        found = read_instructions(dropping, PLAIN)
        assert len(found.conversations) == 1 and said in found.bad[0]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([("user", "a")], "the last turn is not the assistant's"),
        ([("user", "a"), ("user", "b")], "turn 2: is the user's, expected the assistant's"),
        ([("assistant", "a")], "turn 1: is the assistant's, expected the system or user's"),
        ([("user", "a"), ("robot", "b")], "turn 2: role 'robot' is none of system, user, assistant"),
        ([("user", "a"), ("assistant", "")], "turn 2: the response .'content'. is empty"),
        ([], "'messages' is no list of turns"),
    ],
)
def test_a_conversation_out_of_order_is_refused(tmp_path: Path, messages, said: str) -> None:
    row = {"messages": [{"role": role, "content": content} for role, content in messages]}
    with pytest.raises(UserError, match=f"some.jsonl:1.*{said}"):
        read_instructions(file(tmp_path, row), PLAIN)


def test_a_file_that_is_none_and_one_of_no_known_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.path=none.jsonl: no such file"):
        read_instructions(InstructionConfig("none.jsonl"), PLAIN)
    with pytest.raises(UserError, match="has the fields question, answer, which are of no known format"):
        read_instructions(file(tmp_path, {"question": "a", "answer": "b"}), PLAIN)
    with pytest.raises(UserError, match="holds no instruction; the first of 1 bad rows"):
        read_instructions(InstructionConfig(file(tmp_path, "{}").path, bad_rows="drop"), PLAIN)


def test_braces_in_words_stay_what_they_are() -> None:
    assert MARKED.joined("{input}", "{instruction}") == "{input} | {instruction}"
    assert MARKED.segments([("user", "{content}")]) == [("<{content}>=", False)]
    with pytest.raises(UserError, match=r"expected \{content\} in it, once"):
        ChatTemplate("x", user="nothing")


def test_only_the_assistants_words_and_their_end_count(tokenizer: Tokenizer) -> None:
    turns = ROWS["chat"][0]["messages"]
    found = MARKED.encode(tokenizer, [(turn["role"], turn["content"]) for turn in turns])
    plain = [~token if token < 0 else token for token in found]
    expected = [tokenizer.bos_id, *tokenizer.encode("[Be kind]<a>="), *tokenizer.encode("b"), tokenizer.eos_id]
    expected += [*tokenizer.encode(";<c>="), *tokenizer.encode("d"), tokenizer.eos_id]
    assert plain == expected
    assert [token for token in found if token >= 0] == [
        *tokenizer.encode("b"), tokenizer.eos_id, *tokenizer.encode("d"), tokenizer.eos_id,
    ]  # fmt: skip
    assert MARKED.prompt(tokenizer, [("user", "a")]) == tokenizer.encode("<a>=")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_rows_hold_every_example_once_and_never_too_much(lengths: list[int]) -> None:
    rows = best_fit(lengths, 40)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= 40 for row in rows)
    half_empty = [row for row in rows if sum(lengths[number] for number in row) <= 20]
    assert len(half_empty) <= 1


def test_an_example_longer_than_a_row_is_cut_or_dropped_and_counted(tmp_path: Path, tokenizer: Tokenizer) -> None:
    words = [("user", "hi"), ("assistant", "word " * 30)]
    unanswered = [("user", "long " * 40), ("assistant", "yes")]
    short = [("user", "hi"), ("assistant", "yes")]
    cut = encode([words, unanswered, short], tokenizer, PLAIN, 24, "cut")
    assert (cut.cut, cut.dropped, len(cut.examples[0])) == (1, 1, 24)  # nothing of `yes` was left
    assert cut.examples[0][-1] >= 0
    dropped = encode([words, unanswered, short], tokenizer, PLAIN, 24, "drop")
    assert (dropped.cut, dropped.dropped, len(dropped.examples)) == (0, 2, 1)
    with pytest.raises(UserError, match=r"every one of 1 examples is longer than data.sequence_length=24"):
        encode([words], tokenizer, PLAIN, 24, "drop")
    with pytest.raises(UserError, match=r"what is asked is longer than .*=24 in every one of 1 examples: raise it$"):
        encode([unanswered], tokenizer, PLAIN, 24, "cut")
    said: list[str] = []
    rows = [{"prompt": a, "completion": b} for (_, a), (_, b) in (words, short)]
    ensure_instruction_shards(file(tmp_path, *rows), tokenizer, PLAIN, 24, tmp_path, said.append)
    assert "2 examples in 2 rows of 24" in said[0] and "1 longer than a row cut" in said[0]


def test_a_pack_s_blocks_are_its_rows_and_what_is_asked_twice_is_not_both_trained_and_held_out(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    rows = [{"prompt": f"number {n % 10}", "completion": f"is {n}"} for n in range(30)]
    config = InstructionConfig(file(tmp_path, *rows).path, held_out=0.2)
    said: list[str] = []
    pack = ensure_instruction_shards(config, tokenizer, PLAIN, 48, tmp_path / "data", said.append)
    manifest = load_manifest(pack)
    made = manifest.settings["made"]
    assert is_masked(manifest) and made["train"] + made["held_out"] == 30 and made["held_out"] in (6, 9)
    blocks = open_blocks(pack, DOMAIN, 48)
    assert len(blocks) == made["rows"]
    seen: list[str] = []
    for number in range(len(blocks)):
        row = blocks[number][None]
        inputs = ids(row)[0, :-1]
        assert int(inputs[0]) == tokenizer.bos_id and int(row[0, -1]) < 0  # no target reaches into the next row
        for document in inputs.split(list(document_lengths(inputs[None])[0])):
            seen.append(tokenizer.decode(document.tolist()))
        written = ids(row)[0, 1:][counted(row)]
        assert int((written == tokenizer.eos_id).sum()) == int((inputs == tokenizer.bos_id).sum())
    assert len(seen) == made["train"]
    held = [tokenizer.decode(ids(document).tolist()) for document in held_out_documents(pack, DOMAIN)]
    assert not {text.split("\n")[0] for text in seen} & {text.split("\n")[0] for text in held}
    times = [path.stat().st_mtime_ns for path in sorted(pack.rglob("*"))]
    assert ensure_instruction_shards(config, tokenizer, PLAIN, 48, tmp_path / "data", said.append) == pack
    assert times == [path.stat().st_mtime_ns for path in sorted(pack.rglob("*"))]
    other = ensure_instruction_shards(config, tokenizer, MARKED, 48, tmp_path / "data", said.append)
    assert other != pack


@pytest.mark.skipif(not SEED.is_file(), reason=f"no {SEED}; set PACKTRAIN_TEST_DATA")
def test_the_seed_tasks_of_self_instruct_are_read_whole() -> None:
    found = read_instructions(InstructionConfig(str(SEED)), PLAIN)
    assert found.format == "self_instruct" and len(found.conversations) == 175 and not found.bad


def test_the_running_python_is_a_set_of_instructions() -> None:
    found = read_instructions(InstructionConfig("python"), PLAIN)
    turns = {asked: answer for (_, asked), (_, answer) in found.conversations}
    assert len(turns) > 2000 and not found.bad
    assert turns["How is the function shutil.copy called?"].startswith("copy(src, dst")
    assert turns["What does the function textwrap.dedent do?"].startswith("Remove any common leading whitespace")
    assert found.sha256 == read_instructions(InstructionConfig("python"), PLAIN).sha256


def test_padding_and_prompts_are_complements(tokenizer: Tokenizer) -> None:
    line = torch.tensor([[~1, ~7, 5, 2, ~2, ~2]])
    assert ids(line).tolist() == [[1, 7, 5, 2, 2, 2]] and counted(line).tolist() == [1, 2]


def test_rank_0_of_several_packs_alone(tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for the pack; the library would have waited for their chunks, for ever."""
    alone = ensure_instruction_shards(file(tmp_path, GOOD), tokenizer, PLAIN, 24, tmp_path / "alone", lambda _: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    made: list[Path] = []
    config = file(tmp_path, GOOD)
    packing = Thread(
        target=lambda: made.append(
            ensure_instruction_shards(config, tokenizer, PLAIN, 24, tmp_path / "two", lambda _: None)
        ),
        daemon=True,
    )
    packing.start()
    packing.join(30)
    assert made and load_manifest(made[0]).fingerprint == load_manifest(alone).fingerprint
