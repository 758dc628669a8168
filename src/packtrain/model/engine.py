"""attention=, recompute=, compile= → Engine: how the model is computed, which changes its speed and memory alone"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Literal

import torch

from packtrain.errors import UserError
from packtrain.model.attention_backends.choose import AttentionName, automatic, choose
from packtrain.model.config import ModelConfig
from packtrain.model.fp8 import unavailable

Recompute = Literal["none", "full", "selective", "manual"]


@dataclass(frozen=True)
class Engine:
    """What of the numbers' making can be chosen.

    attention: the kernel (`attention_backends/`). recompute: what the backward finds saved (`recompute.py`).
    compile: the layers' inner functions through torch.compile; `compiler` is its backend. fp8: the layers' products in
    eight bits (`fp8.py`).
    """

    attention: AttentionName = "auto"
    recompute: Recompute = "manual"
    compile: bool = False
    compiler: str = "inductor"
    fp8: bool = False

    def __post_init__(self) -> None:
        if self.compile and self.recompute == "selective":
            raise UserError(
                "compile=true does not go with recompute=selective, whose choice the compiler would make anew: "
                "give recompute=manual, which saves the same or less"
            )

        if self.fp8 and self.recompute != "manual":
            raise UserError(
                f"fp8=true is a choice of the backward written by hand, not of recompute={self.recompute}: "
                "give recompute=manual"
            )

    def suited(self, config: ModelConfig) -> Engine:
        """This engine for a model of `config`: a layer unlike LLaMA's has no backward by hand but autograd's.

        Raises `UserError` for fp8, which is a choice of that backward."""
        if self.recompute != "manual" or config.layer_by_hand:
            return self
        if self.fp8:
            config.require_llama("fp8=true")
        return replace(self, recompute="none")

    def check(self, device: torch.device) -> None:
        """Raises `UserError` where this engine does not run on `device`."""
        if self.fp8 and (reason := unavailable(device)) is not None:
            raise UserError(f"fp8=true {reason}: give precision=bf16 without fp8")
        choose(self.attention, device.type)
        if self.compile and self.compiler == "inductor" and (reason := compile_unavailable(device)) is not None:
            raise UserError(f"compile=true {reason}, or give compile=false")

    def describe(self, device: torch.device) -> str:
        """`attention sdpa (auto: xformers runs on CUDA only), recompute manual`."""
        name, why = automatic(device.type)
        kernel = f"{name} (auto: {why})" if self.attention == "auto" else self.attention
        more = ", compiled" * self.compile + ", fp8" * self.fp8
        return f"attention {kernel}, recompute {self.recompute}{more}"


def compile_unavailable(device: torch.device) -> str | None:
    """Why Inductor cannot compile for `device`, with the remedy; None where it can."""
    if sys.platform == "win32":
        return "is not supported on Windows: use WSL"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "needs Triton on CUDA: pip install triton"
    if device.type not in ("cpu", "cuda"):
        return f"is not supported on {device.type}"
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler.split()[0] if compiler.split() else "") is None:
        return f"needs a C++ compiler and '{compiler}' is not found: install one (Debian: apt install g++) or set CXX"
    if not _answers(compiler.split()):
        return f"needs a C++ compiler and '{compiler}' does not work as one: install one (apt install g++) or set CXX"
    return None


def _answers(compiler: list[str]) -> bool:
    """Whether the program says its version, as every C++ compiler does."""
    try:
        return subprocess.run([*compiler, "--version"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
