"""conf/*.yaml → the help pages: what a command does, its keys with defaults and comments, its groups with choices

Read from the files themselves, so that the pages cannot differ from what runs. No Hydra: it answers at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

BASE = "base"  # conf/<group>/base.yaml is what the group's choices share, and no choice itself
EXAMPLES = {
    "train": ("packtrain train model=1m data=python", "packtrain train -m model=1m,5m name=sizes"),
    "plan": ("packtrain plan model=65b cluster=llama_paper", "packtrain plan model=7b format=json"),
    "doctor": ("packtrain doctor", "packtrain doctor format=json"),
    "runs": ("packtrain runs", "packtrain runs compare=[first,second]"),
}
FLAGS = """\
  key=value               any key of the configuration, e.g. optim.weight_decay=0.05
  -m, --multirun          one job for every combination of comma-separated values
  -q, --quiet             of train: only the last line, and what goes wrong
  --cfg job [--resolve]   show the configuration and run nothing (-p KEY: only that part)
  --info                  where the configuration comes from
  -cd, --config-dir DIR   a folder of your own YAML files, searched first"""


@dataclass(frozen=True)
class Page:
    """One command's YAML, as its help shows it."""

    purpose: str
    keys: list[tuple[str, str, str]]  # dotted key, default, comment
    groups: list[tuple[str, str, list[str]]]  # group, default choice, all choices


def conf() -> Traversable:
    return files("packtrain.conf")


def commands() -> list[str]:
    """Every command there is: one for each YAML at the top of conf/."""
    return sorted(item.name[:-5] for item in conf().iterdir() if item.name.endswith(".yaml"))


def has_key(command: str, key: str) -> bool:
    """Whether a command's YAML has `key` at its top."""
    text = (conf() / f"{command}.yaml").read_text(encoding="utf-8")
    return re.search(rf"^{key}:", text, re.MULTILINE) is not None


def purpose(text: str) -> str:
    """The first comment line of a command's YAML."""
    comments = (line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("packtrain ")), "")


def examples(command: str, text: str) -> list[str]:
    """The comment lines of a command's YAML that are commands themselves, then our own; two at least."""
    shown = [line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("# packtrain ")]
    more = EXAMPLES.get(command, (f"packtrain {command} --cfg job", f"packtrain {command} --info"))
    return [*shown, *more][: max(2, len(shown))]


def choices(group: str) -> list[str]:
    """The names that `group=` takes."""
    folder = conf()
    for part in group.split("/"):
        folder = folder / part
    if not folder.is_dir():
        return []
    names = (item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))
    return sorted(name for name in names if name != BASE)


def overview() -> str:
    """What `packtrain --help` prints."""
    texts = {name: (conf() / f"{name}.yaml").read_text(encoding="utf-8") for name in commands()}
    width = max(map(len, [*texts, "completion"]))
    lines = ["packtrain: LLaMA, from raw text to a trained, evaluated model", ""]
    lines += ["usage: packtrain COMMAND [key=value …]", "", "commands:"]
    lines += [f"  {name:{width}}  {purpose(text)}" for name, text in texts.items()]
    lines += [f'  {"completion":{width}}  tab completion: eval "$(packtrain completion bash|zsh|fish)"', ""]
    lines += ["packtrain COMMAND --help lists its keys, packtrain --version the version."]
    return "\n".join(lines)


def command_page(command: str) -> str:
    """What `packtrain COMMAND --help` prints."""
    text = (conf() / f"{command}.yaml").read_text(encoding="utf-8")
    page = read_page(text)
    lines = [f"packtrain {command}: {page.purpose}", "", f"usage: packtrain {command} [key=value …]", ""]
    if page.groups:
        lines += ["groups (key=choice; the first is the default):"]
        for group, default, known in page.groups:
            others = [choice for choice in known if choice != default]
            lines.append(f"  {group}={'|'.join([default, *others])}")
        lines.append("")
    if page.keys:
        name_width = max(len(key) for key, _, _ in page.keys)
        value_width = min(24, max(len(value) for _, value, _ in page.keys))
        lines += ["keys, their defaults and what they mean:"]
        lines += [f"  {k:{name_width}}  {v:{value_width}}  {comment}".rstrip() for k, v, comment in page.keys]
        lines += [f"  (the keys of the groups: packtrain {command} --cfg job)"] if page.groups else []
        lines.append("")
    lines.append("flags:")
    if any(group == "experiment" for group, _, _ in page.groups):
        lines.append("  experiment=NAME         a named set of settings from conf/experiment")
    return "\n".join([*lines, FLAGS, "", "examples:", *(f"  {example}" for example in examples(command, text))])


def read_page(text: str) -> Page:
    """A command's YAML, line by line: comments are what a YAML parser would throw away."""
    keys: list[tuple[str, str, str]] = []
    groups: list[tuple[str, str, list[str]]] = []
    path: list[tuple[int, str]] = []  # the open parents: (indentation, key)
    above: list[str] = []
    in_defaults = False
    for line in text.splitlines():
        bare = line.strip()
        if not bare:
            above = []
            continue
        if bare.startswith("#"):
            above.append(bare.lstrip("# "))
            continue
        if re.match(r"\S", line) and not bare.startswith("-"):
            in_defaults = bare == "defaults:"
        if in_defaults:
            groups += _group(bare)
            above = []
            continue
        match = re.match(r"(\s*)[\"']?([\w.]+)[\"']?:\s*(.*?)\s*(?:(?:^|\s)#\s*(.*))?$", line)
        if not match:
            continue
        indent, key, value, comment = len(match[1]), match[2], match[3], match[4]
        path = [(depth, name) for depth, name in path if depth < indent]
        if value:
            dotted = ".".join([*(name for _, name in path), key])
            keys.append((dotted, value, comment or " ".join(above)))
        else:
            path.append((indent, key))
        above = []
    return Page(purpose(text), keys, groups)


def _group(line: str) -> list[tuple[str, str, list[str]]]:
    """`- optional model: 7b` → ("model", "7b", every choice); `- _self_` → nothing."""
    match = re.match(r"-\s*(?:optional |override )*/?([\w/]+)(?:@\S+)?:\s*([^#\s]+)", line)
    if not match or match[1].startswith("hydra"):
        return []
    return [(match[1], match[2], choices(match[1]))]
