"""model, split, batch, recompute → bytes of weights, gradients, optimiser, activations, logits, workspace on one GPU

Parameters, gradients and Adam's two moments are fp32 and sharded: 4 + 4 + 8 bytes a parameter (the accounting of ZeRO,
arXiv 1910.02054, §3.1, without its bf16 copy). A step has four moments in which memory can peak, and the plan takes
the highest of them:

    loss     all activations, the logits of one chunk, the output table's gradient
    last     the backward of the last layer: all activations, few gradients
    first    the backward of the first layer: one layer's activations, all gradients
    update   weights, gradients, moments
"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.estimate.activations import backward_bytes, saved_bytes, weight_copies
from packtrain.estimate.flops import layer_matrices
from packtrain.estimate.split import Batch, Split
from packtrain.model.config import ModelConfig, parameter_count

WEIGHT_BYTES, GRADIENT_BYTES, OPTIMIZER_BYTES = 4, 4, 8
COMPUTE_BYTES = {"bf16": 2, "fp32": 4}
CHUNK_BYTES = {"cpu": 1 << 25, "cuda": 1 << 27}  # model/loss.py: logits held at once
SOFTMAX_ELEMENTS = {"cpu": 1 << 20}  # of them in fp32 at once
TABLE_ROWS = {"cpu": 1 << 12}  # of the table's gradient summed at once where products are in half precision
KERNELS = 0.6 * 2**30  # assumed: CUDA's context and its libraries' workspaces
FRAGMENTS = 0.03  # assumed: share that lies unused between the allocator's blocks
GIB = 2**30


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU at the moment of the peak, which `peak` names."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    workspace: float
    peak: str

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.workspace


def training_memory(
    config: ModelConfig,
    split: Split,
    batch: Batch,
    recompute: str = "manual",
    precision: str = "bf16",
    device: str = "cuda",
    adapters: int | None = None,
) -> Memory:
    """The peak of a steady step: the moments exist, gradients are made anew. On `cuda` what CUDA takes is added.

    `adapters`: LoRA of so many numbers, which alone have gradients and moments; the model's own are frozen.
    """
    size, tokens, fused = COMPUTE_BYTES[precision], batch.tokens / split.tensor, device == "cuda"
    parameters, shard = parameter_count(config) / split.tensor, split.shard
    trained = parameters if adapters is None else adapters
    parameters += adapters or 0
    gradients = trained * GRADIENT_BYTES / shard
    layer, table = layer_matrices(config) / split.tensor, config.vocabulary * config.dim / split.tensor
    stream = tokens * config.dim * size

    kept = tokens * saved_bytes(config, recompute, size, fused)
    kept += weight_copies(config, recompute, size) / split.tensor
    norm = tokens * config.dim * (4 + (0 if fused else 4) + (0 if size == 4 else size))  # what the last norm keeps
    logits = loss_bytes(batch.tokens, config.vocabulary // split.tensor, config.dim, size, device, adapters is None)
    working = tokens * backward_bytes(config, recompute, size, fused) + stream
    working += (config.dim * config.hidden_dim * 4 + (0 if size == 4 else layer * size / 2)) / split.tensor

    held = _gathered(layer, table, size, shard)
    output = table * GRADIENT_BYTES if adapters is None else 0.0  # the output table's gradient, made with the loss
    before = gradients if batch.accumulation > 1 else 0.0  # those of the micro-batches before
    after = gradients if before else gradients - output / shard
    activations = config.n_layers * kept
    moments = {
        "loss": (before, activations + norm + stream, logits, held + output),
        "last": (before, activations + tokens * config.dim * 4, 0.0, held + (0 if before else output) + working),
        "first": (after, kept, 0.0, held + working),
        "update": (gradients, 0.0, 0.0, 0.0),
    }
    peak = max(moments, key=lambda name: sum(moments[name]))
    found = Memory(
        parameters * WEIGHT_BYTES / shard,
        moments[peak][0],
        trained * OPTIMIZER_BYTES / shard,
        *moments[peak][1:],
        peak,
    )
    if not fused:
        return found
    more = KERNELS + FRAGMENTS * found.total
    return Memory(
        found.weights, found.gradients, found.optimizer, found.activations, found.logits, found.workspace + more, peak
    )


def loss_bytes(tokens: int, rows: int, dim: int, size: int, device: str, table_trained: bool = True) -> float:
    """What the loss holds beside hidden states and the table's gradient, the table having `rows` rows of `dim`.

    The logits of a chunk, their softmax in fp32 some rows at a time, and in half precision a cast of the table and a
    product that waits to be added (model/loss.py).
    """
    chunks = -(-tokens // max(1, CHUNK_BYTES[device] // (rows * size)))
    chunk = -(-tokens // chunks)
    few = min(chunk, max(1, SOFTMAX_ELEMENTS.get(device, chunk * rows) // rows))
    held = chunk * rows * size + few * rows * 4
    if size == 4:
        return held
    product = min(rows, TABLE_ROWS.get(device, rows)) * dim * size if table_trained else 0
    return held + few * rows * 4 + rows * dim * size + product


def _gathered(layer: float, table: float, size: int, shard: int) -> float:
    """What a sharded model holds whole for a while: two layers' weights (one is fetched ahead) and one layer's
    gradients before they are reduced; the tables stay gathered from forward to backward (FSDP2's root group)."""
    if shard == 1:
        return 0.0
    return 2 * layer * size + layer * (size + 4) + 2 * table * size
