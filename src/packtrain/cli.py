"""argv → command → Hydra composes conf/<command>.yaml → plain dict → settings.build → jobs.<command>.run

Hydra and OmegaConf end in this file and its helpers cli_*.py: a job sees a frozen dataclass of plain values. Every way
out is one line on stderr and an exit code: 0 well, 1 a failure, 2 a user's mistake, 130 interrupted.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence

from packtrain import __version__, cli_help, stop
from packtrain.errors import Failure, UserError, did_you_mean
from packtrain.launch import note

REMEDIES = {
    errno.ENOSPC: "; free some space, then run the same command again",
    errno.EDQUOT: "; free some space, then run the same command again",
    errno.EACCES: "; choose a folder that you may write to, or change its permissions",
    errno.EROFS: "; choose a folder that you may write to",
}
PEER_GONE = r"gloo|NCCL|[Cc]onnection (closed|reset) by peer"  # what a collective says when a rank has died
OWN_WORDS = ("completion",)  # answered here, not by a job


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns its exit code. `argv` is without the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # OpenMP's threads spin while they wait: beside any other load on the machine each barrier then costs milliseconds,
    # and a small model trains at a third of its speed. Set here, before torch loads the library.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    stop.listen_early()

    _mend_streams()

    def action() -> int:
        code = dispatch(arguments)
        sys.stdout.flush()  # here, so that a full disk or a reader that left is met by guarded
        return code

    try:
        with stop.terminable():
            return guarded(action)
    except BrokenPipeError:  # `packtrain runs | head`: the reader has left, and nobody wants to hear of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _mend_streams() -> None:
    """A closed stdout swallows, an ASCII one shows `?` for what it cannot write: neither is worth a traceback."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it lives as long as the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def dispatch(arguments: list[str]) -> int:
    """One command line to its exit code; exceptions pass through to `guarded`."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(cli_help.overview())
        return 0
    command, *rest = arguments
    if command in ("--version", "-V"):
        print(f"packtrain {__version__}")
        return 0
    if command in ("completion", "-sc", "--shell-completion"):
        from packtrain import cli_completion

        return cli_completion.answer(command, rest)
    known = [*cli_help.commands(), *OWN_WORDS]
    if command not in known:
        kind = "option" if command.startswith("-") else "command"
        raise UserError(f"unknown {kind} '{command}'{did_you_mean(command, known)}")
    if "-h" in rest or "--help" in rest:
        print(cli_help.command_page(command))
        return 0
    from packtrain import cli_run  # imports Hydra: 0.2 s that the pages above need not pay

    return cli_run.run(command, rest, guarded)


def guarded(action: Callable[[], int]) -> int:
    """Runs `action`; whatever goes wrong becomes one line on stderr and an exit code."""
    try:
        return action()
    except BrokenPipeError:
        raise
    except UserError as error:
        return complain(error, 2)
    except Failure as error:
        return complain(error, 1)
    except stop.Told:
        return 130
    except KeyboardInterrupt:
        print("packtrain: interrupted", file=sys.stderr)
        return 130
    except OSError as error:  # a full disk, a folder without permission
        what = error.strerror or str(error)
        where = f": {error.filename}" if error.filename else ""
        remedy = REMEDIES.get(error.errno or 0, "")
        return complain(OSError(f"{what}{where}{remedy}"), 1, error)
    except Exception as error:  # ours to mend: say where
        if lost_a_rank(error):
            return complain(RuntimeError(f"another process of this run is gone: {error}"), 1, error, "lost")
        traceback.print_exc()
        return complain(RuntimeError(f"this is a bug in packtrain: {type(error).__name__}: {error}"), 1)


def lost_a_rank(error: BaseException | None) -> bool:
    """Whether the error, or one that caused it, says that a peer in a collective went away."""
    seen: set[int] = set()  # a chain of causes may run in a circle
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        names = {cls.__name__ for cls in type(error).__mro__}
        if "DistError" in names or (isinstance(error, RuntimeError) and re.search(PEER_GONE, str(error))):
            return True
        error = error.__cause__ or error.__context__
    return False


def complain(
    message: BaseException, code: int, cause: BaseException | None = None, verdict: note.Verdict = "failed"
) -> int:
    """One line on stderr; the traceback too where PACKTRAIN_DEBUG or HYDRA_FULL_ERROR asks for it."""
    note.leave("lost" if lost_a_rank(cause or message) else verdict, str(message), code)
    if any(os.environ.get(name, "0") not in ("", "0") for name in ("PACKTRAIN_DEBUG", "HYDRA_FULL_ERROR")):
        traceback.print_exception(cause or message)
    print(f"packtrain: {' '.join(str(message).split())}", file=sys.stderr)
    return code


def entry() -> None:
    """The console script."""
    code = main()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # All is written and the group is left. Threads of the communication library that still live would abort the
        # process on an orderly exit, and the launcher take a finished run for a crashed one.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    entry()
