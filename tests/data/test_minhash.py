"""MinHash as a step of any domain: near copies go, the first stays, and as often as the theory of it says"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from packtrain.data import hash_ranges
from packtrain.data.documents import document_files, read_documents
from packtrain.data.minhash import MinHash
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.data.run_steps import units_of
from packtrain.data.shingles import shingles
from packtrain.errors import UserError

ON = MinHash(bands=14)


def text(chance: random.Random, words: int = 300) -> str:
    return " ".join(f"w{chance.randrange(5000)}" for _ in range(words))


def changed(chance: random.Random, text: str, words: int) -> str:
    found = text.split()
    for at in chance.sample(range(len(found)), words):
        found[at] = f"new{chance.randrange(10**6)}"
    return " ".join(found)


def test_pairs_share_a_bucket_as_often_as_broders_formula_says() -> None:
    chance, found, expected = random.Random(4), [], []
    for number in range(600):
        one = text(chance, 120)
        two = changed(chance, one, 1 + number % 8)
        a, b = shingles(one), shingles(two)
        alike = len(np.intersect1d(a, b)) / len(np.union1d(a, b))
        expected.append(1 - (1 - alike**8) ** 14)
        found.append((ON.buckets(one) == ON.buckets(two)).any())
    sigma = float(np.sqrt(sum(p * (1 - p) for p in expected)))
    assert 0.2 < np.mean(expected) < 0.8
    assert abs(sum(found) - sum(expected)) < 4 * sigma
    assert not (ON.buckets(text(chance)) == ON.buckets(text(chance))).any() and not len(ON.buckets(" — "))


@pytest.mark.parametrize(("processes", "size"), [(0, 1 << 28), (0, 3000), (2, 3000)])
def test_near_copies_go_from_any_domain_and_the_first_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, size: int
) -> None:
    monkeypatch.setattr("packtrain.data.prepare.units_of", lambda files, sizes: units_of(files, sizes, 1))
    monkeypatch.setattr(hash_ranges, "SHARD_BYTES", size)
    chance = random.Random(9)
    texts = [text(chance) for _ in range(40)]
    texts += [changed(chance, texts[7], 2), texts[8].upper() + "!", changed(chance, texts[9], 200)]
    source = tmp_path / "in"
    source.mkdir()
    for file, part in enumerate((texts[:20], texts[20:])):
        lines = [json.dumps({"text": line, "id": f"{file}-{i}"}) for i, line in enumerate(part)]
        (source / f"{file}.jsonl").write_text("\n".join(lines))
    report = prepare("text", source, tmp_path / "out", 0.2, options=PrepareOptions(processes=processes, minhash=ON))
    assert report["dropped"] == {"near duplicate": 2} and report["steps"][-1]["name"] == "minhash"
    kept = {document.text for document in read_documents(document_files([tmp_path / "out"]))}
    assert kept == {line for i, line in enumerate(texts) if i not in (40, 41)}
    assert report["settings"]["steps"] == [{"name": "minhash", "bands": 14, "rows": 8}]


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prepare\.minhash: bands=-1, rows=8; expected bands=14"):
        MinHash(bands=-1)
    with pytest.raises(UserError, match=r"prepare\.minhash: domain=unicode is made as a whole, without steps"):
        prepare("unicode", None, tmp_path / "out", 0.1, options=PrepareOptions(minhash=ON))
