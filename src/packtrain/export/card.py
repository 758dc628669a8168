"""what a run knows of itself → README.md of an export: the model card

Only what was recorded, and of these weights alone: epochs and energy as they stood at the checkpoint's step, scores
where they were measured on it. A figure that the run does not have is said to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from packtrain.model.config import ModelConfig, parameter_count


def model_card(
    name: str,
    config: ModelConfig,
    meta: Mapping[str, Any],
    digest: str,
    run: Mapping[str, Any],
    how: Mapping[str, str],
    versions: Mapping[str, str],
    licence: str | None,
) -> str:
    """Markdown with the front matter that model hubs read.

    meta, digest: of the checkpoint. run: `config`, `metrics`, `ledger`, `summary`, `evaluation`, `tasks` and `starts`
    of its run, absent where there are none. how: lines about the export itself (format, precision, check). versions:
    of what exported it. licence: SPDX name of the weights' licence, None: not decided.
    """
    then = at_step(run, meta.get("step"))
    source = meta.get("imported_from")
    origin = "trained with packtrain" if source is None else f"imported by packtrain from {PurePath(source).name}"
    front = ["---", "library_name: packtrain", "tags: [llama, packtrain]"]
    front += [f"license: {licence.lower()}"] if licence else []
    parts = [
        "\n".join([*front, "---"]),
        f"# {name}",
        f"A LLaMA (arXiv 2302.13971) of {parameter_count(config):,} parameters, {origin}.",
        table("Architecture", architecture(config)),
        table("Training", training(meta, run)),
        mixture(run, then),
        scores(run, digest, how.get("precision", "fp32")),
        table("Energy and carbon", carbon(run, then)),
        "## Licence\n\n" + (licence or "Not stated by who exported it; the licences of the training data apply too."),
        table("Trained with", trained_with(run.get("starts") or ())),
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


def at_step(run: Mapping[str, Any], step: int | None) -> Mapping[str, Any]:
    """The run's row of metrics at the checkpoint's step, or the last one before it; empty where there is none.

    Where training ended with this checkpoint, the totals of summary.json.
    """
    rows = [row for row in run.get("metrics") or () if step and row.get("step", step + 1) <= step]
    row = max(rows, key=lambda row: row["step"], default={})
    summary = run.get("summary") or {}
    if not step or summary.get("step") != step:
        return row
    epochs = {f"data/epochs/{name}": value for name, value in (summary.get("repetitions") or {}).items()}
    totals = {f"carbon/{name}": summary[name] for name in ("energy_kwh", "co2eq_g") if name in summary}
    return {**epochs, **row, **totals, "step": step}


def training(meta: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    config = run.get("config") or {}
    data = config.get("data") or {}
    known = {
        "began with": config.get("init_from"),
        "step": meta.get("step") or None,
        "tokens": f"{meta['tokens']:,}" if meta.get("tokens") else None,
        "sequence length": data.get("sequence_length"),
        "batch, in tokens": data.get("batch_tokens"),
        "precision": config.get("precision"),
        "seed": config.get("seed"),
        "fingerprint of the data": meta.get("data_fingerprint"),
        "fingerprint of the tokenizer": meta.get("tokenizer_fingerprint"),
    }
    return {key: value for key, value in known.items() if value not in (None, "")}


def mixture(run: Mapping[str, Any], then: Mapping[str, Any]) -> str:
    """Each domain's share and epochs up to the checkpoint; the share that was wanted where none was counted."""
    weights = ((run.get("config") or {}).get("data") or {}).get("weights") or {}
    packed = {
        name: entry.get("packed_tokens") for name, entry in ((run.get("ledger") or {}).get("domains") or {}).items()
    }
    names = list(dict.fromkeys([*packed, *weights]))
    if not names:
        return "## Data\n\nThe run does not say what it was trained on."
    epochs = {name: then.get(f"data/epochs/{name}") for name in names}
    read = {name: epochs[name] * packed[name] for name in names if epochs[name] is not None and packed.get(name)}
    shares = read if sum(read.values()) else {name: weight for name, weight in weights.items() if weight}
    total = sum(shares.values()) or 1.0
    rows = []
    for name in names:
        share = f"{100 * shares[name] / total:.1f} %" if name in shares else "—"
        rows.append(f"| {name} | {share} | {_number(epochs[name])} |")
    title = "share of the tokens" if shares is read else "share of the tokens, as wanted"
    return "\n".join(["## Data", "", f"| domain | {title} | epochs |", "|---|---|---|", *rows])


def scores(run: Mapping[str, Any], digest: str, precision: str) -> str:
    """What was measured on these weights; figures of other checkpoints of the run are named, not shown."""
    lines, others = [], []
    for key, section in (("evaluation", held_out), ("tasks", tasks)):
        found = run.get(key) or {}
        made = found.get("made_from") or {}
        if not found:
            continue
        if made.get("model_sha256") != digest:
            others += ["", f"{key}.json of the run is of another checkpoint, so its figures are not here."]
            continue
        lines += section(found)
        if (measured := made.get("precision") or "fp32") != precision:
            lines += ["", f"Measured in {measured}; *This export* says how far its {precision} is from the checkpoint."]
    nothing = ["", "Not evaluated: `packtrain evaluate checkpoint=…`, then this export again with `overwrite=true`."]
    return "\n".join(["## Scores", *(lines or nothing), *others])


def held_out(evaluation: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {_number(values.get('bits_per_byte'))} | {_number(values.get('perplexity'))} |"
        for name, values in (evaluation.get("domains") or {}).items()
        if isinstance(values, Mapping)
    ]
    return ["", "| held-out text | bits per byte | perplexity |", "|---|---|---|", *rows] if rows else []


def tasks(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for task in (found.get("tasks") or {}).values():
        figure = task["figures"].get(task["metric"]) or {}
        counts = f"{task['shots']} | {figure.get('n', '—')} | {task['metric']}"
        rows.append(f"| {task['name']} | {counts} | {_number(figure.get('value'))} | {_number(figure.get('stderr'))} |")
    return ["", "| task | shots | n | metric | value | ± s.e. |", "|---|---|---|---|---|---|", *rows] if rows else []


def carbon(run: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """What the run had used at the checkpoint's step, without what it began with."""
    energy, emitted = (then.get(f"carbon/{name}") for name in ("energy_kwh", "co2eq_g"))
    if energy is None:
        return {"energy": "the run has not recorded it"}
    summary = run.get("summary") or {}
    source = summary.get("energy_source") or "its source is written when training ends"
    if detail := summary.get("energy_detail"):
        source += f": {detail}"
    return {
        "energy": f"{energy:.4g} kWh ({source})",
        "emissions": f"{_number(emitted)} g CO2eq",
        "counted up to": f"step {then['step']:.0f}",
    }


def trained_with(starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Machine and versions of each start of the run, those that stayed the same once."""
    if not starts:
        return {"versions": "the run has not recorded them"}
    names = dict.fromkeys(name for start in starts for name in start if name not in ("started", "from_step"))
    return {name: "; ".join(dict.fromkeys(str(s[name]) for s in starts if name in s)) for name in names}


def table(title: str, values: Mapping[str, Any]) -> str:
    rows = [f"| {key} | {value} |" for key, value in values.items()]
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *rows])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "—"
