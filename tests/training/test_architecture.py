"""A run of another architecture trains, goes on and reads back; where switches differ, one line with the remedy"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from packtrain.checkpoint.directory import OWN_SUM
from packtrain.checkpoint.load import load_model
from packtrain.errors import UserError
from packtrain.jobs.export import ExportJob
from packtrain.jobs.export import run as export
from packtrain.model.config import SWITCHES
from tests.export.making import make_run
from tests.training.test_run import stopped

OTHER = ("model.norm=layer", "model.positions=learned", "model.tied_embeddings=true", "model.max_sequence_length=64")


def test_a_run_of_another_architecture_stops_goes_on_and_reads_back(train) -> None:
    first = train(*OTHER, "+callbacks.stop={_target_: tests.training.test_run.StopAfter, step: 12}")
    assert first.code == 130 and "recompute none (autograd: the backward by hand is of LLaMA's layer)" in first.out
    again = train(*OTHER)
    assert again.code == 0 and "continues after step 13" in again.out, again.err
    checkpoint = again.run_dir / "checkpoints/step-00000020"
    assert "output.weight" not in load_file(checkpoint / "model.safetensors")
    model, meta = load_model(checkpoint)
    assert meta["model"]["positions"] == "learned" and model.output.weight is model.tok_embeddings.weight


def test_another_switch_under_the_same_name_is_refused_naming_it(train) -> None:
    train()
    again = train("model.norm_placement=post")
    assert again.code == 2 and "model.norm_placement was pre, is post. Give this one another name=" in again.err
    unknown = train("model.positions=alibi", name="second")
    assert unknown.code == 2 and "model.positions=alibi" in unknown.err and "rotary" in unknown.err


def test_init_from_another_architecture_is_refused_with_the_switch_to_give(train) -> None:
    first = train("model.feed_forward=gelu", name="first")
    other = train(f"init_from={first.run_dir}", name="second")
    assert other.code == 2 and other.err.count("\n") == 1
    assert "its model.feed_forward is gelu, this run's is swiglu: give model.feed_forward=gelu" in other.err


def test_a_run_from_before_there_were_switches_goes_on_and_loads(train) -> None:
    run_dir: Path = stopped(train, 12).run_dir
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    for switch in SWITCHES:
        del config["model"][switch]
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    for marker in run_dir.glob("checkpoints/*/checkpoint.json"):
        meta = json.loads(marker.read_text())
        del meta[OWN_SUM]  # nor did they carry one
        for switch in SWITCHES:
            del meta["model"][switch]
        marker.write_text(json.dumps(meta))
    assert load_model(marker.parent)[0].config.unlike_llama == ()
    again = train()
    assert again.code == 0 and "continues after step 13" in again.out, again.err
    other = train(f"init_from={run_dir}", "optim.learning_rate=1e-9", name="second")
    assert other.code == 0, other.err


@pytest.mark.parametrize("format", ["hf", "meta", "gguf", "native"])
def test_an_export_is_refused_in_one_line_that_names_the_switches(tmp_path: Path, format: str) -> None:
    run = make_run(tmp_path, norm="layer", tied_embeddings=True)
    with pytest.raises(UserError) as refused:
        export(ExportJob(str(run), format=format, output=str(tmp_path / "out")))  # pyright: ignore[reportArgumentType]
    said = str(refused.value)
    assert f"format={format} is of LLaMA's architecture alone" in said and "\n" not in said
    assert "model.norm=layer, model.tied_embeddings=true" in said and not (tmp_path / "out").exists()
