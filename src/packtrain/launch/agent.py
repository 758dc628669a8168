"""torchrun in this process, and what its ranks say when they leave: a mistake is told once and not tried again

    torchrun ── starts ──→ ranks ── last words ──→ note (launch/note.py)
       └─ starts again after a lost rank, `max_restarts` times;  not where the note says `failed`

torchrun alone starts everything again after whatever has ended a rank, and shows its own traceback under our one line.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packtrain.launch import note

FAILED = re.compile(r"^failed: .*?, exit code (\d+): ", re.MULTILINE)


def main(arguments: Sequence[str]) -> int:
    """torchrun with `arguments`; returns 0, the exit code of the rank that failed, or 128 + a signal."""
    from torch.distributed import run
    from torch.distributed.elastic.agent.server.api import SimpleElasticAgent
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    with tempfile.TemporaryDirectory(prefix="packtrain-note-") as folder:
        path = Path(os.environ.setdefault(note.VARIABLE, f"{folder}/note"))
        begin, agent = len(read(path)), SimpleElasticAgent
        again: Any = agent._restart_workers

        def restart(self: Any, group: Any) -> None:
            if exit_code(read(path)[begin:]) is not None:
                raise SignalException("a rank has failed by itself", signal.SIGTERM)  # the others are ended
            again(self, group)

        setattr(agent, again.__name__, restart)
        try:
            run.run(run.parse_args(list(arguments)))
            return 0
        except SignalException as error:
            return exit_code(read(path)[begin:]) or 128 + int(error.sigval)
        except ChildFailedError as error:
            said = exit_code(read(path)[begin:])
            rank, failure = error.get_first_failure()
            how = f"by signal {-failure.exitcode}" if failure.exitcode < 0 else f"with exit code {failure.exitcode}"
            if said is None:
                line = f"rank {rank} has ended {how}; the same command goes on from the last checkpoint"
                print(f"packtrain: {line}", file=sys.stderr, flush=True)
            return said or (failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode)
        finally:
            setattr(agent, again.__name__, again)


def exit_code(text: str) -> int | None:
    """Of the first rank that failed by itself; None where none did."""
    match = FAILED.search(text)
    return int(match[1]) if match else None


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
