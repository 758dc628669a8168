"""the shell asks (COMP_LINE) → the command's names, then Hydra's own completion of its keys and choices

eval "$(packtrain completion bash)"      # bash and zsh; fish: packtrain completion fish | source
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Sequence

from packtrain import cli_help
from packtrain.errors import UserError, did_you_mean

SHELLS = ("bash", "zsh", "fish")


def answer(word: str, arguments: Sequence[str]) -> int:
    """`packtrain completion SHELL` prints the script; the script then calls `packtrain -sc query=SHELL`."""
    if word == "completion":
        shell = arguments[0] if arguments else "bash"
        if shell not in SHELLS:
            raise UserError(f"completion {shell}{did_you_mean(shell, SHELLS)}")
        print_script(shell)
        return 0
    request = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    shell = request.get("query", "bash")
    separator = "\n" if shell == "fish" else " "
    print(separator.join(suggestions(os.environ.get("COMP_LINE", ""))))
    return 0


def print_script(shell: str) -> None:
    from hydra.core.plugins import Plugins
    from hydra.plugins.completion_plugin import CompletionPlugin

    from packtrain.cli_compose import engine

    sys.argv[0] = "packtrain"  # Hydra's script asks the program that argv names
    with engine() as hydra:
        for plugin in Plugins.instance().discover(CompletionPlugin):
            if issubclass(plugin, CompletionPlugin) and plugin.provides() == shell:
                plugin(hydra.config_loader).install()


def suggestions(line: str) -> list[str]:
    """What may stand at the end of `line`, a command line that begins with the program's name."""
    words = line.split()
    fresh = line.endswith(" ") or not words
    if len(words) <= 1 or (len(words) == 2 and not fresh):
        start_of = words[1] if len(words) == 2 else ""
        return [name for name in [*cli_help.commands(), "completion"] if name.startswith(start_of)]
    if words[1] == "completion":
        return list(SHELLS)
    if words[1] not in cli_help.commands():
        return []
    rest = re.sub(r"^\s*\S+\s+\S+", "", line).lstrip()
    with contextlib.suppress(Exception, SystemExit):  # a half-written line composes into nothing, and Tab stays silent
        return _hydra_suggestions(words[1], rest)
    return []


def _hydra_suggestions(command: str, rest: str) -> list[str]:
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    from packtrain.cli_compose import engine

    with engine() as hydra:
        words = DefaultCompletionPlugin(hydra.config_loader)._query(config_name=command, line=rest)
    return [word for word in map(str, words) if not word.startswith("hydra")]
