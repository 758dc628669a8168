"""a run's folder → the mixture that it drew from: sample → tokens, and documents → the steps that saw them"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from packtrain.data.config import DataConfig
from packtrain.data.manifest import load_manifest
from packtrain.data.mixture import Mixture
from packtrain.data.removal import Found
from packtrain.data.sightings import samples_of
from packtrain.errors import UserError
from packtrain.jobs.runs import figures, list_runs
from packtrain.report.reading import RunData, read_run
from packtrain.settings import build
from packtrain.training.changes import Change, plan_changes
from packtrain.training.data import build_mixture
from packtrain.training.schedule import OptimConfig
from packtrain.training.steps import Steps, plan_steps

SHOWN = 20


def place_of(run_dir: Path, sample: int, shards: str | None) -> tuple[Path, str, int, int]:
    """(pack, domain, first token, tokens) of a sample of a run. Raises `UserError` where the run has no such sample."""
    run = read_run(run_dir)
    data = _data(run)
    pack = Path(shards or str(data.path))
    mixture, steps = _mixture(run, pack)
    if not 0 <= sample < steps.total * steps.sequences:
        raise UserError(f"sample={sample}: {run_dir} has samples 0 … {steps.total * steps.sequences - 1}")
    domain, _, block = mixture.sample(sample)
    return pack, mixture.domains[domain], block * data.sequence_length, data.sequence_length


def sightings(pack: Path, found: Sequence[Found], runs_dir: Path) -> Iterator[str]:
    """Lines: which runs of this pack saw the documents, and at which steps."""
    fingerprint = load_manifest(pack).fingerprint
    for line in list_runs(runs_dir):
        if line.state in ("empty", "broken"):
            continue
        run = read_run(runs_dir / line.name)
        if not _is_of(run, pack, fingerprint):
            continue
        mixture, steps = _mixture(run, pack)
        done = int(figures(run)["step"] or 0)
        for one in found:
            if one.split != "train":
                continue
            seen = samples_of(mixture, one.domain, _blocks(one, run, mixture), done * steps.sequences)
            at = sorted({sample // steps.sequences for sample in seen})
            if at:
                more = f" … ({len(at)} steps)" if len(at) > SHOWN else ""
                yield f"{line.name} saw {one.entry.id} at step {', '.join(map(str, at[:SHOWN]))}{more}"
        if (run.path / "spikes" / "rewinds.json").exists():
            yield f"{line.name} was rewound: its steps are counted as if it had not been"


def _is_of(run: RunData, pack: Path, fingerprint: str) -> bool:
    path = run.config.get("data", {}).get("path")
    same = path is not None and Path(path).resolve() == pack.resolve()
    return same or fingerprint in str(run.config)


def _blocks(one: Found, run: RunData, mixture: Mixture) -> list[int]:
    """The blocks of T + 1 tokens, T apart, that share a token with the document."""
    length = _data(run).sequence_length
    first, last = max(0, (one.start - 1) // length), (one.end - 1) // length
    return [block for block in range(first, last + 1) if block < mixture.whole.get(one.domain, 0)]


def _data(run: RunData) -> DataConfig:
    values: dict[str, Any] = dict(run.config.get("data") or {})
    if not values:
        raise UserError(f"{run.path}: its config.yaml says nothing of data; is it a run of packtrain train?")
    return replace(build(DataConfig, values, "data"), micro_batch=None)


def _mixture(run: RunData, pack: Path) -> tuple[Mixture, Steps]:
    data = _data(run)
    steps = plan_steps(data)
    optim = build(OptimConfig, run.config["optim"], "optim")
    changes = {name: build(Change, values, "changes") for name, values in (run.config.get("changes") or {}).items()}
    boundaries, _ = plan_changes(changes, optim, steps)
    seed, manifest = int(run.config["seed"]), load_manifest(pack)
    return build_mixture(data, manifest, pack, steps, seed, lambda _: None, boundaries), steps
