"""Where the real raw inputs are, if they are: beside the repository, or where PACKTRAIN_TEST_DATA says"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def corpora() -> Path:
    """The folder `corpora`; skips the test, saying so, where there is none."""
    data = Path(os.environ.get("PACKTRAIN_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (data / "corpora").is_dir():
        pytest.skip(f"no real data at {data}; set PACKTRAIN_TEST_DATA")
    return data / "corpora"
