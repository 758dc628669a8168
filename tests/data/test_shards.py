"""Shards: any block by its number, every held-out document, the same bytes again, damage named"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from litdata.streaming.dataset import StreamingDataset
from litdata.streaming.item_loader import TokensLoader

from packtrain.data import shards
from packtrain.data.manifest import Domain, Manifest, load_manifest, save_manifest, verify
from packtrain.data.shards import held_out_documents, open_blocks, write_shards
from packtrain.errors import Failure, UserError

DOCUMENTS = [([1, *range(3, 3 + i * 37 % 90), 2], 10) for i in range(100)]


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shards, "CHUNK_BYTES", 1000)  # several chunks
    return write(tmp_path / "pack")


def write(folder: Path, vocab_size: int = 4096) -> Path:
    train = write_shards(folder / "a" / "train", DOCUMENTS, vocab_size)
    held_out = write_shards(folder / "a" / "held_out", DOCUMENTS[:7], vocab_size)
    save_manifest(folder, Manifest(1, vocab_size, "ab" * 32, {}, {"a": Domain(train, held_out)}))
    return folder


def chunk(pack: Path) -> Path:
    return sorted((pack / "a" / "train").glob("*.bin"))[1]


@pytest.mark.parametrize("vocab_size", [4096, 65_536, 65_537])
def test_blocks_are_the_tokens_in_a_line_across_chunk_borders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocab_size: int
) -> None:
    monkeypatch.setattr(shards, "CHUNK_BYTES", 1000)
    pack = write(tmp_path / "pack", vocab_size)
    assert len(list((pack / "a" / "train").glob("*.bin"))) > 3
    line = [token for ids, _ in DOCUMENTS for token in ids]
    for length in (1, 16, 300):
        blocks = open_blocks(pack, "a", length)
        assert len(blocks) == (len(line) - 1) // length
        for i in range(len(blocks)):
            assert blocks[i].tolist() == line[i * length : i * length + length + 1]
    with pytest.raises(IndexError):
        open_blocks(pack, "a", 16)[10**9]


def test_held_out_documents_are_complete(pack: Path) -> None:
    assert [ids.tolist() for ids in held_out_documents(pack, "a")] == [ids for ids, _ in DOCUMENTS[:7]]


def test_litdata_itself_reads_the_shards(tmp_path: Path) -> None:
    pack = write(tmp_path / "pack")
    line = [token for ids, _ in DOCUMENTS for token in ids]
    dataset = StreamingDataset(str(pack / "a" / "train"), item_loader=TokensLoader(16), shuffle=False)
    read = [int(token) for i in range(len(dataset)) for token in dataset[i]]
    assert len(read) > 16 and read == line[: len(read)]


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path / "one"), write(tmp_path / "two")
    assert load_manifest(first).fingerprint == load_manifest(second).fingerprint
    for path in first.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path


def test_tokens_take_two_bytes_up_to_65536_pieces(tmp_path: Path) -> None:
    small = load_manifest(write(tmp_path / "small")).domains["a"].train
    large = load_manifest(write(tmp_path / "large", 65_537)).domains["a"].train
    sizes = [sum(f.bytes for name, f in split.files.items() if name.endswith(".bin")) for split in (small, large)]
    assert sizes[1] - sizes[0] == 2 * small.tokens


def test_a_truncated_shard_is_named(pack: Path) -> None:
    path = chunk(pack)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(Failure, match=f"{path.name}.*truncated") as error:
        open_blocks(pack, "a", 16)
    assert "\n" not in str(error.value)


def test_a_missing_shard_is_named(pack: Path) -> None:
    chunk(pack).unlink()
    with pytest.raises(Failure, match=r"chunk-0-1\.bin.*missing"):
        open_blocks(pack, "a", 16)


def test_changed_bytes_are_found_by_the_checksum(pack: Path) -> None:
    path = chunk(pack)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    verify(pack)
    with pytest.raises(Failure, match=f"{path.name}.*sha256"):
        verify(pack, checksums=True)


def test_a_damaged_index_is_named(pack: Path) -> None:
    path = pack / "a" / "train" / "index.json"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(Failure, match=r"index\.json.*damaged"):
        open_blocks(pack, "a", 16)


def test_a_header_that_does_not_fit_is_named(pack: Path) -> None:
    path = chunk(pack)
    path.write_bytes(b"\xff" * 4 + path.read_bytes()[4:])
    blocks = open_blocks(pack, "a", 16)
    with pytest.raises(Failure, match=f"{path.name}.*header"):
        [blocks[i] for i in range(len(blocks))]


def test_a_damaged_manifest_is_named(pack: Path) -> None:
    for text in ("{", "[]", json.dumps({"version": 1})):
        (pack / "manifest.json").write_text(text)
        with pytest.raises(Failure, match=r"manifest\.json.*damaged"):
            load_manifest(pack)


def test_no_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="packtrain pack"):
        load_manifest(tmp_path)


def test_an_unknown_domain_names_the_known(pack: Path) -> None:
    with pytest.raises(UserError, match=r"'b'.*known: a"):
        open_blocks(pack, "b", 16)
    with pytest.raises(UserError, match="known: a"):
        load_manifest(pack).check_weights({"a": 0.5, "b": 0.5})
    load_manifest(pack).check_weights({"a": 1.0, "b": 0.0})


def test_another_tokenizer_is_refused_with_both_fingerprints(pack: Path) -> None:
    with pytest.raises(UserError, match=r"cdcdcdcdcdcd.*abababababab"):
        load_manifest(pack).check_tokenizer("cd" * 32)
