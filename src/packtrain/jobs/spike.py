"""run folder + step → sample numbers → packed shards → the documents of that step, beside what was recorded of it"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from packtrain import settings
from packtrain.callbacks.spike_record import plain, read_file, read_records
from packtrain.data.config import DataConfig
from packtrain.data.manifest import load_manifest
from packtrain.data.origins import Origin, Provenance, reader
from packtrain.errors import UserError
from packtrain.report.reading import find_runs, read_run
from packtrain.report.tables import text_table
from packtrain.training.changes import Change, plan_changes
from packtrain.training.data import build_mixture
from packtrain.training.rewind import SPIKES, Rewind, batch_of, in_force, read_rewinds
from packtrain.training.schedule import OptimConfig
from packtrain.training.steps import Steps, plan_steps


@dataclass(frozen=True)
class SpikeJob:
    run: str
    step: int | None = None
    runs_dir: str = "runs"
    shards: str | None = None
    top: int = 8
    characters: int = 400
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        if self.top < 1 or self.characters < 1:
            raise UserError("top and characters: give at least 1")


def run(job: SpikeJob) -> None:
    """Prints. Raises `UserError` for what is no run, a step that the run has not, or another pack."""
    folders = find_runs([job.run], job.runs_dir)
    if len(folders) > 1:
        raise UserError(f"run={job.run} is a sweep of {len(folders)}: give one of them, as run={folders[0]}")
    (folder,) = folders
    if job.step is None:
        found = recorded(folder)
        print(json.dumps(found, indent=1) if job.format == "json" else as_list(folder, found))
        return
    *earlier, found = explain(folder, job)
    if job.format == "json":
        print(json.dumps(plain({**found, "earlier": earlier} if earlier else found), indent=1, ensure_ascii=False))
    else:
        print("\n\n".join([as_text(one) + "\n\nthe run went back; then" for one in earlier] + [as_text(found)]))


def recorded(folder: Path) -> list[dict[str, Any]]:
    """What the run noted of every spike, without its sequences."""
    found = []
    for path in sorted((folder / SPIKES).glob("step-*.json")):
        record = read_file(path) or {}
        found.append({key: value for key, value in record.items() if key not in ("sequences", "gradient_norms")})
    return found


def explain(folder: Path, job: SpikeJob) -> list[dict[str, Any]]:
    """The records of the step, that of its last time last, with the documents as the packed shards have them now; the
    documents alone where there is none."""
    assert job.step is not None
    config = read_run(folder).config
    if not {"data", "optim", "seed"} <= config.keys():
        raise UserError(f"{folder}/config.yaml does not say what was trained on: is it a run of packtrain train?")
    data = settings.build(DataConfig, config["data"], "data")
    steps = plan_steps(dataclasses.replace(data, micro_batch=None))
    if not 1 <= job.step <= steps.total:
        raise UserError(f"step={job.step}: {folder} has steps 1 to {steps.total}")
    records = read_records(folder, job.step)
    read = reader(folder / "tokenizer.model")
    found = []
    for record in records or [_unrecorded(folder, job.step, steps)]:
        first, last = record["samples"]
        rewinds = in_force(job.step - 1, record.get("batch", first // steps.sequences), read_rewinds(folder))
        provenance = _provenance(folder, config, data, steps, job.shards, rewinds)
        losses = {entry["sample"]: entry["loss"] for entry in record.get("sequences", ())}
        samples = [*losses] or list(range(first, last + 1))
        shown = [
            _shown(origin, losses.get(origin.sample), provenance, read, job)
            for origin in provenance.of(samples[: job.top])
        ]
        rest = {k: v for k, v in record.items() if k != "sequences"}
        found.append({"run": str(folder), "recorded": bool(records), **rest, "sequences": shown})
    return found


def _unrecorded(folder: Path, step: int, steps: Steps) -> dict[str, Any]:
    first = batch_of(step - 1, read_rewinds(folder)) * steps.sequences
    return {"step": step, "samples": [first, first + steps.sequences - 1]}


def _provenance(
    folder: Path, config: dict[str, Any], data: DataConfig, steps: Steps, shards: str | None, rewinds: Sequence[Rewind]
) -> Provenance:
    pack = Path(shards or data.path or "")
    manifest = load_manifest(pack)
    if manifest.fingerprint != config.get("fingerprints", {}).get("data"):
        raise UserError(f"{pack} is not the pack that {folder} was trained on: give shards=… where that lies")
    optim = settings.build(OptimConfig, config["optim"], "optim")
    changes = {
        name: settings.build(Change, value, f"changes.{name}") for name, value in config.get("changes", {}).items()
    }
    boundaries, _ = plan_changes(changes, optim, steps)
    mixture = build_mixture(data, manifest, pack, steps, int(config["seed"]), lambda _: None, boundaries, rewinds)
    return Provenance(pack, mixture, data.sequence_length)


def _shown(origin: Origin, loss: Any, provenance: Provenance, read: Any, job: SpikeJob) -> dict[str, Any]:
    ids, position, documents = provenance.tokens(origin), 0, []
    for document in origin.documents:
        text = read(ids[position : position + document.tokens])
        documents.append({**asdict(document), "text": text[: job.characters], "cut": len(text) > job.characters})
        position += document.tokens
    return {"sample": origin.sample, "domain": origin.domain, "epoch": origin.epoch, "block": origin.block,
            "loss": loss, "documents": documents}  # fmt: skip


def as_list(folder: Path, found: list[dict[str, Any]]) -> str:
    if not found:
        return f"{folder}: no loss spike was recorded"
    rows = [tuple(str(entry.get(key, "")) for key in ("step", "batch", "kind", "why", "action")) for entry in found]
    return text_table(("step", "batch", "kind", "why", "what was done"), rows, left=(2, 3, 4))


def as_text(found: dict[str, Any]) -> str:
    first, last = found["samples"]
    lines = [f"{found['run']}, step {found['step']}: samples {first} to {last}"]
    if found["recorded"]:
        lines += [f"{found['why']}; {found['action']}", "gradient norm by layer: " + ", ".join(
            f"{layer} {_number(norm)}" for layer, norm in found["gradient_norms"].items())]  # fmt: skip
    else:
        lines.append("not recorded as a spike: the documents alone")
    for entry in found["sequences"]:
        loss = "" if entry["loss"] is None else f", loss {_number(entry['loss'])}"
        lines += [
            "",
            f"sample {entry['sample']}: {entry['domain']}, epoch {entry['epoch']}, block {entry['block']}{loss}",
        ]
        for document in entry["documents"]:
            lines.append(
                f"  document {document['number']}: {document['tokens']} of its {document['length']} tokens, "
                f"from token {document['begins']}"
            )
            lines += [f"    {line}" for line in (document["text"] + " …" * document["cut"]).splitlines()]
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
