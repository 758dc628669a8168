"""what a run knows of itself → README.md of an export: the model card

Only what was recorded: a figure that the run does not have is said to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packtrain.model.config import ModelConfig, parameter_count


def model_card(
    name: str,
    config: ModelConfig,
    meta: Mapping[str, Any],
    run: Mapping[str, Mapping[str, Any]],
    how: Mapping[str, str],
    versions: Mapping[str, str],
    licence: str | None,
) -> str:
    """Markdown with the front matter that model hubs read.

    meta: of the checkpoint. run: `config`, `summary` and `evaluation` of its run, empty where absent. how: lines about
    the export itself (format, precision, check). licence: SPDX name of the weights' licence, None: not decided.
    """
    front = ["---", "library_name: packtrain", "tags: [llama, packtrain]"]
    front += [f"license: {licence.lower()}"] if licence else []
    parts = [
        "\n".join([*front, "---"]),
        f"# {name}",
        f"A LLaMA (arXiv 2302.13971) of {parameter_count(config):,} parameters, trained with packtrain.",
        table("Architecture", architecture(config)),
        table("Training", training(meta, run)),
        mixture(run.get("config", {}), run.get("summary", {})),
        scores(run.get("evaluation", {})),
        table("Energy and carbon", carbon(run.get("summary", {}))),
        "## Licence\n\n" + (licence or "Not stated by who exported it; the licences of the training data apply too."),
        table("This export", {**how, **{f"version of {k}": v for k, v in versions.items()}}),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def architecture(config: ModelConfig) -> dict[str, Any]:
    return {
        "width, layers": f"{config.dim}, {config.n_layers}",
        "heads (of them keys and values)": f"{config.n_heads} ({config.kv_heads})",
        "feed-forward": config.hidden_dim,
        "vocabulary": config.vocabulary,
        "longest sequence": config.max_sequence_length,
        "rotary base, norm epsilon": f"{config.rope_theta:g}, {config.norm_eps:g}",
    }


def training(meta: Mapping[str, Any], run: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    data = run.get("config", {}).get("data") or {}
    known = {
        "step": meta.get("step"),
        "tokens": f"{meta['tokens']:,}" if meta.get("tokens") is not None else None,
        "sequence length": data.get("sequence_length"),
        "batch, in tokens": data.get("batch_tokens"),
        "precision": run.get("config", {}).get("precision"),
        "seed": run.get("config", {}).get("seed"),
        "fingerprint of the data": meta.get("data_fingerprint"),
        "fingerprint of the tokenizer": meta.get("tokenizer_fingerprint"),
    }
    return {key: value for key, value in known.items() if value not in (None, "")}


def mixture(config: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    weights = (config.get("data") or {}).get("weights") or {}
    repetitions = summary.get("repetitions") or {}
    names = list(weights) or list(repetitions)
    if not names:
        return "## Data\n\nThe run does not say what it was trained on."
    total = sum(weights.values()) or 1.0
    rows = []
    for name in names:
        share = f"{100 * weights[name] / total:.1f} %" if name in weights else ""
        rows.append(f"| {name} | {share} | {_number(repetitions.get(name))} |")
    return "\n".join(["## Data", "", "| domain | share of the tokens | epochs |", "|---|---|---|", *rows])


def scores(evaluation: Mapping[str, Any]) -> str:
    domains = evaluation.get("domains") or {}
    if not domains:
        return "## Scores\n\nThis checkpoint was not evaluated; `packtrain evaluate checkpoint=…` does it."
    rows = [
        f"| {name} | {_number(values.get('bits_per_byte'))} | {_number(values.get('perplexity'))} |"
        for name, values in domains.items()
        if isinstance(values, Mapping)
    ]
    head = ["## Scores", "", "| held-out text | bits per byte | perplexity |", "|---|---|---|"]
    return "\n".join([*head, *rows])


def carbon(summary: Mapping[str, Any]) -> dict[str, Any]:
    if summary.get("energy_kwh") is None:
        return {"energy": "the run has not recorded it"}
    return {
        "energy": f"{summary['energy_kwh']:.4g} kWh ({summary.get('energy_source', 'source unknown')})",
        "emissions": f"{_number(summary.get('co2eq_g'))} g CO2eq",
    }


def table(title: str, values: Mapping[str, Any]) -> str:
    rows = [f"| {key} | {value} |" for key, value in values.items()]
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *rows])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "—"
