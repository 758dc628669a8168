"""profile=true: a trace that opens, the ten costliest operations, and the run as it would have been without"""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from packtrain.callbacks.profile import costliest, table


def test_a_profiled_run_writes_a_trace_and_ten_operations_and_ends_bitwise_as_another(train) -> None:
    plain, profiled = train(name="plain"), train("profile=true", name="profiled")
    assert profiled.code == 0, profiled.err
    folder = profiled.run_dir / "profile"
    names = {"step-00000003.pt.trace.json", "step-00000003.operations.txt"}
    if torch.cuda.is_available():
        names.add("step-00000003.memory.pickle")
    assert {path.name for path in folder.iterdir()} == names

    events = json.loads((folder / "step-00000003.pt.trace.json").read_text())["traceEvents"]
    seen = {event.get("name", "") for event in events}
    for ours in ("ManualLayer", "ManualLayerBackward", "LinearCrossEntropy", "LinearCrossEntropyBackward"):
        assert ours in seen or any(name.endswith(f": {ours}") for name in seen), ours
    complete = [e for e in events if e.get("name") == "ManualLayer" and e.get("ph") == "X"]
    assert complete and len(complete) % 3 == 0, "three steps are recorded, every layer in each"
    assert all(event["dur"] >= 0 for event in complete)

    lines = (folder / "step-00000003.operations.txt").read_text().splitlines()
    assert lines[0].split() == ["operation", "ms/step", "calls/step", "share"] and len(lines) == 2 + 10
    assert any(line.startswith("aten::") for line in lines[2:])
    assert lines[2] in profiled.out and "profile of steps 3 to 5" in profiled.out

    ours, theirs = (load_file(o.run_dir / "checkpoints/step-00000020/model.safetensors") for o in (profiled, plain))
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


def test_a_run_of_one_step_is_profiled_too(train) -> None:
    outcome = train("profile=true", "data.tokens=256", "optim.warmup_steps=0", name="short")
    assert outcome.code == 0, outcome.err
    assert (outcome.run_dir / "profile" / "step-00000001.pt.trace.json").exists()


def test_the_costliest_are_sorted_by_their_own_time() -> None:
    def event(key: str, cpu: float, gpu: float) -> SimpleNamespace:
        return SimpleNamespace(key=key, count=6, self_cpu_time_total=cpu, self_device_time_total=gpu)

    events = [event("a", 1e3, 9e3), event("b", 3e3, 0), event("ProfilerStep#1", 1e9, 1e9)]
    assert [(o.name, o.share) for o in costliest(events, "cpu")] == [("b", 0.75), ("a", 0.25)]
    assert [o.name for o in costliest(events, "cuda", rows=1)] == ["a"]
    assert table(costliest(events, "cpu"), 3).splitlines()[2].split() == ["b", "1.00", "2.0", "75.0%"]


def test_profile_is_yes_or_no(train, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = train("profile=maybe")
    assert outcome.code == 2 and "profile" in outcome.err and outcome.err.count("\n") == 1
