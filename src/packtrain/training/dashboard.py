"""a run's configuration → what TensorBoard shows beside the scalars: a page of charts, a row of the HPARAMS table

CUSTOM SCALARS   loss, throughput and energy against tokens; the same tags in every run, so that sizes and ablations
                 lie over each other
HPARAMS          one row a run: its settings, those that a sweep varies first, and where its figures ended
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

VS_TOKENS = "_vs_tokens"  # the tag of a scalar whose step is its tokens
LAYOUT: dict[str, dict[str, str]] = {  # category → chart → the tags on it
    "Loss against tokens": {
        "training": "train/loss",
        "held out, by the mixture's weights": "val/loss",
        "held out, every domain": "val/loss/.+",
    },
    "Throughput against tokens": {
        "tokens per second": "throughput/tokens_per_second",
        "seconds of a step": "throughput/seconds/.+",
        "utilisation (model FLOPs, hardware FLOPs)": "throughput/[mh]fu",
        "goodput": "throughput/goodput",
    },
    "Energy against tokens": {
        "kWh so far, with PUE; and foreseen at the end": "carbon/(energy|projected)_kwh",
        "gCO2eq so far; and foreseen at the end": "carbon/(projected_)?co2eq_g",
        "watts": "carbon/power_watts",
        "joules per token": "carbon/joules_per_token",
    },
    "Optimiser against tokens": {
        "learning rate": "train/lr",
        "gradient norm": "train/grad_norm",
    },
}
SCORES = {"Scores against tokens": {"every task": "tasks/.+"}}  # where tasks are asked on the way
COMPARED = ("model", "data", "optim", "precision", "attention", "recompute", "compile", "fp8", "parallel", "seed")
HIDDEN = ("model.recipe", "data.path", "data.input", "data.workers")  # took part already, or says nothing about a run
FIGURES = ("train/loss", "val/loss", "throughput/tokens_per_second", "throughput/mfu", "carbon/energy_kwh")
OFTEN_VARIED = ("data.batch_tokens", "data.tokens", "model.dim", "model.n_layers", "optim.learning_rate")


def hyperparameters(config: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """{"model.dim": 192, …}: the settings by which runs are compared, in dotted names; what is null is a word."""
    found: dict[str, bool | float | str] = {}

    def walk(value: Any, name: str) -> None:
        if name.startswith(HIDDEN):
            return
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        else:
            found[name] = value if isinstance(value, (bool, int, float, str)) else str(value).replace("None", "null")

    walk({key: config[key] for key in COMPARED if key in config}, "")
    return found


def varied(settings: Mapping[str, Any], run_dir: Path) -> set[str]:
    """The settings that the folder of a sweep's member names (`model=1m,optim.weight_decay=0`); else what often varies.

    TensorBoard shows five unasked, in alphabetical order.
    """
    swept = {part.split("=")[0].lstrip("+~") for part in run_dir.name.split(",") if "=" in part}
    groups = tuple(f"{name}." for name in swept)
    return {name for name in settings if name in swept or (name in OFTEN_VARIED and name.startswith(groups))} or set(
        OFTEN_VARIED
    )


def hparams_summaries(config: Mapping[str, Any], run_dir: Path) -> list[Any]:
    """The two records from which the HPARAMS page is made: what there is to compare, and this run's values.

    TensorBoard takes the first of all runs, so each holds the whole list; those first that are said to differ.
    """
    api_pb2, plugin_data_pb2 = _messages()
    settings = hyperparameters(config)
    first = varied(settings, run_dir)
    infos = [
        api_pb2.HParamInfo(
            name=name,
            type=api_pb2.DATA_TYPE_BOOL
            if isinstance(value, bool)
            else api_pb2.DATA_TYPE_STRING
            if isinstance(value, str)
            else api_pb2.DATA_TYPE_FLOAT64,
            differs=name in first,
        )
        for name, value in settings.items()
    ]
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in FIGURES]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics, time_created_secs=time.time())
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for name, value in settings.items():
        kind = "bool_value" if isinstance(value, bool) else "string_value" if isinstance(value, str) else "number_value"
        setattr(start.hparams[name], kind, value)
    return [
        _summary("_hparams_/experiment", plugin_data_pb2.HParamsPluginData(experiment=experiment)),
        _summary("_hparams_/session_start_info", plugin_data_pb2.HParamsPluginData(session_start_info=start)),
    ]


def session_end() -> Any:
    """The record of a run that has trained to its end."""
    api_pb2, plugin_data_pb2 = _messages()
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    return _summary("_hparams_/session_end_info", plugin_data_pb2.HParamsPluginData(session_end_info=end))


def layout_summary(domains: Iterable[str] = (), scores: bool = False) -> Any:
    """The CUSTOM SCALARS page; each of `domains` gets a chart of its own, in which runs lie over each other."""
    from torch.utils.tensorboard.summary import custom_scalars

    each = {f"held out, {name}": f"val/loss/{re.escape(name)}" for name in domains}
    charts = {**LAYOUT, **(SCORES if scores else {}), **({"Each domain against tokens": each} if each else {})}
    return custom_scalars(
        {
            category: {title: ["Multiline", [f"^{tags}{VS_TOKENS}$"]] for title, tags in inside.items()}
            for category, inside in charts.items()
        }
    )


def _messages() -> tuple[Any, Any]:
    """The plugin's protocol buffers, made at run time, so that no checker of types knows their names."""
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    return api_pb2, plugin_data_pb2


def _summary(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.plugins.hparams import metadata

    made = Summary()
    made.value.add(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
    return made
