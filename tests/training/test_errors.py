"""What a user can get wrong about a run: one line, the remedy, exit code 2, nothing written"""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.batch_tokens=250"], "no multiple of sequence_length × devices = 32 × 1; nearest: 256"),
        (["data.micro_batch=3"], "data.micro_batch=3 does not divide the 8 sequences"),
        (["data.micro_batch=3"], "nearest: 2"),
        (["optim.warmup_steps=20"], "is not shorter than the run of 20 steps; try optim.warmup_steps=2"),
        (["data.sequence_length=4096", "data.batch_tokens=4096", "data.micro_batch=1"], "is longer than the model's"),
        (["data.batch_tokens=32000", "data.tokens=320000"], "too few tokens for one batch"),
        (["data.sequence_length=2000", "data.batch_tokens=2000", "data.micro_batch=1", "+data.weights.c=1"],
         "the shards have no domain 'c'"),
        (["model.vocab_size=100"], "the shards' tokenizer has 64 pieces: set data.vocab_size=64"),
        (["data.path=nowhere"], "nowhere: no packed shards here"),
        (["data.tokens=100"], "data.tokens=100 is less than one batch: give at least data.batch_tokens=256"),
        (["name="], "expected the name of a folder inside runs_dir"),
        (["name=../evil"], "name=../evil: expected the name of a folder inside runs_dir"),
        (["name=/tmp/evil"], "expected the name of a folder inside runs_dir"),
        (["data.tokens=many"], "data.tokens='many': expected integer"),
        (["precision=fp8"], "precision=fp8"),
        (["device=cuda"], "device=cuda: this machine shows 0 CUDA devices; give device=cpu"),
        (["optim.learning_rate=-1"], "optim.learning_rate=-1: give a positive number"),
        (["callbacks.checkpointing.interval_tokens=-5"], "an interval of -5 tokens"),
        (["callbacks.carbon.pue=0.5"], "a facility uses at least what its computers use"),
        (["callbacks.carbon.puee=1.1"], "callbacks.carbon"),
        (["+data.weights.a=-1"], "data.weights.a=-1"),
        (["+data.weights.a=0"], "every weight is 0"),
        (["data.unique_tokens=31"], "data.unique_tokens=31: expected a sequence's tokens at least"),
        (["data.unique_tokens=1e7"], "lower it, or its weight"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_remedy(train, overrides: list[str], said: str) -> None:
    outcome = train(*overrides)
    assert outcome.code == 2, outcome.out + outcome.err
    assert said in outcome.err
    assert outcome.err.count("\n") == 1 and "Traceback" not in outcome.err
    assert not (outcome.run_dir / "checkpoints").exists()


def test_a_truncated_shard_is_named(train, pack: Path) -> None:
    shard = next((pack / "a" / "train").glob("*.bin"))
    shard.write_bytes(shard.read_bytes()[:-10])
    outcome = train()
    assert outcome.code == 1 and shard.name in outcome.err and "truncated" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_flipped_byte_in_a_shard_is_named(train, pack: Path) -> None:
    shard = next((pack / "b" / "train").glob("*.bin"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    outcome = train()
    assert outcome.code == 1 and shard.name in outcome.err and "shard is damaged" in outcome.err
    assert outcome.err.count("\n") == 1 and not outcome.run_dir.exists()


def test_a_tokenizer_that_is_not_the_shards_own_is_refused_by_its_fingerprint(train, pack: Path) -> None:
    (pack / "tokenizer.model").write_bytes(b"another")
    outcome = train()
    assert outcome.code == 2 and "is not the tokenizer that these shards were packed with" in outcome.err
    assert outcome.err.count("\n") == 1 and not outcome.run_dir.exists()


def test_a_domain_without_one_whole_sequence_is_named(train, tmp_path: Path) -> None:
    from tests.tiny import tiny_pack

    small = tiny_pack(tmp_path / "small", {"a": 6000, "b": 40})
    outcome = train(f"data.path={small}", "data.sequence_length=256", "data.batch_tokens=1024")
    assert outcome.code == 2 and "domain 'b' has" in outcome.err and "not one sequence of 256 + 1" in outcome.err
    assert train(f"data.path={small}", "+data.weights.a=1", "+data.weights.b=0", name="without").code == 0


def test_weights_that_do_not_sum_to_one_are_normalised_and_it_is_said(train) -> None:
    outcome = train("+data.weights.a=3", "+data.weights.b=1")
    assert outcome.code == 0 and "data.weights sum to 4; normalised to one" in outcome.out
