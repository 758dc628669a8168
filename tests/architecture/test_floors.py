"""source → imports (those inside functions too) → floors, circles, and what may stand where

cli → jobs → callbacks → training, evaluation → inference, export, parallel, checkpoint, data, estimate, report
    → model, tokenizer → settings → errors
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
FLOORS = (
    ("errors", "stop"),
    ("settings", "lock"),
    ("model", "tokenizer"),
    ("inference", "launch", "export", "parallel", "checkpoint", "data", "estimate", "report"),
    ("training", "evaluation"),
    ("callbacks",),
    ("jobs",),
    ("cli",),
    ("__main__",),
)
FLOOR = {part: number for number, parts in enumerate(FLOORS) for part in parts}
LIGHTNING = ("training/", "callbacks/", "jobs/train.py", "jobs/finetune.py")
FILES = sorted(SRC.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str) -> Iterator[str]:
    """Every module that the source imports, anywhere; `from a import b` gives a and a.b, for b may be a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import: name the whole path"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str | None:
    """packtrain.model.rope → model; packtrain.cli_help → cli; anything else, the package itself too, → None."""
    names = module.split(".")
    if names[0] != "packtrain" or len(names) < 2:
        return None
    return "cli" if names[1].startswith("cli_") else names[1] if names[1] in FLOOR else None


def climbs(module: str, source: str) -> list[str]:
    """The imports of `module` that do not go down."""
    here = part_of(module)
    if here is None:
        return []
    there = {found: part_of(found) for found in imports(source)}
    return [
        f"{module} imports {found}"
        for found, part in there.items()
        if part not in (None, here) and not below(part, here)
    ]


def below(part: str | None, here: str) -> bool:
    return part is not None and FLOOR[part] < FLOOR[here]


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Each module that can be reached from itself, with the way round."""
    found: list[str] = []
    for start in graph:
        stack, seen = [(start, (start,))], set()
        while stack:
            node, way = stack.pop()
            for after in graph.get(node, ()):
                if after == start:
                    found.append(" → ".join((*way, start)))
                elif after not in seen:
                    seen.add(after)
                    stack.append((after, (*way, after)))
    return found


def strangers(path: str, source: str) -> list[str]:
    """Hydra outside the command line, Lightning outside training: `path` is below src/."""
    found = {module.split(".")[0] for module in imports(source)}
    inner = path.removeprefix("packtrain/")
    complaints = []
    if found & {"hydra", "omegaconf"} and not (inner.startswith("cli") or path.startswith("hydra_plugins/")):
        complaints.append(f"{path} knows Hydra")
    if found & {"lightning", "pytorch_lightning"} and not inner.startswith(LIGHTNING):
        complaints.append(f"{path} knows Lightning")
    return complaints


def dangers(source: str) -> list[str]:
    """eval, exec, pickle, and torch.load that would unpickle anything."""
    complaints = [
        f"imports {name}" for name in imports(source) if name.split(".")[0] in ("pickle", "dill", "cloudpickle")
    ]
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("eval", "exec"):
            complaints.append(f"calls {called}")
        if called == "torch.load":
            safe = [
                k
                for k in node.keywords
                if k.arg == "weights_only" and isinstance(k.value, ast.Constant) and k.value.value
            ]
            complaints += [] if safe else ["torch.load without weights_only=True"]
    return complaints


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_file_keeps_to_its_floor_its_length_and_its_tools(path: Path) -> None:
    source, relative = path.read_text(encoding="utf-8"), str(path.relative_to(SRC))
    assert climbs(module_name(path), source) == []
    assert strangers(relative, source) == []
    assert dangers(source) == []
    assert len(source.splitlines()) <= 250, "one reads a file in one sitting"
    if path.name == "__init__.py":
        assert list(imports(source)) == [], "a package's __init__ imports nothing"
    else:
        assert ast.get_docstring(ast.parse(source)), "a file opens by drawing its flow"


def test_every_package_has_a_floor() -> None:
    packages = {path.name for path in (SRC / "packtrain").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert packages <= set(FLOOR), f"give {packages - set(FLOOR)} a floor"


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {module_name(path) for path in FILES}
    graph = {
        module_name(path): {found for found in imports(path.read_text(encoding="utf-8")) if found in names}
        - {module_name(path), "packtrain"}
        for path in FILES
    }
    assert circles(graph) == []


def test_the_checker_sees_planted_violations() -> None:
    upwards = "def f():\n    from packtrain.training.module import LlamaModule\n"
    assert climbs("packtrain.model.llama", upwards) != []
    assert climbs("packtrain.evaluation.held_out", upwards) != [], "a neighbour on the same floor"
    assert climbs("packtrain.callbacks.carbon", upwards) == []
    assert climbs("packtrain.jobs.train", "import packtrain.cli_help") != []
    assert strangers("packtrain/model/x.py", "def f():\n    import omegaconf") != []
    assert strangers("packtrain/jobs/x.py", "from lightning.pytorch import Trainer") != []
    assert strangers("packtrain/cli_compose.py", "import hydra") == []
    assert dangers("eval('1')") and dangers("import pickle") and dangers("torch.load(p, weights_only=False)")
    assert dangers("torch.load(p)") and not dangers("torch.load(p, weights_only=True)\nmodel.eval()")
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) and not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})
