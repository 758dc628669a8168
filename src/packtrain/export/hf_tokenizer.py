"""tokenizer.model ─→ tokenizer.json, tokenizer_config.json, special_tokens_map.json: the same ids in Hugging Face

SentencePiece merges the neighbours whose union has the best score; `tokenizers` merges by a list of pairs: each way to
cut a piece in two pieces, in the order of the scores, says the same. SentencePiece writes a space as ▁, and a real ▁
would read as a space; here pieces hold the space itself, so a real ▁ is unknown and is spelled in its bytes, as
`packtrain.tokenizer` spells it. Text that looks like a control token stays text (`split_special_tokens`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import sentencepiece

SPACE = "\u2581"


def write_tokenizer(model: Path, folder: Path, max_length: int) -> None:
    """Writes what `AutoTokenizer.from_pretrained(folder)` reads, and the SentencePiece model itself beside it."""
    values = tokenizer_json(model)
    _write(folder / "tokenizer.json", values)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    _write(folder / "special_tokens_map.json", names)
    _write(
        folder / "tokenizer_config.json",
        {
            **names,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": True,
            "add_eos_token": False,
            "split_special_tokens": True,
            "clean_up_tokenization_spaces": False,
            "model_max_length": max_length,
        },
    )
    shutil.copyfile(model, folder / "tokenizer.model")


def tokenizer_json(model: Path) -> dict[str, Any]:
    """The description that the `tokenizers` library builds its BPE from."""
    sp: Any = sentencepiece.SentencePieceProcessor()
    sp.LoadFromSerializedProto(model.read_bytes())
    size = sp.vocab_size()
    pieces = [sp.id_to_piece(i).replace(SPACE, " ") for i in range(size)]
    ordinary = {pieces[i]: i for i in range(size) if not (sp.is_control(i) or sp.is_unknown(i) or sp.is_byte(i))}
    specials = [
        {
            "id": i, "content": pieces[i], "special": True, "normalized": False, "single_word": False, "lstrip": False,
            "rstrip": False,
        }
        for i in range(size)
        if sp.is_control(i) or sp.is_unknown(i)
    ]  # fmt: skip
    bos = pieces[sp.bos_id()]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": specials,
        "normalizer": {"type": "Prepend", "prepend": " "},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                {"SpecialToken": {"id": bos, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": bos, "type_id": 1}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {bos: {"id": bos, "ids": [sp.bos_id()], "tokens": [bos]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": pieces[sp.unk_id()],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": merges(ordinary, {i: sp.get_score(i) for i in ordinary.values()}),
        },
    }


def merges(pieces: dict[str, int], scores: dict[int, float]) -> list[list[str]]:
    """Every pair of pieces whose union is a piece, best score first; the pairs of one union by their ids."""
    found = []
    for piece, i in pieces.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in pieces and right in pieces:
                found.append((-scores[i], pieces[left], pieces[right], left, right))
    return [[left, right] for *_, left, right in sorted(found)]


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
