"""model, GPU, batch, parallel choice → seconds of one optimiser step by part → tokens/s per GPU

    products     executed FLOPs / (peak · clock · EFFICIENCY[generation]) + operands read and written / bandwidth
    attention    executed FLOPs / (peak · clock · ATTENTION[kernel, generation])
    passes       norms, rotation, SwiGLU, residuals, loss: bytes moved / bandwidth
    optimiser    AdamW reads and writes 28 bytes a parameter of the shard, once a step
    communication  FSDP gathers the weights twice and reduces the gradients, tensor parallelism reduces activations
    step         max(work, communication) + EXPOSED · min(work, communication)

Two kinds of constants. Physical or published ones, each with its source where it stands. And three fitted by least
squares to published runs (`published.py`, `calibration.py`; a test fits them again): nothing is fitted to LLaMA's own
rows, so its 380 tokens/s is a prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.estimate.flops import hardware_flops, layer_matrices
from packtrain.estimate.hardware import Gpu
from packtrain.model.config import ModelConfig, parameter_count

# FlashAttention 1: 25–40 % of peak on A100, 2: 50–73 % (arXiv 2307.08691, abstract), 2 on H100: 35 %, 3: up to 75 %
# (arXiv 2407.08608, abstract): the middle of each range. 1 on H100: by the ratio of the others.
ATTENTION = {
    ("flash1", "ampere"): 0.325,
    ("flash1", "hopper"): 0.325 * 0.35 / 0.615,
    ("flash2", "ampere"): 0.615,
    ("flash2", "hopper"): 0.35,
    ("flash3", "hopper"): 0.75,
}
BANDWIDTH_SHARE = 0.8  # of the memory bandwidth that streaming kernels reach
LINK_SHARE = 0.78  # of a link's rating that NCCL's all-gather reaches: 230–240 of 300 GB/s on a DGX A100 (nccl-tests)
# Bytes a token, in units of: model width, key/value width, feed-forward width; forward and backward together.
# Fused: every tensor once in, once out. Eager: fp32 upcasts and each operation its own pass.
FUSED, EAGER = (60.0, 12.0, 18.0), (246.0, 60.0, 30.0)
OPTIMISER_BYTES = 28  # read weight, gradient, two moments; write weight and moments: fp32


@dataclass(frozen=True)
class Constants:
    """What is fitted: the share of the peak that large matrix products reach, by generation of the GPU, and the part
    of the shorter of work and communication that the longer does not hide. Generations without published rows take
    Hopper's (`assumed`); a CPU's peak is a measured matrix product, of which it reaches all.
    """

    ampere: float
    hopper: float
    exposed: float
    cpu: float = 1.0

    def products(self, generation: str) -> float:
        return {"ampere": self.ampere, "cpu": self.cpu}.get(generation, self.hopper)


def assumed(generation: str) -> bool:
    """Whether no published row of this generation stands behind its efficiency."""
    return generation not in ("ampere", "hopper", "cpu")


FITTED = Constants(ampere=0.818, hopper=0.664, exposed=0.615)


@dataclass(frozen=True)
class Setup:
    """How a model is trained, as far as its speed depends on it.

    `micro_batch` and `accumulation` as in `training/steps.py`, per data-parallel rank; `tensor` GPUs share a layer;
    `replicate` copies of a sharded model (HSDP); `network_gb_per_second`: of one node, one direction, 10⁹ bytes;
    `reduce_bytes`: of a gradient on the wire; `reduce_always`: at every micro-batch, not at the last only.
    """

    gpu: Gpu
    gpus: int
    sequence_length: int
    micro_batch: float
    accumulation: int = 1
    gpus_per_node: int = 8
    network_gb_per_second: float = 200.0
    recompute: str = "manual"
    again: float | None = None
    kernel: str = "flash2"
    fused: bool = True
    tensor: int = 1
    replicate: int = 1
    reduce_bytes: int = 4
    reduce_always: bool = False

    @property
    def shard(self) -> int:
        return self.gpus // (self.tensor * self.replicate)


@dataclass(frozen=True)
class Step:
    """Seconds of one micro-batch on one GPU by part, optimiser and last reduction spread over the accumulation."""

    products: float
    attention: float
    passes: float
    optimiser: float
    communication: float
    exposed: float
    seconds: float
    tokens_per_second: float


def step_time(config: ModelConfig, setup: Setup, constants: Constants = FITTED) -> Step:
    """The parts above for one micro-batch; `tokens_per_second` is per GPU."""
    gpu, tokens = setup.gpu, setup.micro_batch * setup.sequence_length
    bandwidth = gpu.memory_gb_per_second * 1e9 * BANDWIDTH_SHARE
    peak = gpu.peak_flops * gpu.clock_share
    work = hardware_flops(config, setup.sequence_length, setup.recompute, setup.again)
    rounds = work.products / (2 * (layer_matrices(config) * config.n_layers + config.vocabulary * config.dim))
    products = tokens * work.products / (peak * constants.products(gpu.generation))
    products += rounds * _operand_bytes(config, tokens, setup.tensor) * setup.tensor / bandwidth
    attention = tokens * work.attention / (peak * attention_share(setup.kernel, gpu.generation))
    passes = tokens * pass_bytes(config, setup) / bandwidth
    share = setup.shard * setup.tensor
    optimiser = parameter_count(config) * OPTIMISER_BYTES / share / bandwidth / setup.accumulation
    products, attention, passes = products / setup.tensor, attention / setup.tensor, passes / setup.tensor
    busy = products + attention + passes + optimiser
    wire = communication_seconds(config, setup)
    exposed = max(busy, wire) + constants.exposed * min(busy, wire) - busy
    seconds = busy + exposed
    rate = tokens / setup.tensor / seconds
    return Step(products, attention, passes, optimiser, wire, exposed, seconds, rate)


def attention_share(kernel: str, generation: str) -> float:
    """Share of the peak that a kernel reaches; a generation without published figures gets its neighbour's."""
    if generation == "cpu":
        return ATTENTION["flash2", "hopper"]
    known = ATTENTION.get((kernel, generation))
    return known if known is not None else ATTENTION.get((kernel, "hopper"), ATTENTION["flash2", "hopper"])


