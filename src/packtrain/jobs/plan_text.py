"""the plan's dictionary → lines of `what  value  remark`"""

from __future__ import annotations

from typing import Any

Row = tuple[str, str, str]


def as_text(plan: dict[str, Any]) -> str:
    """The plan as a table; `?` where a figure is unknown."""
    rows = [*_model(plan), *_memory(plan), *_run(plan), *_serving(plan)]
    return table(rows)


def table(rows: list[Row]) -> str:
    """Three columns, the middle one to the right."""
    wide = max(len(value) for _, value, _ in rows)
    first = max(len(name) for name, _, _ in rows)
    return "\n".join(f"{name:{first}} {value:>{wide}}   {remark}".rstrip() for name, value, remark in rows)


def _model(plan: dict[str, Any]) -> list[Row]:
    flops, over = plan["flops_per_token"], plan["overtraining"]
    times = f"{over['over_20_tokens_a_parameter']:.2f} × the rule of 20, {over['over_law']:.2f} × {over['law']}"
    return [
        ("parameters", f"{plan['parameters']:,}", f"{plan['non_embedding_parameters']:,} without the embeddings"),
        ("tokens", f"{plan['tokens']:,}", f"{plan['steps']:,} steps of {plan['batch_tokens']:,}"),
        ("tokens a parameter", f"{plan['tokens_per_parameter']:,.1f}", times),
        ("FLOPs per token", f"{flops['6N']:.4g} (6N)", f"{flops['6N+attention']:.4g} (6N+attention)"),
        ("  executed", f"{flops['hardware']:.4g}", f"causal attention once, recompute={plan['recompute']}"),
        ("FLOPs in all", f"{plan['flops_total']:.4g}", f"by {plan['convention']}"),
    ]


def _memory(plan: dict[str, Any]) -> list[Row]:
    split, peak = plan["parallel"], plan["memory_peak"]
    gpu = f"{plan['gpus']:,} x {plan['gpu'] or 'unknown GPU'}"
    how = f"shard {split['shard']} × replicate {split['replicate']} × tensor {split['tensor']}"
    fits = {True: "fits", False: "does not fit", None: "not known whether it fits"}[plan["fits"]]
    room = "" if plan["gpu_memory_gib"] is None else f" {plan['gpu_memory_gib']:,.1f} GiB"
    largest = plan["largest_micro_batch"]
    rows = [
        ("weights", f"{plan['weights_per_gpu_gib']:,.2f} GiB", f"each GPU; fp32, whole {plan['weights_gib']:,.2f}"),
        ("gradients", f"{plan['gradients_per_gpu_gib']:,.2f} GiB", f"at the peak; whole {plan['gradients_gib']:,.2f}"),
        ("optimizer", f"{plan['optimizer_per_gpu_gib']:,.2f} GiB", f"moments; whole {plan['optimizer_gib']:,.2f}"),
        (
            "activations", f"{plan['activations_gib']:,.2f} GiB",
            f"{plan['micro_batch']} × {plan['sequence_length']} tokens, recompute={plan['recompute']}",
        ),
        ("logits", f"{plan['logits_gib']:,.2f} GiB", f"at the peak; one chunk of the loss has {plan['loss_gib']:,.2f}"),
        ("workspace", f"{plan['workspace_gib']:,.2f} GiB", "gathered layers, gradients on their way, CUDA, fragments"),
        ("memory per GPU", f"{plan['memory_gib']:,.2f} GiB", f"peak ({peak}), {how}, {gpu}{room}: {fits}"),
        ("micro-batch", f"{plan['micro_batch']}", f"accumulation {plan['accumulation']}; {largest or '?'} fits"),
    ]  # fmt: skip
    if plan["fits"] is False:
        for i, change in enumerate(plan["change"] or ["a smaller model: no change in reach fits"]):
            rows.append(("to make it fit" if i == 0 else "            or", "", change))
    return rows


def _run(plan: dict[str, Any]) -> list[Row]:
    def show(key: str, pattern: str, unit: str = "") -> str:
        return "?" if plan[key] is None else f"{plan[key]:{pattern}}{unit}"

    hours = ",.0f" if (plan["gpu_hours"] or 0) > 100 else ".3g"
    moved, parts = plan["communication_gb_per_step"], plan["step_parts"]
    wire = "a GPU and step: " + ", ".join(f"{name} {value:,.1f}" for name, value in moved.items())
    shares = ""
    if parts:
        whole = sum(parts[name] for name in ("products", "attention", "passes", "optimiser", "exposed"))
        names = {"products": "products", "attention": "attention", "passes": "memory-bound", "optimiser": "optimiser"}
        names |= {"exposed": "waiting for others"}
        shares = ", ".join(f"{label} {parts[name] / whole:.0%}" for name, label in names.items())
    rows = [
        ("communication", f"{sum(moved.values()):,.1f} GB", wire),
        ("speed", show("tokens_per_second_per_gpu", ",.0f", " tokens/s/GPU"), plan["assumption"] or plan["unknown"]),
        ("step", show("step_seconds", ",.3g", " s"), shares),
        ("utilisation", show("mfu", ".1%", " MFU"), f"{show('hfu', '.1%')} HFU; {plan['convention']}, executed FLOPs"),
        ("time", _span(plan["days"]), show("gpu_hours", hours, " GPU-hours")),
        (
            "energy", _scaled(plan["energy_mwh"], "MWh", "kWh"),
            f"{show('power_watts', 'g', ' W')} for each GPU, PUE {plan['pue']:g}",
        ),
        ("carbon", _scaled(plan["co2eq_tonnes"], "tCO2eq", "kg CO2eq"), f"{plan['kg_co2_per_kwh']:g} kg CO2eq per kWh"),
    ]  # fmt: skip
    if plan["price_per_gpu_hour"] is not None:
        rows.append(("cost", show("cost", ",.0f"), f"at {plan['price_per_gpu_hour']:g} a GPU-hour"))
    return rows


def _span(days: float | None) -> str:
    """In days; a toy's run in hours, minutes or seconds."""
    if days is None:
        return "?"
    for unit, length in (("days", 1.0), ("hours", 24.0), ("minutes", 1440.0)):
        if days * length >= 1:
            return f"{days * length:,.2f} {unit}"
    return f"{days * 86_400:,.2g} seconds"


def _scaled(value: float | None, unit: str, thousandth: str) -> str:
    if value is None:
        return "?"
    return f"{value:,.4g} {unit}" if value >= 0.01 else f"{1000 * value:,.4g} {thousandth}"


def _serving(plan: dict[str, Any]) -> list[Row]:
    rows = []
    for precision, found in plan["serving"].items():
        speed = found["tokens_per_second_per_gpu"]
        where = "" if found["gpus"] is None else f"; {found['gpus']} GPU, {speed:,.0f} tokens/s/GPU at most"
        cache = f"and {found['kv_cache_gb']:,.2f} GB of keys and values: {plan['serving_sequences']} × "
        rows.append(
            (
                f"serving {precision}",
                f"{found['weights_gb']:,.2f} GB",
                f"{cache}{plan['serving_context']} tokens{where}",
            )
        )
    return rows
