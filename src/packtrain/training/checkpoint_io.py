"""Lightning's checkpoint dict ⇄ a committed directory: weights as safetensors, the rest as tensors and plain values"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import CheckpointIO
from safetensors.torch import load_file, save_file

from packtrain.checkpoint.directory import commit, read_meta
from packtrain.checkpoint.load import WEIGHTS, read_weights
from packtrain.checkpoint.sharded import MOMENTS, read_whole
from packtrain.model.lora import is_adapter

STATE = "state.pt"
PREFIX = "model."  # the LightningModule holds the Llama as `model`


class DirectoryCheckpointIO(CheckpointIO):
    """Writes through `checkpoint.directory.commit`, reads with `weights_only=True`.

    `identity` is what every checkpoint of this run says of itself: the model, the fingerprints of data and tokenizer,
    and `batch_tokens`, from which its count of tokens follows.
    """

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self.identity = dict(identity)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        weights = {name.removeprefix(PREFIX): tensor for name, tensor in checkpoint["state_dict"].items()}
        if self.identity.get("lora"):  # what is frozen lies in the run's folder once
            weights = {name: tensor for name, tensor in weights.items() if is_adapter(name)}
        rest = {key: value for key, value in checkpoint.items() if key != "state_dict"}
        step = int(checkpoint["global_step"])

        def write(folder: Path) -> None:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
            torch.save(rest, folder / STATE)

        commit(Path(path), write, {**self.identity, "step": step, "tokens": step * self.identity["batch_tokens"]})

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        state = torch.load(Path(path) / STATE, map_location="cpu", weights_only=True)
        meta = read_meta(Path(path))
        if meta["kind"] == "sharded":
            state["optimizer_states"] = [whole_moments(Path(path), state)]
        weights = load_file(Path(path) / WEIGHTS) if "lora" in meta else read_weights(Path(path))
        return {**state, "state_dict": {PREFIX + name: tensor for name, tensor in weights.items()}}

    def remove_checkpoint(self, path: Any) -> None:
        raise RuntimeError("checkpoints are removed by checkpoint.directory.retain")


def whole_moments(path: Path, state: dict[str, Any]) -> dict[str, Any]:
    """AdamW's state of a sharded checkpoint, as one process numbers it: by the place of a parameter in its groups."""
    moments = read_whole(path, MOMENTS)
    by_number = {
        number: {
            "step": torch.tensor(float(state["optimiser_step"])),
            **{prefix.removesuffix("."): moments[prefix + name] for prefix in MOMENTS},
        }
        for number, name in enumerate(state["parameter_names"])
    }
    return {"state": by_number, "param_groups": state["param_groups"]}
