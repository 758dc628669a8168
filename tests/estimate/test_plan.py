"""packtrain plan: the paper's cluster gives the paper's days and tonnes; what is unknown stays null"""

import json
import re
import resource
import subprocess
import sys
from typing import Any

import pytest

from packtrain import cli

SPINE = (
    "model", "parameters", "non_embedding_parameters", "tokens", "batch_tokens", "steps", "sequence_length",
    "flops_per_token", "flops_total", "convention", "weights_gib", "gradients_gib", "optimizer_gib", "activations_gib",
    "memory_gib", "gpus", "gpu", "gpu_memory_gib", "fits", "pue", "kg_co2_per_kwh", "mfu", "tokens_per_second_per_gpu",
    "days", "gpu_hours", "power_watts", "energy_mwh", "co2eq_tonnes", "assumption", "unknown",
)  # fmt: skip
ADDED = (
    "hfu", "logits_gib", "workspace_gib", "weights_per_gpu_gib", "gradients_per_gpu_gib", "optimizer_per_gpu_gib",
    "largest_micro_batch", "micro_batch", "accumulation", "change", "serving", "communication_gb_per_step",
    "step_seconds", "step_parts", "cost", "overtraining", "parallel", "loss_gib",
)  # fmt: skip


def plan(capsys: pytest.CaptureFixture[str], *overrides: str) -> dict[str, Any]:
    assert cli.main(["plan", *overrides, "format=json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_65b_on_the_paper_s_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "model=65b", "cluster=llama_paper")
    assert set(SPINE) <= set(found) and set(ADDED) <= set(found)
    assert found["parameters"] == 65_285_660_672
    assert found["tokens_per_second_per_gpu"] == pytest.approx(380, rel=0.10)
    assert found["days"] == pytest.approx(21, rel=0.10), "the paper: about 21 days"
    assert found["gpu_hours"] == pytest.approx(1_022_362, rel=0.10)
    assert found["energy_mwh"] == pytest.approx(found["gpu_hours"] * 400 * 1.1 / 1e6)
    assert found["co2eq_tonnes"] == pytest.approx(found["energy_mwh"] * 0.385)
    assert found["gpus"] == 2048 and found["fits"] is True and found["parallel"]["shard"] == 2048
    assert "fitted to published runs" in found["assumption"]


@pytest.mark.parametrize(("size", "gpu_hours"), [("7b", 82_432), ("13b", 135_168), ("33b", 530_432)])
def test_the_other_sizes_come_within_a_fifth_of_the_paper_s_hours(
    size: str, gpu_hours: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(capsys, f"model={size}", "cluster=llama_paper")["gpu_hours"] == pytest.approx(gpu_hours, rel=0.2)


def test_without_a_named_gpu_time_energy_and_fit_are_null_with_one_reason(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys)
    for key in ("tokens_per_second_per_gpu", "days", "gpu_hours", "energy_mwh", "co2eq_tonnes", "fits", "cost"):
        assert found[key] is None, key
    assert "cluster.gpu=" in found["unknown"]
    assert found["parameters"] == 6_738_415_616 and found["memory_gib"] > 100


def test_a_given_utilisation_power_and_price(capsys: pytest.CaptureFixture[str]) -> None:
    price = "cluster.price_per_gpu_hour=2.5"
    found = plan(capsys, "cluster.gpu=h200", "mfu=0.4", "cluster.power_watts=500", "cluster.pue=1.2", price)
    assert found["fits"] is True and found["power_watts"] == 500 and found["mfu"] == pytest.approx(0.4)
    assert found["energy_mwh"] == pytest.approx(found["gpu_hours"] * 500 * 1.2 / 1e6)
    assert found["cost"] == pytest.approx(2.5 * found["gpu_hours"])
    assert found["assumption"].startswith("40.0% of 989.4 TFLOP/s") and "as given" in found["assumption"]
    assert plan(capsys, "cluster.gpu=h200", "precision=fp32")["days"] is None


def test_what_does_not_fit_says_what_to_change_and_that_then_fits(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "cluster.gpu=h100")
    assert found["fits"] is False and found["largest_micro_batch"] is None, "the 7B's states alone are 101 GiB"
    assert len(found["change"]) >= 2
    for change in found["change"]:
        assert plan(capsys, "cluster.gpu=h100", *change.split())["fits"] is True, change
    tight = ("model=13b", "cluster.gpu=a100-80gb", "cluster.gpus_per_node=8", "sequences_per_gpu=16")
    found = plan(capsys, *tight)
    assert found["fits"] is False and found["change"][0].startswith("sequences_per_gpu=")
    for change in found["change"]:
        assert plan(capsys, *tight, *change.split())["fits"] is True, change


@pytest.mark.parametrize("gpu", ["a100-40gb", "l40s", "rtx4090"])
def test_what_no_single_change_makes_fit_is_told_two(gpu: str, capsys: pytest.CaptureFixture[str]) -> None:
    tight = ("model=65b", f"cluster.gpu={gpu}", "cluster.gpus_per_node=4", "recompute=none", "parallel.replicate=4")
    found = plan(capsys, *tight)
    assert found["fits"] is False and found["change"]
    for change in found["change"]:
        assert "recompute=full" in change
        keys = {word.split("=")[0] for word in change.split()}
        kept = [word for word in tight if word.split("=")[0] not in keys]
        assert plan(capsys, *kept, *change.split())["fits"] is True, change


def test_a_split_that_is_impossible_names_only_ones_that_are_possible(capsys: pytest.CaptureFixture[str]) -> None:
    eight = ["plan", "model=7b", "cluster.gpu=h100", "cluster.gpus_per_node=8"]
    for words, said in (
        ("parallel.replicate=5", "with this tensor, replicate may be 1, 2, 4, 8"),
        ("parallel.replicate=2 parallel.tensor=8", "with this replicate, tensor may be 1, 2, 4"),
        ("parallel.replicate=5 parallel.tensor=2", "with this tensor, replicate may be 1, 2, 4"),
        ("parallel.replicate=5 parallel.tensor=3", "replicate × tensor may be at most 8 and must divide it"),
    ):
        assert cli.main([*eight, *words.split()]) == 2
        assert said in capsys.readouterr().err, words


def test_the_largest_micro_batch_fits_and_the_next_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = ("cluster.gpu=h100", "cluster.gpus_per_node=8")
    best = plan(capsys, *cluster)["largest_micro_batch"]
    assert plan(capsys, *cluster, f"sequences_per_gpu={best}")["fits"] is True
    assert plan(capsys, *cluster, f"sequences_per_gpu={2 * best}")["fits"] is False


def test_tensor_parallel_and_replicas_move_what_they_should(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = ("cluster.gpu=h100", "cluster.nodes=4", "cluster.gpus_per_node=8", "sequences_per_gpu=2")
    plain = plan(capsys, *cluster)
    split = plan(capsys, *cluster, "parallel.tensor=4", "parallel.replicate=2")
    assert split["parallel"] == {"tensor": 4, "replicate": 2, "shard": 4}
    assert plain["communication_gb_per_step"]["tensor"] == 0 < split["communication_gb_per_step"]["tensor"]
    assert split["tokens_per_second_per_gpu"] < plain["tokens_per_second_per_gpu"]


def test_a_7b_s_fine_tuning_fits_one_gpu_with_lora_and_not_without(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "finetune", "model=7b", "cluster.gpu=h100", "lora_rank=16")
    ways = found["ways"]
    assert list(ways) == ["full", "lora.rank=8", "lora.rank=16", "lora.rank=64"]
    assert [way["fits"] for way in ways.values()] == [False, True, True, True]
    # 32 layers × 8 × (four attention matrices of 2 · 4096 and three of the feed-forward of 4096 + 11008)
    assert ways["lora.rank=8"]["trained_parameters"] == 32 * 8 * (4 * 2 * 4096 + 3 * (4096 + 11008))
    assert ways["lora.rank=8"]["weights_gib"] == pytest.approx(4 * (6_738_415_616 + 19_988_480) / 2**30)
    assert ways["full"]["optimizer_gib"] == pytest.approx(8 * 6_738_415_616 / 2**30)
    assert cli.main(["plan", "finetune", "model=7b"]) == 0
    said = capsys.readouterr().out
    assert "unknown GPU" in said and "not known whether it fits" in said and "planned, not measured" in said
    assert cli.main(["plan", "lora_rank=8"]) == 2
    assert "lora_rank=8: this action takes none" in capsys.readouterr().err


def test_an_extrapolated_generation_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no published run of blackwell" in plan(capsys, "cluster.gpu=b200")["assumption"]


def test_this_cpu_is_measured_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "model=1m", "cluster.gpu=cpu", "precision=fp32")
    assert found["tokens_per_second_per_gpu"] > 10 and "measured" in found["assumption"]
    assert "measured now" in found["gpu_source"]
    assert "precision=fp32" in plan(capsys, "model=1m", "cluster.gpu=cpu")["unknown"]
    large = plan(capsys, "model=65b", "cluster.gpu=cpu")
    assert large["fits"] is False and not [way for way in large["change"] if "nodes" in way or "per_node" in way]


def test_the_table_shows_what_the_json_holds(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "model=65b", "cluster=llama_paper")
    assert cli.main(["plan", "model=65b", "cluster=llama_paper"]) == 0
    text = capsys.readouterr().out
    days, speed = f"{found['days']:.2f} days", f"{found['tokens_per_second_per_gpu']:.0f} tokens/s/GPU"
    for part in ("65,285,660,672", days, speed, "tCO2eq", "6N+attention", "2,048 x a100-80gb", "261.14 GB", ": fits"):
        assert part in text, part


def test_a_toy_s_table_counts_in_hours_and_kilowatt_hours(capsys: pytest.CaptureFixture[str]) -> None:
    toy = ("model=1m", "cluster.gpu=rtx4090", "data.tokens=8000000000", "sequences_per_gpu=4")
    found = plan(capsys, *toy)
    assert cli.main(["plan", *toy]) == 0
    text = capsys.readouterr().out
    assert found["days"] < 1 and f"{found['days'] * 24:.2f} hours" in text
    assert f"{found['energy_mwh'] * 1000:.4g} kWh" in text and f"{found['co2eq_tonnes'] * 1000:.4g} kg CO2eq" in text


def test_a_plan_answers_within_a_second_and_a_half_without_torch() -> None:
    program = "import sys; from packtrain import cli; code = cli.main(sys.argv[1:]); assert 'torch' not in sys.modules"
    command = [sys.executable, "-c", program + "; sys.exit(code)", "plan", "model=65b", "cluster=llama_paper"]
    times = []  # of the processor, which the machine's other work does not lengthen; one thread, no waiting
    for more in ([], ["inference_tokens=1e13"], []):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*command, *more], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0, done.stderr
    assert min(times) < 1.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cluster.price_per_gpu_hour=0", "cluster.price_per_gpu_hour=0.0: expected a positive number"),
        ("cluster.price_per_gpu_hour=-2", "expected a positive number, or null"),
        ("cluster.price_per_gpu_hour=inf", "expected a positive number, or null"),
        ("cluster.pue=0.9", "cluster.pue=0.9: expected at least 1"),
        ("cluster.pue=nan", "expected at least 1"),
        ("cluster.pue=inf", "expected at least 1"),
        ("cluster.kg_co2_per_kwh=inf", "expected 0 or more"),
        ("cluster.gpu=v100", "not in the hardware table, and its figures are not guessed"),
        ("cluster.gpu=A100", "are not guessed; give a100-40gb or a100-80gb or a100-40gb-pcie or a100-80gb-pcie"),
        ("cluster.region=ATLANTIS", "cluster.region=ATLANTIS is not in codecarbon's table"),
        ("parallel.tensor=3", "does not divide the 1 GPUs of the cluster"),
        ("sequences_per_gpu=3", "sequences_per_gpu=3 does not divide the 2048 sequences"),
        ("data.batch_tokens=1000", "nearest: data.batch_tokens=2048"),
        ("mfu=1.5", "mfu=1.5: expected a share between 0 and 1"),
        ("efficiency=0", "efficiency=0.0: expected a share"),
        ("target_loss=2", "target_loss=2 needs inference_tokens="),
        ("inference_tokens=-1", "inference_tokens=-1.0: expected a positive number"),
        ("inference_tokens=nan", "expected a positive number"),
        ("data.tokens=1e300", "is beyond all numbers: give fewer tokens"),
        ("law=kaplan", "law=kaplan is neither a file nor a published law"),
        ("run=mine", "run=mine: this action takes none; it goes with packtrain plan calibrate or "),
        ("output=law.json", "it goes with packtrain plan fit"),
        ("picture=x.png", "give inference_tokens=… too"),
        ("action=predict", "known: calibrate, carbon, finetune, fit, plan, published"),
        ("action=fit", "packtrain plan fit needs runs=[A,B,…]"),
    ],
)
def test_a_mistake_is_one_line_with_the_remedy(override: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", override]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error


def test_more_processes_than_this_cpu_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "cluster.gpu=cpu", "cluster.nodes=2"]) == 2
    assert "measures this machine" in capsys.readouterr().err


def test_a_country_s_electricity_by_codecarbon_s_table(capsys: pytest.CaptureFixture[str]) -> None:
    france, poland = (plan(capsys, f"cluster.region={code}")["kg_co2_per_kwh"] for code in ("fra", "POL"))
    assert 0.01 < france < 0.15 and 0.4 < poland < 1.0
    assert cli.main(["plan", "cluster.region=Germany"]) == 2
    assert "did you mean 'DEU'" in capsys.readouterr().err


def test_without_codecarbon_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["plan", "cluster.region=FRA"]) == 2
    assert "pip install 'packtrain[carbon]'" in capsys.readouterr().err


def test_a_toy_s_time_is_said_in_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "model=170k", "data.vocab_size=512", "data.tokens=200_000", "cluster.gpu=h200"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("time ")]
    assert re.search(r"0\.00\d+ seconds", line), line
