"""every so many tokens: held-out text of each domain → loss, perplexity, and their mean by the mixture's weights"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from lightning.pytorch import Trainer

from packtrain.callbacks.meter import Meter
from packtrain.errors import UserError
from packtrain.evaluation.domain import held_out_batches, scored_tokens
from packtrain.evaluation.held_out import Batch, score


class DomainLoss(Meter):
    """Scores at most `limit_tokens` held-out tokens of each domain every `interval_tokens`.

    None is 20 times a run, fewer where that would take more than a tenth of a short run's time. Always the same tokens,
    so that the curve is comparable with itself; `packtrain evaluate` scores all of them. `every_domain`: also those
    that the mixture leaves out, which their mean does not count.
    """

    def __init__(
        self,
        interval_tokens: float | None = None,
        limit_tokens: int = 32768,
        batch_size: int = 4,
        every_domain: bool = False,
    ) -> None:
        if limit_tokens < 1 or batch_size < 1:
            raise UserError("callbacks.domain_loss: limit_tokens and batch_size must be at least 1")
        self.interval_tokens, self.limit_tokens, self.batch_size = interval_tokens, limit_tokens, batch_size
        self.every_domain = every_domain
        self.latest: dict[str, dict[str, float]] = {}

    def due(self, step: int, trainer: Trainer, module: Any) -> bool:
        return step % module.steps.every(self.interval_tokens, self._times(trainer, module)) == 0 or (
            step == module.steps.total
        )

    def _times(self, trainer: Trainer, module: Any) -> int:
        """A token scored costs a third of one trained: with four trained for each scored it is 8 % of the time."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        held_out = (data.manifest.domain(name).held_out.tokens for name in self._domains(data))
        scored = sum(min(self.limit_tokens, tokens) for tokens in held_out)
        return max(1, min(20, module.steps.total_tokens // max(1, 4 * scored)))

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        if not self.due(step, trainer, module):
            return {}
        begin = time.perf_counter()
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        columns: dict[str, float] = {}
        mean = 0.0
        quotas = data.mixture.quotas
        for domain in self._domains(data):
            if not data.manifest.domain(domain).held_out.tokens > 1:
                continue
            result = score(module.model, self._batches(data, domain), module.device)  # the same on every rank
            self.latest[domain] = {"loss": result.loss, "perplexity": result.perplexity}
            columns[f"val/loss/{domain}"] = result.loss
            columns[f"val/perplexity/{domain}"] = result.perplexity
        if total := sum(quotas.get(domain, 0) for domain in self.latest):
            mean = sum(quotas.get(domain, 0) * values["loss"] for domain, values in self.latest.items()) / total
            columns |= {"val/loss": mean, "val/perplexity": math.exp(min(mean, 700))}
            columns["val/bits_per_byte"] = sum(quotas.get(d, 0) * self._bits(data, d) for d in self.latest) / total
        module.clock.add("validation", time.perf_counter() - begin)
        return columns

    def _bits(self, data: Any, domain: str) -> float:
        """Bits a byte: the loss times the tokens a byte of the domain's whole held-out text; compares tokenizers."""
        split = data.manifest.domain(domain).held_out
        return self.latest[domain]["loss"] / math.log(2) * scored_tokens(data.manifest, domain) / max(1, split.bytes)

    def _domains(self, data: Any) -> list[str]:
        drawn = list(data.mixture.domains)
        return drawn + [name for name in data.manifest.domains if name not in drawn] if self.every_domain else drawn

    def _batches(self, data: Any, domain: str) -> Iterator[Batch]:
        length = data.config.sequence_length
        return held_out_batches(data.shards, data.manifest, domain, length, self.batch_size, self.limit_tokens)

    def summarise(self, module: Any) -> dict[str, Any]:
        return {"validation": self.latest}

    def state_dict(self) -> dict[str, Any]:
        return {"latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.latest = state_dict["latest"]
