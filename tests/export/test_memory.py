"""Exporting streams: a process never holds more than two layers and an embedding of the model"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.distributed.launch import torchrun
from tests.export.making import make_run

PROGRAM = """
import sys, threading
import torch
from pathlib import Path
torch.set_num_threads(1)
from packtrain.cli import main

def resident():  # anonymous memory: what is ours alone, without pages of files
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])

assert main(["export", sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[6], "verify_tokens=16"]) == 0  # imports, pools
before, peak, done = resident(), 0, threading.Event()

def watch():
    global peak
    while not done.is_set():
        peak = max(peak, resident())
        done.wait(0.001)

thread = threading.Thread(target=watch)
thread.start()
code = main(["export", sys.argv[4], sys.argv[2], sys.argv[3], sys.argv[5], "verify_tokens=16"])
done.set()
thread.join()
print("peak", (peak - before) * 1024, code)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("format", "mesh"),
    [
        ("hf", None),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("meta", None), ("gguf", None), ("hf", "1x2x1"))),
    ],
)
def test_memory_stays_under_two_layers_and_the_embedding(tmp_path: Path, format: str, mesh: str | None) -> None:
    dim, ffn, layers = 512, 1536, 12
    small = make_run(tmp_path, "full heads", name="warm")
    run = make_run(tmp_path, name="large", dim=dim, n_layers=layers, n_heads=8, n_kv_heads=8, ffn_dim=ffn)
    if mesh is not None:  # the same weights in shards of two processes
        ended = torchrun(2, Path(__file__).with_name("reshard.py"), run, tmp_path / "sharded", mesh)
        assert ended.code == 0, ended.output
        run = tmp_path / "sharded" / mesh / "large"
    layer, embedding = 4 * (4 * dim * dim + 3 * dim * ffn), 4 * 328 * dim
    arguments = [f"checkpoint={small}", f"format={format}", "precision=fp32", f"checkpoint={run}"]
    outputs = [f"output={tmp_path / 'out'}", f"output={tmp_path / 'warm_out'}"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments, *outputs], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    peak, code = map(int, done.stdout.split("peak ")[1].split())
    assert code == 0
    assert peak < 2 * layer + embedding + 4_000_000, f"{peak / 1e6:.1f} MB for layers of {layer / 1e6:.1f} MB"
    assert layers * layer > 5 * (2 * layer + embedding), "the whole model would not fit under the bound"
