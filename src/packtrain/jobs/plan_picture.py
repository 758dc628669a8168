"""a comparison of sizes → one figure: cost of training, of serving and of both against parameters"""

from __future__ import annotations

from pathlib import Path

from packtrain.errors import UserError
from packtrain.estimate.scaling import Law
from packtrain.estimate.thesis import Comparison


def draw(found: Comparison, law: Law, path: Path) -> Path:
    """Writes `path` (.png or .svg) by rename. `UserError` where it exists already, or matplotlib is not installed."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"picture={path}: give a name that ends in .png or .svg")
    if path.exists():
        raise UserError(f"picture={path} exists already and is not overwritten; give another name or delete it")
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise UserError("picture=… needs matplotlib: pip install 'packtrain[report]'") from None
    sizes = [c.parameters for c in found.candidates]
    figure, axes = pyplot.subplots(figsize=(8, 4.8), layout="constrained")
    curves = {"training": "#2a6f97", "serving": "#c8803a", "together": "#222222"}
    for name, colour in curves.items():
        values = [c.total if name == "together" else getattr(c, name) for c in found.candidates]
        axes.plot(
            sizes, values, "o-", color=colour, label=name, linewidth=2.2 if name == "together" else 1.4, markersize=4
        )
    for which, text in ((found.cheapest_to_train, "cheapest to train"), (found.cheapest, "cheapest in all")):
        c = next(c for c in found.candidates if c.name == which)
        train = text == "cheapest to train"
        value = c.training if train else c.total
        label = f"{text}: {c.name}\n{c.tokens:.2g} tokens, {c.overtraining:.1f}× its optimum"
        axes.annotate(
            label, (c.parameters, value), xytext=(16, -40 if train else 52), textcoords="offset points", ha="left",
            fontsize=8.5, arrowprops={"arrowstyle": "-", "color": "#777777"},
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="parameters", ylabel=found.unit)
    axes.set_title(f"sizes trained until {found.loss:.3f} nats a token ({law.source})", fontsize=9)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.margins(x=0.08, y=0.22)
    axes.legend(frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    figure.savefig(temporary, dpi=150)
    pyplot.close(figure)
    temporary.replace(path)
    return path
