"""one composed run → Member: where it lives and the command line that trains it, for a launcher to start elsewhere"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """`arguments` follow the program's name: `train model=7b … run_dir=runs/sizes/model=7b hydra/launcher=basic`."""

    name: str
    run_dir: str
    arguments: tuple[str, ...]
