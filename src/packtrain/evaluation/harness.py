"""our model as lm-eval's LM, our tasks as lm-eval's tasks → lm-eval's own evaluator → its results

    tasks ─as local JSON and a YAML each→ TaskManager(include_defaults=False) → simple_evaluate(HarnessModel)

lm-eval (EleutherAI) is an extra: pip install 'packtrain[eval]'. Its table of 13 000 built-in tasks takes 12 s to read
and their data a network; neither is touched here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import datasets
import yaml
from lm_eval import simple_evaluate, utils
from lm_eval.api import task as task_module
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager
from tqdm import tqdm

from packtrain.errors import UserError
from packtrain.evaluation.tasks.answerer import ModelAnswerer
from packtrain.evaluation.tasks.packing import Wanted
from packtrain.evaluation.tasks.requests import Completions, Generate, Likelihood, Request, Scored
from packtrain.evaluation.tasks.runner import Prepared

CHUNK = 256  # requests between two movements of the progress bar
UNTIL, MAX_TOKENS = ("\n\n",), 256  # where a task does not say them
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


class HarnessModel(LM):
    """What lm-eval asks of a model, answered by packed rows. Requests are put in order so that those with the same
    beginning meet in one row."""

    def __init__(self, answerer: ModelAnswerer) -> None:
        super().__init__()
        self.answerer = answerer

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        asked = [Likelihood(*instance.args) for instance in requests]
        order = sorted(range(len(asked)), key=lambda i: (-len(asked[i].context), asked[i].context, i))
        found: dict[int, tuple[float, bool]] = {}
        for places in _chunks(order, disable_tqdm):
            answers = cast(list[Scored], self._answer([asked[i] for i in places], places))
            found |= {i: (answer.log_likelihood, answer.greedy) for i, answer in zip(places, answers, strict=True)}
        return [found[i] for i in range(len(asked))]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Of whole texts, in windows that do not overlap, each behind the last token of the one before."""
        tokenizer, limit = self.answerer.tokenizer, self.answerer.limit
        found = []
        for places in _chunks(range(len(requests)), disable_tqdm):
            for i in places:
                windows = utils.get_rolling_token_windows(
                    tokenizer.encode(requests[i].args[0]), tokenizer.bos_id, max_seq_len=limit, context_len=1
                )
                parts = [utils.make_disjoint_window(window) for window in windows]
                wanted = [Wanted([*context, *rest], len(context)) for context, rest in parts]
                found.append(sum(nats for nats, _ in self.answerer.score(wanted)))
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        asked = [generation(*instance.args) for instance in requests]
        order = sorted(range(len(asked)), key=lambda i: (-len(asked[i].context), i))
        found: dict[int, str] = {}
        for places in _chunks(order, disable_tqdm):
            answers = cast(list[Completions], self._answer([asked[i] for i in places], places))
            found |= {i: answer.texts[0] for i, answer in zip(places, answers, strict=True)}
        return [found[i] for i in range(len(asked))]

    def _answer(self, requests: Sequence[Request], numbers: Sequence[int]) -> list[Any]:
        return self.answerer.answer(requests, numbers)


def generation(context: str, settings: dict[str, Any]) -> Generate:
    """lm-eval's keyword arguments of a generation, as transformers calls them."""
    until = settings.get("until") or UNTIL
    stop = (until,) if isinstance(until, str) else tuple(until)
    warm = settings.get("do_sample", False) or settings.get("temperature", 0.0) > 0
    temperature = float(settings.get("temperature", 1.0)) if warm else 0.0
    longest = int(settings.get("max_gen_toks", MAX_TOKENS))
    return Generate(context, stop, longest, 1, temperature, float(settings.get("top_p", 1.0)))


def _chunks(order: Sequence[int], quiet: bool) -> Iterator[list[int]]:
    with tqdm(total=len(order), desc="lm_eval", unit="request", disable=quiet or None, leave=False) as bar:
        for start in range(0, len(order), CHUNK):
            yield list(order[start : start + CHUNK])
            bar.update(len(order[start : start + CHUNK]))


def export_task(task: Prepared, folder: Path) -> str:
    """Writes NAME.jsonl and NAME.yaml as lm-eval reads them, examples included in the prompts; its name there.

    Raises `UserError` for a task that lm-eval's YAML cannot say.
    """
    name = f"packtrain_{task.key.replace('@', '_')}"
    rows = [_row(task, item.requests, item.row) for item in task.items]
    several = "contexts" in rows[0]
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    values = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data.resolve())}, "cache_dir": str((folder / "cache").resolve())},
        "output_type": "multiple_choice",
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "gold" if several else "{{context}}",
        "doc_to_choice": "contexts" if several else "choices",
        "doc_to_target": "{{continuation}}" if several else "gold",
        "target_delimiter": "" if several else " ",
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")
        ],
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return name


def _row(task: Prepared, requests: Sequence[Request], row: dict[str, Any]) -> dict[str, Any]:
    """One question: a context and what follows it, or contexts and the one continuation of them all."""
    asked = [request for request in requests if isinstance(request, Likelihood)]
    if task.spec.scoring == "choice" and len(asked) >= len(row["choices"]):
        asked = asked[: len(row["choices"])]
        contexts, continuations = [r.context for r in asked], [r.continuation for r in asked]
        if len(set(contexts)) == 1 and all(c.startswith(" ") for c in continuations):
            return {"context": contexts[0], "choices": [c[1:] for c in continuations], "gold": row["gold"]}
        if len(set(continuations)) == 1:
            return {"contexts": contexts, "continuation": continuations[0], "gold": row["gold"]}
    raise UserError(f"task {task.key}: lm-eval's task files cannot say it; leave harness=lm_eval out")


def run(model: LM, names: Sequence[str], folders: Sequence[Path], limit: int | None = None) -> dict[str, Any]:
    """lm-eval's own `simple_evaluate` on the tasks in `folders`, without network: its results, samples included.

    limit: the first so many items of each task, which is lm-eval's own way.
    Raises `UserError` for a name that no YAML in the folders has.
    """
    with offline():
        manager = TaskManager(include_defaults=False, include_path=[str(folder) for folder in folders])
        unknown = [name for name in names if name not in manager.all_tasks]
        if unknown:
            raise UserError(f"lm-eval has no task '{unknown[0]}' in {', '.join(map(str, folders))}")
        evaluate: Any = simple_evaluate  # its decorators hide its parameters
        found = evaluate(
            model,
            tasks=list(names),
            task_manager=manager,
            limit=limit,
            bootstrap_iters=1000,  # a mean's error is worked out, not drawn; 0 would leave it out
            log_samples=True,
            verbosity="ERROR",
        )
    return cast(dict[str, Any], found)


@contextmanager
def offline() -> Iterator[None]:
    """Nothing is asked of the hub meanwhile; off a terminal lm-eval shows no bars, and datasets none at all."""
    before = {key: os.environ.get(key) for key in OFFLINE}
    os.environ.update(OFFLINE)
    bars: Any = task_module
    shown, bars.tqdm = bars.tqdm, partial(tqdm, disable=None, leave=False)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        bars.tqdm = shown
        datasets.enable_progress_bars()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
