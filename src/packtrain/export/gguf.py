"""ours ─→ model-<type>.gguf: one file for llama.cpp, in F32, F16, Q8_0 or Q4_0, with the SentencePiece vocabulary

llama.cpp turns neighbouring dimensions as Meta does, so no row moves. In Q4_0 the embedding and the output matrix are
kept in Q8_0, where an error touches every token (llama.cpp's own files keep them finer too). A matrix whose rows are no
multiple of 32 cannot be cut into blocks and stays in F16. The layout and the quantisation are those of the `gguf`
package, llama.cpp's own (https://github.com/ggml-org/llama.cpp/tree/master/gguf-py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import sentencepiece
import torch
from torch import Tensor

from packtrain.errors import UserError
from packtrain.export.shapes import LAYER_PARTS, Tensors, tensor_shapes
from packtrain.export.stream import said_as_os_error
from packtrain.model.config import ModelConfig

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter

GGUFType = Literal["f32", "f16", "q8_0", "q4_0"]
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7}  # llama_ftype in llama.h
BLOCK = 32  # numbers that share one scale
GGUF_LAYER_PARTS = dict(
    zip(
        LAYER_PARTS,
        ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_down", "ffn_up"),
        strict=True,
    )
)
GGUF_ENDS = {"tok_embeddings.weight": "token_embd", "norm.weight": "output_norm", "output.weight": "output"}
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # kinds of tokens


def gguf_name(name: str) -> str:
    """layers.3.attention.wq.weight → blk.3.attn_q.weight"""
    if name in GGUF_ENDS:
        return f"{GGUF_ENDS[name]}.weight"
    _, i, part = name.split(".", 2)
    return f"blk.{i}.{GGUF_LAYER_PARTS[part]}.weight"


def library() -> Any:
    try:
        import gguf
    except ImportError:
        raise UserError("format=gguf needs the package gguf: pip install 'packtrain[export]'") from None
    return gguf


def type_of(name: str, shape: tuple[int, ...], kind: GGUFType) -> GGMLQuantizationType:
    """How one tensor is stored in a file of type `kind`."""
    types = library().GGMLQuantizationType
    if len(shape) == 1 or kind == "f32":
        return types.F32
    if kind == "f16" or shape[-1] % BLOCK:
        return types.F16
    if kind == "q8_0" or name in GGUF_ENDS:
        return types.Q8_0
    return types.Q4_0


def stored(tensor: Tensor, kind: GGMLQuantizationType) -> np.ndarray:
    """A tensor as the bytes of its type."""
    return library().quants.quantize(tensor.float().numpy(), kind)


def write_gguf(
    path: Path, ours: Tensors, config: ModelConfig, tokenizer: Path | None, kind: GGUFType, name: str
) -> None:
    """Writes the file tensor by tensor: one of them and its quantised copy are in memory at a time.

    tokenizer: None writes no vocabulary, for a model that is given ids.
    """
    gguf = library()
    writer = gguf.GGUFWriter(path, "llama")
    try:
        _describe(writer, config, kind, name)
        if tokenizer is None:
            writer.add_tokenizer_model("no_vocab")
        else:
            _vocabulary(writer, tokenizer, config.vocabulary)
        shapes = tensor_shapes(config)
        for tensor, shape in shapes.items():
            quantised = type_of(tensor, shape, kind)
            stored_shape = gguf.quant_shape_to_byte_shape(shape, quantised)
            plain = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}
            dtype = np.dtype(plain.get(quantised, np.uint8))
            size = int(np.prod(stored_shape))  # quant_shape_to_byte_shape counts bytes
            given = shape if quantised in plain else stored_shape
            writer.add_tensor_info(
                gguf_name(tensor), given, dtype, size, raw_dtype=None if quantised in plain else quantised
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor, shape in shapes.items():
            values = stored(ours[tensor], type_of(tensor, shape, kind))
            with said_as_os_error(path):
                writer.write_tensor_data(values)
    finally:
        with contextlib.suppress(OSError):  # what is still buffered does not fit either
            writer.close()


def _describe(writer: GGUFWriter, config: ModelConfig, kind: GGUFType, name: str) -> None:
    writer.add_name(name)
    writer.add_context_length(config.max_sequence_length)
    writer.add_embedding_length(config.dim)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(config.hidden_dim)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocabulary)
    writer.add_file_type(FILE_TYPES[kind])


def _vocabulary(writer: GGUFWriter, tokenizer: Path, vocab_size: int) -> None:
    sp: Any = sentencepiece.SentencePieceProcessor()
    sp.LoadFromSerializedProto(tokenizer.read_bytes())
    if sp.vocab_size() != vocab_size:
        raise UserError(f"tokenizer {tokenizer} has {sp.vocab_size()} pieces, the model a vocabulary of {vocab_size}")
    kinds = [
        UNKNOWN if sp.is_unknown(i) else CONTROL if sp.is_control(i) else BYTE if sp.is_byte(i) else NORMAL
        for i in range(vocab_size)
    ]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([sp.id_to_piece(i).encode() for i in range(vocab_size)])
    writer.add_token_scores([sp.get_score(i) for i in range(vocab_size)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(sp.bos_id())
    writer.add_eos_token_id(sp.eos_id())
    writer.add_unk_token_id(sp.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)


class FromGGUF(Mapping[str, Tensor]):
    """The tensors of a GGUF file under our names, fp32, dequantised when asked for."""

    def __init__(self, path: Path, config: ModelConfig) -> None:
        gguf = library()
        self.dequantise = gguf.quants.dequantize
        self.stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
        self.shapes = tensor_shapes(config)

    def __getitem__(self, name: str) -> Tensor:
        tensor = self.stored[gguf_name(name)]
        values = self.dequantise(tensor.data, tensor.tensor_type)
        return torch.from_numpy(np.array(values, dtype=np.float32)).view(self.shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)
