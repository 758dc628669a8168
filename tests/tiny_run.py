"""A run folder of a model that was never trained: what a test of evaluate or generate needs, without training"""

from __future__ import annotations

from pathlib import Path

import sentencepiece
import torch
import yaml
from safetensors.torch import save_file

from packtrain.checkpoint.directory import checkpoint_path, commit
from packtrain.checkpoint.load import model_to_meta
from packtrain.data.manifest import Domain, Manifest, load_manifest, save_manifest
from packtrain.data.shards import write_shards
from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.tokenizer.tokenizer import Tokenizer

TEXTS = {
    "code": [f"def f{i}(x):\r\n    return x * {i}\n" for i in range(12)],
    "prose": ["Ünïcödé \U0001f999 packs tokens.", " leading and trailing ", "a\tb\0c"],
}
LENGTH = 16


def make_tokenizer(path: Path, extra: str = "", vocab_size: int = 330) -> Tokenizer:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([extra, *(text.replace("\0", "") for texts in TEXTS.values() for text in texts)]),
        model_prefix=str(path.with_suffix("")), model_type="bpe", vocab_size=vocab_size, byte_fallback=True,
        split_digits=True, hard_vocab_limit=False, normalization_rule_name="identity", minloglevel=2,
        remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
    )  # fmt: skip
    return Tokenizer(path)


def make_pack(folder: Path, tokenizer: Tokenizer) -> Path:
    domains = {}
    for name, texts in TEXTS.items():
        items = [([1, *tokenizer.encode(text), 2], len(text.encode())) for text in texts]
        splits = {s: write_shards(folder / name / s, items, tokenizer.vocab_size) for s in ("train", "held_out")}
        domains[name] = Domain(**splits)
    (folder / "tokenizer.model").write_bytes(Path(tokenizer.path).read_bytes())
    save_manifest(folder, Manifest(1, tokenizer.vocab_size, tokenizer.fingerprint, {}, domains))
    return folder


def make_run(tmp_path: Path) -> Path:
    """tmp_path/runs/tiny: one checkpoint over the pack in tmp_path/shards, weights code : prose = 3 : 1."""
    torch.set_num_threads(1)
    tokenizer = make_tokenizer(tmp_path / "tokenizer.model")
    pack = make_pack(tmp_path / "shards", tokenizer)
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    (folder / "tokenizer.model").write_bytes((tmp_path / "tokenizer.model").read_bytes())
    data = {"path": str(pack), "weights": {"code": 3.0, "prose": 1.0}, "sequence_length": LENGTH}
    (folder / "config.yaml").write_text(yaml.safe_dump({"name": "tiny", "data": data}))
    add_checkpoint(folder, 10, tokenizer.vocab_size, load_manifest(pack))
    return folder


def add_checkpoint(folder: Path, step: int, vocab_size: int, manifest: Manifest) -> Path:
    config = ModelConfig(dim=32, n_layers=1, n_heads=2, vocab_size=vocab_size, max_sequence_length=64)
    model = Llama(config)
    initialise(model, seed=step)
    meta = {
        "model": model_to_meta(config), "step": step, "tokens": step * 64,
        "data_fingerprint": manifest.fingerprint, "tokenizer_fingerprint": manifest.tokenizer_fingerprint,
    }  # fmt: skip
    path = checkpoint_path(folder, step)
    commit(path, lambda where: save_file(dict(model.state_dict()), where / "model.safetensors"), meta)
    return path
