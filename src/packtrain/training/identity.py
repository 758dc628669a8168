"""config.yaml of a run ⇄ this command: the same run, or another one under the same name?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from packtrain.checkpoint.directory import metas
from packtrain.errors import Failure, UserError
from packtrain.model.config import switches

CONFIG = "config.yaml"
# What makes a run the run it is. Anything else (workers, micro-batches, callbacks, intervals, device) may change.
IDENTITY = ("model", "data", "optim", "precision", "seed", "init_from", "fingerprints", "tuning")
# micro_batch only regroups sums; paths may move as long as the fingerprints stay; optim and data took from the recipe.
FREE = {"model.name", "data.path", "data.input", "data.workers", "data.cache_gib", "data.micro_batch", "data.held_out"}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """{'a': {'b': 1}} → ('a.b', 1)."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def identity(config: Mapping[str, Any], tokens: int = 0) -> dict[str, Any]:
    """By dotted name; of the `changes` only those that a run of `tokens` tokens has behind it: the rest may change."""
    chosen = {key: config[key] for key in IDENTITY if key in config}
    if "model" in chosen:  # a run from before there were these switches is LLaMA's
        chosen["model"] = {**switches(), **chosen["model"]}
    batch = config["data"]["batch_tokens"] if "data" in config else 1
    changes = config.get("changes", {}).items()
    chosen["changes"] = {name: one for name, one in changes if -(-one["at_tokens"] // batch) * batch < tokens}
    return {k: v for k, v in flatten(chosen) if k not in FREE and not k.startswith("model.recipe.")}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], tokens: int = 0) -> list[str]:
    """`data.batch_tokens was 8192, is 4096`, one for each setting of the identity that differs."""
    before, after = identity(old, tokens), identity(new, tokens)
    return [
        f"{key} was {_short(before.get(key))}, is {_short(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def refuse_another_run(run_dir: Path, config: Mapping[str, Any]) -> None:
    """Raises `UserError` naming what differs where `run_dir` holds a run of other data, model, batch or optimiser."""
    path = run_dir / CONFIG
    if not path.exists():
        return
    saved = metas(run_dir)
    tokens = int(saved[-1][1]["tokens"]) if saved else 0
    try:
        old = yaml.safe_load(path.read_text())
        found = differences(old, config, tokens)
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise Failure(
            f"{path} cannot be read; if this run is of no use any more: packtrain runs delete={run_dir.name}"
        ) from error
    if found:
        more = f" (and {len(found) - 4} more)" if len(found) > 4 else ""
        raise UserError(f"{run_dir} holds another run: {'; '.join(found[:4])}{more}. Give this one another name=")


def write_config(run_dir: Path, config: Mapping[str, Any]) -> None:
    """The resolved configuration, by rename."""
    run_dir.mkdir(parents=True, exist_ok=True)
    temporary = run_dir / (CONFIG + ".tmp")
    temporary.write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
    temporary.replace(run_dir / CONFIG)


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text[:12] if len(text) == 64 else text
