"""a path → our own checkpoint, or any causal model of Hugging Face's format → likelihoods, asked as of any model"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from packtrain.data.manifest import file_sha256
from packtrain.errors import UserError
from packtrain.evaluation.tasks.requests import Answer, Likelihood, Request, Scored
from packtrain.evaluation.tasks.scoring import Judge, Surroundings
from packtrain.model.compute import pick_device

READ = (".json", ".safetensors", ".model", ".txt")


def open_judge(path: str, around: Surroundings) -> Judge:
    """Raises `UserError` where there is no model."""
    if (Path(path) / "config.json").is_file():
        return Judge(folder_sha256(Path(path)), lambda: HuggingFace(path, str(pick_device(around.device))))
    if around.open_model is None:
        raise UserError(f"judge={path}: no config.json there; give the folder of a Hugging Face model")
    return around.open_model(path)


def folder_sha256(folder: Path) -> str:
    """Of the names and bytes of what a model of Hugging Face's format is read from."""
    files = sorted(path for path in folder.iterdir() if path.suffix in READ and path.is_file())
    return hashlib.sha256("\n".join(f"{path.name} {file_sha256(path)}" for path in files).encode()).hexdigest()


class HuggingFace:
    """A causal model from a local folder; asked for likelihoods only, one after the other."""

    def __init__(self, folder: str, device: str) -> None:
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise UserError(f"judge={folder} needs transformers: pip install transformers") from error
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype="auto"
            )
        except Exception as error:
            raise UserError(f"judge={folder}: cannot be read ({' '.join(str(error).split())[:200]})") from error
        self.model, self.device = model.eval().to(device), device

    def answer(self, requests: Sequence[Request], numbers: Sequence[int]) -> list[Answer]:
        return [self._score(request) for request in requests if isinstance(request, Likelihood)]

    def _score(self, request: Likelihood) -> Scored:
        """ln p of the tokens that the continuation adds to those of the context."""
        context = self.tokenizer(request.context)["input_ids"]
        whole = self.tokenizer(request.context + request.continuation)["input_ids"]
        start = max(1, min(len(context), len(whole) - 1))
        with torch.inference_mode():
            logits = self.model(torch.tensor([whole], device=self.device)).logits[0, start - 1 : -1].float()
        targets = torch.tensor(whole[start:], device=self.device)
        nats = logits.log_softmax(-1).gather(1, targets[:, None]).sum().item()
        return Scored(nats, len(targets))
