"""a step out of line → its sequences, each with its loss and its documents, and the gradients' norms by layer

Losses are computed anew, one sequence at a time, for such a step alone: no other step pays for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from packtrain.callbacks.spike_detector import Verdict
from packtrain.data.masked import of_each_row
from packtrain.data.origins import Origin, Provenance, reader
from packtrain.errors import UserError
from packtrain.model.layout import CAUSAL, Layout, document_lengths
from packtrain.training.rewind import SPIKES

SHOWN = 8  # sequences whose documents' text is kept: those of the highest loss
CHARACTERS = 300  # of each document


def record_path(run_dir: str | Path, step: int) -> Path:
    return Path(run_dir) / SPIKES / f"step-{step:08d}.json"


def read_record(run_dir: str | Path, step: int) -> dict[str, Any] | None:
    """The newest; None where there is none. Raises `UserError` where it is damaged."""
    return read_file(record_path(run_dir, step))


def read_records(run_dir: str | Path, step: int) -> list[dict[str, Any]]:
    """All of the step, those from before a rewind first. Raises `UserError` where one is damaged."""
    newest = record_path(run_dir, step)
    earlier = newest.parent.glob(f"{newest.stem}-batch-*.json")
    by_age = [*sorted(earlier, key=lambda path: int(path.stem.rpartition("-")[2])), newest]
    found = {path: record for path in by_age if (record := read_file(path)) is not None}
    for path, record in found.items():
        if not {"samples", "sequences"} <= record.keys():
            raise UserError(f"{path} is no record of a spike; delete it: the documents are found without it")
    return [*found.values()]


def read_file(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it: the documents are found without it") from None


def write_record(run_dir: str | Path, record: dict[str, Any]) -> Path:
    """By rename; a number that JSON has not is written as a word. What was recorded of the same step before a rewind,
    which read another batch, stays as step-00000120-batch-119.json."""
    path = record_path(run_dir, record["step"])
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        before = (read_record(run_dir, record["step"]) or record).get("batch")
    except UserError:
        before = record["batch"]  # damaged: replaced
    if before != record["batch"]:
        path.replace(path.with_name(f"{path.stem}-batch-{before}.json"))
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    temporary.replace(path)
    return path


def plain(value: Any) -> Any:
    """nan, inf and -inf as these words."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def explain(
    module: Any, data: Any, step: int, batch: torch.Tensor, number: int, samples: list[int], result: Any,
    verdict: Verdict,
) -> dict[str, Any] | None:  # fmt: skip
    """What the batch of that `number` held, and the gradients (collective); None on all ranks but the first."""
    losses = sequence_losses(module, batch, samples, result.counted)
    norms = module.parallel.norms(module.model, result.parts)
    if not module.parallel.world.first:
        return None
    provenance = Provenance(data.shards, data.mixture, module.steps.sequence_length)
    origins = provenance.of(sorted(losses))
    return {
        "step": step,
        "tokens": step * module.steps.batch_tokens,
        "kind": verdict.kind,
        "why": verdict.why,
        "median": verdict.median,
        "deviations": verdict.deviations,
        "learning_rate": result.learning_rate,
        "batch": number,
        "samples": [min(losses), max(losses)],
        "gradient_norms": by_layer(norms),
        "sequences": sequences(origins, losses, provenance, Path(module.run_dir) / "tokenizer.model"),
    }


@torch.no_grad()
def sequence_losses(
    module: Any, batch: torch.Tensor, samples: list[int], counted: Sequence[torch.Tensor | None] = ()
) -> dict[int, float]:
    """sample number → its mean loss, over all ranks (collective): of a fine-tuning that of its responses.

    batch: (sequences of this rank, T + 1).  counted: of each of its micro-batches the targets that count.
    """
    own = []
    for sequence, targets in zip(batch.split(1), _of_sequences(batch, counted, module.steps.micro_batch), strict=True):
        layout = Layout(document_lengths(sequence[:, :-1].cpu())) if module.document_mask else CAUSAL
        more = () if targets is None else (targets.to(batch.device),)
        own.append(module.model.loss(sequence[:, :-1].long(), sequence[:, 1:].long(), layout, *more).float())
    told = list(zip(samples, torch.stack(own).tolist(), strict=True))
    return dict(pair for rank in module.parallel.world.gather(told) for pair in rank)


def _of_sequences(
    batch: torch.Tensor, counted: Sequence[torch.Tensor | None], micro_batch: int
) -> list[torch.Tensor | None]:
    """What `counted` says of the micro-batches, said of each sequence."""
    found: list[torch.Tensor | None] = []
    for micro, targets in zip_longest(batch.split(micro_batch), counted):
        rows, length = len(micro), micro.shape[1] - 1
        found += [None] * rows if targets is None else of_each_row(targets, rows, length)
    return found


def by_layer(norms: dict[str, float]) -> dict[str, float]:
    """Parameter → norm becomes tok_embeddings, layers.0, …, norm, output → norm."""
    squares: dict[str, float] = {}
    for name, norm in norms.items():
        parts = name.split(".")
        layer = ".".join(parts[:2]) if parts[0] == "layers" else parts[0]
        squares[layer] = squares.get(layer, 0.0) + norm * norm
    return {layer: math.sqrt(square) for layer, square in squares.items()}


def sequences(origins: list[Origin], losses: dict[int, float], provenance: Provenance, tokenizer: Path) -> list[Any]:
    """Of each sequence where it comes from and its loss, the highest (or what is no number) first; of the first few the
    beginning of every document's text."""
    ordered = sorted(origins, key=lambda o: -losses[o.sample] if math.isfinite(losses[o.sample]) else -math.inf)
    read = reader(tokenizer)
    found = []
    for place, origin in enumerate(ordered):
        ids = provenance.tokens(origin) if place < SHOWN else None
        documents, position = [], 0
        for document in origin.documents:
            entry: dict[str, Any] = {
                "document": document.number, "length": document.length,
                "begins": document.begins, "tokens": document.tokens,
            }  # fmt: skip
            if ids is not None:
                entry["text"] = read(ids[position : position + min(document.tokens, CHARACTERS)])[:CHARACTERS]
            position += document.tokens
            documents.append(entry)
        found.append(
            {
                "sample": origin.sample, "domain": origin.domain, "epoch": origin.epoch, "block": origin.block,
                "loss": losses[origin.sample], "documents": documents,
            }
        )  # fmt: skip
    return found


def as_markdown(record: dict[str, Any]) -> str:
    """The record for TensorBoard's text page."""
    head = f"**step {record['step']}**: {record['why']}; {record['action']}"
    lines = [head, "", "| sample | domain | loss | documents | text |", "|---|---|---|---|---|"]
    for entry in record["sequences"][:SHOWN]:
        numbers = ", ".join(str(document["document"]) for document in entry["documents"])
        text = " … ".join(document.get("text", "")[:80] for document in entry["documents"])
        clean = " ".join(text.split()).replace("|", "\\|")
        lines.append(f"| {entry['sample']} | {entry['domain']} | {entry['loss']:.3f} | {numbers} | {clean} |")
    layers = sorted(
        record["gradient_norms"].items(), key=lambda item: -item[1] if math.isfinite(item[1]) else -math.inf
    )
    lines += ["", "gradient norms: " + ", ".join(f"{layer} {norm:.3g}" for layer, norm in layers[:6])]
    return "\n".join(lines)