def pass_bytes(config: ModelConfig, setup: Setup) -> float:
    """Bytes that a token moves outside matrix products and attention; the loss reads and writes its logits 3 times."""
    width, kv, ff = FUSED if setup.fused else EAGER
    layer = width * config.dim + kv * config.kv_heads * config.head_dim + ff * config.hidden_dim
    again = {"none": 1.0, "selective": 4 / 3, "manual": 7 / 6, "full": 4 / 3}[config.recompute(setup.recompute)]
    return config.n_layers * layer * again + 6 * 4 * config.vocabulary


def _operand_bytes(config: ModelConfig, tokens: float, tensor: int) -> float:
    """bf16 bytes that one forward of all matrix products reads and writes on a GPU: inputs, weights, outputs."""
    kv = config.kv_heads * config.head_dim
    shapes = [(config.dim, config.dim)] * 2 + [(config.dim, kv)] * 2
    shapes += [(config.dim, config.hidden_dim)] * (config.ffn_matrices - 1) + [(config.hidden_dim, config.dim)]
    layer = sum(tokens * (a + b / tensor) + a * b / tensor for a, b in shapes)
    head = tokens * (config.dim + config.vocabulary / tensor) + config.dim * config.vocabulary / tensor
    return 2 * (config.n_layers * layer + head)


@dataclass(frozen=True)
class Traffic:
    """Bytes that one GPU receives in one micro-batch: weights gathered, gradients reduced, activations reduced."""

    gather: float
    reduce: float
    tensor: float


def traffic(config: ModelConfig, setup: Setup) -> Traffic:
    """Ring algorithms: (n − 1)/n of a tensor for a gather or a reduce-scatter over n GPUs, twice that for both."""
    ring = (setup.shard - 1) / setup.shard
    mine = parameter_count(config) / setup.tensor
    gather = 2 * 2 * mine * ring
    reduce = setup.reduce_bytes * mine * ring
    if setup.replicate > 1:  # HSDP: the shard's gradient once around the replicas
        reduce += 2 * setup.reduce_bytes * mine / setup.shard * (setup.replicate - 1) / setup.replicate
    reduce = reduce if setup.reduce_always else reduce / setup.accumulation
    tokens = setup.micro_batch * setup.sequence_length
    rounds = 8 if setup.recompute != "full" else 10  # sequence parallelism: a gather and a scatter for each sub-layer
    around = (setup.tensor - 1) / setup.tensor
    return Traffic(gather, reduce, rounds * config.n_layers * tokens * config.dim * 2 * around)


def communication_seconds(config: ModelConfig, setup: Setup) -> float:
    """Each ring at the speed of its slowest link: NVLink inside a node, all of a node's network between nodes."""
    moved = traffic(config, setup)
    link = setup.gpu.link_gb_per_second * 1e9 * LINK_SHARE
    network = setup.network_gb_per_second * 1e9 * LINK_SHARE
    crosses = setup.shard * setup.tensor > setup.gpus_per_node
    # `tensor` rings of FSDP share a node's network
    wide = min(link, network / setup.tensor) if crosses else link
    narrow = link if setup.tensor <= setup.gpus_per_node else network
    return (moved.gather + moved.reduce) / wide + moved.tensor / narrow
