"""what a fine-tuning run has beside what every run has: adapters, and the template that its checkpoints carry"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from packtrain.model.lora_config import LoraConfig
from packtrain.tokenizer.template import ChatTemplate


@dataclass(frozen=True)
class Tuning:
    """`lora` of rank 0: all weights are trained."""

    template: ChatTemplate
    lora: LoraConfig = field(default_factory=LoraConfig)

    def checkpoint_identity(self, base_sha256: str | None) -> dict[str, Any]:
        """What every checkpoint of the run says beside the rest; `base_sha256` names what adapters are added to."""
        said: dict[str, Any] = {"chat": dataclasses.asdict(self.template)}
        if base_sha256 is not None:
            lora = dataclasses.asdict(self.lora)
            said["lora"] = {**lora, "targets": list(self.lora.targets), "base_sha256": base_sha256}
        return said
