"""packtrain doctor: one line a check, a problem with its remedy, and the exit code says whether there is one"""

import json
import shutil
import sys
from types import ModuleType, SimpleNamespace

import pytest

from packtrain import cli
from packtrain.jobs import doctor
from packtrain.jobs.doctor import DoctorJob


def test_this_machine_can_train(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "min_free_gb=0", "format=json"]) == 0
    findings = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert set(findings) >= {
        "python",
        "torch",
        "gpu",
        "xformers",
        "torchvision",
        "lightning",
        "litdata",
        "slurm",
        "disk",
    }
    assert findings["torch"]["state"] == "ok" and findings["lightning"]["state"] == "ok"


def test_a_full_disk_is_a_problem_with_a_remedy_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "min_free_gb=1e9"]) == 1
    captured = capsys.readouterr()
    line = next(line for line in captured.out.splitlines() if " disk " in line)
    assert line.startswith("problem") and "runs_dir=" in line
    assert captured.err.count("\n") == 1 and "1 problem" in captured.err


def test_a_torchvision_for_another_torch_is_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: None)
    assert doctor.check_torchvision(DoctorJob()).state == "ok"
    monkeypatch.setattr(doctor, "installed", lambda package: "0.28.0")

    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "torchvision":
                raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    found = doctor.check_torchvision(DoctorJob())
    assert found.state == "problem" and found.remedy == "pip uninstall -y torchvision" and "nms" in found.message


def test_a_withdrawn_lightning_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: "2.6.3")
    assert doctor.check_lightning(DoctorJob()).state == "problem"
    monkeypatch.setattr(doctor, "installed", lambda package: "2.6.6")
    assert doctor.check_lightning(DoctorJob()).state == "ok"


@pytest.mark.parametrize(("name", "state"), [("NVIDIA H200", "ok"), ("Some GPU", "note")])
def test_a_gpu_without_a_known_peak_is_noted(name: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = ModuleType("torch")
    torch.cuda = SimpleNamespace(  # pyright: ignore[reportAttributeAccessIssue]
        is_available=lambda: True,
        device_count=lambda: 1,
        get_device_name=lambda index: name,
        get_device_properties=lambda index: SimpleNamespace(total_memory=140 * 2**30),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = doctor.check_gpu(DoctorJob())
    assert found.state == state and "140 GiB" in found.message


def test_slurm_is_found_by_its_sbatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/sbatch")
    assert doctor.check_slurm(DoctorJob()).state == "ok"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor.check_slurm(DoctorJob()).state == "note"


def test_a_check_that_breaks_is_a_problem_and_not_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check_nothing(job: DoctorJob) -> doctor.Finding:
        raise ImportError("libcuda.so: no such file\nand more")

    monkeypatch.setattr(doctor, "CHECKS", (check_nothing, doctor.check_python))
    assert cli.main(["doctor"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("problem  nothing") and "libcuda" in first and "and more" not in first
    assert second.startswith("ok")
