"""cluster=slurm: everything is composed and checked first; the script is shown or submitted; nothing trains here"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from packtrain.cli import main
from packtrain.errors import UserError
from packtrain.launch import slurm_submit
from packtrain.launch.member import Member
from packtrain.launch.slurm_queue import Task, parse_sacct, parse_squeue
from packtrain.launch.slurm_settings import limit_seconds
from packtrain.launch.slurm_submit import Submission

SIZES = ("train", "-m", "model=7b,13b", "data=llama", "cluster=slurm", "name=sizes", "hydra.launcher.dry_run=true")


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    """(exit code, stdout, stderr) of a command line, in an empty folder without SLURM."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("subprocess.run", _no_slurm)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(words))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def _no_slurm(command: list[str], **_: object) -> None:
    raise FileNotFoundError(command[0])


def test_the_dry_run_shows_one_script_that_bash_reads_and_submits_nothing(say: Callable, tmp_path: Path) -> None:
    code, script, errors = say(*SIZES, "hydra.launcher.time=24:00:00", "hydra.launcher.partition=gpu")
    assert code == 0 and "nothing was submitted" in errors
    assert script.startswith("#!/bin/bash\n#SBATCH --job-name=sizes\n#SBATCH --array=0-1\n")
    for line in ("partition=gpu", "time=24:00:00", "nodes=1", "ntasks-per-node=8", "gpus-per-node=8",
                 "signal=USR1@180", "requeue", "open-mode=append", f"chdir={tmp_path}"):  # fmt: skip
        assert f"#SBATCH --{line}\n" in script
    assert "  0) run=(train model=7b " in script and "run_dir=runs/sizes/model=13b hydra/launcher=basic) ;;" in script
    assert script.count("\nsrun ") == 1 and "scontrol requeue" in script
    assert subprocess.Popen(["/bin/bash", "-n"], stdin=subprocess.PIPE).communicate(script.encode()) is not None
    assert not (tmp_path / "runs").exists()


def test_without_m_it_is_an_array_of_one_and_trains_nothing_here(say: Callable, tmp_path: Path) -> None:
    code, script, _ = say("train", "model=7b", "data=llama", "cluster=slurm", "hydra.launcher.dry_run=true")
    assert code == 0 and "#SBATCH --array=0-0\n" in script and "run_dir=runs/7b hydra/launcher=basic" in script
    elsewhere = "hydra.launcher.look=false"
    code, _, errors = say("train", "model=1b", "data=llama", "cluster=slurm", elsewhere)
    assert code == 2 and "there is no sbatch on this machine" in errors and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=7b,13bb", "model=13bb; did you mean '13b'?"),
        ("optim.learning_rat=1", "unknown key 'optim.learning_rat'; did you mean 'learning_rate'?"),
        ("seed=1,x", "seed='x': expected integer"),
        ("hydra.launcher.tim=60", "unknown key 'hydra.launcher.tim'; did you mean 'time'?"),
        ("hydra.launcher.time=soon", "hydra.launcher.time=soon: expected minutes, H:M:S or D-H:M:S"),
        ("hydra.launcher.time=4", "leaves no time to train: the signal to save comes 180 to 240 s before the limit"),
        ("hydra.launcher.signal=KILL", "hydra.launcher.signal=KILL: expected a signal that is free"),
        ("hydra.launcher.cpus_per_task=many", "hydra.launcher.cpus_per_task='many': expected integer or null"),
        ("cluster.nodes=0", "cluster.nodes=0: expected at least 1"),
        (
            "cluster.nodes=1,2",
            "members of one array share their resources, these have hydra.launcher.nodes=1 and 2",
        ),
        ("hydra.launcher.sbatch=[exclusive]", "hydra.launcher.sbatch=exclusive: expected an option"),
        ("parallel.tensor=3", "parallel.tensor=3 does not divide 8 processes; possible replicate × shard × tensor: 1"),
        ("cluster.gpus_per_node=7", "is no multiple of sequence_length × devices = 2048 × 7; nearest: "),
        ("optim.warmup_steps=9e9", "optim.warmup_steps=9000000000"),
        ("callbacks.checkpointing.keep_last=two", "callbacks.checkpointing.keep_last='two': expected integer"),
        ("callbacks.checkpointing.keep_last=1,0", "keep_last and keep_every must be at least 1"),
        ("job_name", "cannot read 'job_name': expected key=value"),
        ('hydra.launcher.job_name="a\\"b"', "without double quotes and backslashes"),
    ],
)
def test_a_mistake_in_any_member_stops_the_whole_on_the_login_node(say: Callable, override: str, message: str) -> None:
    code, out, errors = say(*SIZES, override)
    assert code == 2 and out == "" and message in errors and len(errors.splitlines()) == 1


def test_a_dry_run_of_the_training_submits_nothing_however_true_is_written(say: Callable) -> None:
    tiny = ("model.dim=32", "model.n_heads=2", "data.sequence_length=32", "data.batch_tokens=256", "data.tokens=256",
            "data.vocab_size=64", "optim.warmup_steps=0")  # fmt: skip
    code, out, errors = say("train", "data=llama", "dry_run=True", "cluster=slurm", *tiny)
    assert code == 0 and "nothing was run" in out and "SBATCH" not in out, errors


def test_blanks_and_percent_signs_in_folders_and_names_are_written_as_sbatch_reads_them(
    say: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my 50%j ü").mkdir()
    monkeypatch.chdir(tmp_path / "my 50%j ü")
    code, script, errors = say(*SIZES[:-2], "name=a b", SIZES[-1])
    assert code == 0, errors
    for line in ('--job-name="a b"', f'--chdir="{Path.cwd()}"',
                 f'--output="{tmp_path}/my 50%%j ü/runs/a b/slurm/%A_%a.log"'):  # fmt: skip
        assert f"#SBATCH {line}\n" in script
    assert f"mkdir -p '{Path.cwd()}/runs/a b/slurm'" in errors


def test_a_number_that_is_no_member_of_the_array_is_refused_by_the_script(say: Callable, tmp_path: Path) -> None:
    _, script, _ = say(*SIZES)
    ended = subprocess.Popen(["/bin/bash", "-s"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={})
    _, errors = ended.communicate(script.encode())
    assert ended.returncode == 2 and b"this array has no run number" in errors


def test_members_that_would_share_a_folder_are_refused(say: Callable) -> None:
    long = ",".join("/" + "x" * 220 + end for end in "ab")
    code, out, errors = say("train", "-m", "model=1b", f"init_from={long}", *SIZES[3:])
    assert code == 2 and out == "" and "2 members would train in runs/sizes/init_from=" in errors


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_the_script_holds_names_as_they_are_whatever_the_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    (tmp_path / "sbatch").write_text('#!/bin/sh\ncat > "$0.got"; echo 7\n')
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("locale.getencoding", lambda: encoding)
    monkeypatch.setattr("io.text_encoding", lambda *_: encoding)
    done = slurm_submit.submit("#!/bin/bash\n# größe ×\n", [Member("größe", "größe", ())], tmp_path / "größe")
    assert (tmp_path / "sbatch.got").read_bytes().decode() == "#!/bin/bash\n# größe ×\n"
    assert (tmp_path / "größe/7.sh").read_bytes().decode() == "#!/bin/bash\n# größe ×\n" and done.job == 7


def test_finetune_is_submitted_as_train_is(say: Callable) -> None:
    code, script, errors = say("finetune", "init_from=runs/a", "data.path=x", "name=ft", *SIZES[4:5], SIZES[-1])
    assert code == 0 and "run=(finetune init_from=runs/a " in script, errors


def test_what_a_run_reads_is_looked_for_before_it_is_submitted(say: Callable, tmp_path: Path) -> None:
    run = ("train", "model=1b", "cluster=slurm", "data=packed")
    code, _, errors = say(*run, "data.path=shard", "init_from=runs/a")
    assert code == 2 and "data.path=shard is not there: packtrain pack makes them; where only the nodes" in errors
    (tmp_path / "shard").mkdir()
    code, _, errors = say(*run, "data.path=shard")
    assert code == 2 and "data.path=shard holds no packed shards" in errors
    (tmp_path / "shard/manifest.json").write_text("{}")
    code, _, errors = say(*run, "data.path=shard", "init_from=runs/a")
    assert code == 2 and "init_from=runs/a is not there" in errors
    code, _, errors = say("train", "model=1b", "cluster=slurm", "data=text", "input=texts")
    assert code == 2 and "input=texts is not there" in errors
    code, _, errors = say("finetune", "init_from=runs/a", "data.path=tatsu-lab/alpaca", "cluster=slurm")
    assert code == 2 and "init_from=runs/a is not there" in errors
    for there in (("data.path=shard",), ("data.path=s3://bucket/x",), ("data.path=x", "hydra.launcher.look=false")):
        code, _, errors = say(*run, *there)
        assert code == 2 and "there is no sbatch on this machine" in errors  # the next thing that is looked for
    assert say(*run, "data.path=x", "hydra.launcher.dry_run=true")[0] == 0  # a script may be for another machine


def test_a_launchers_key_without_a_launcher_says_which_cluster_has_one(say: Callable) -> None:
    code, _, errors = say("train", "model=1m", "hydra.launcher.dry_run=true")
    assert code == 2 and "choose a cluster that is: cluster=slurm" in errors


def test_other_commands_run_where_they_were_typed(say: Callable) -> None:
    code, out, _ = say("plan", "model=65b", "cluster=llama_paper")
    assert code == 0 and "65,285,660,672" in out


def test_the_torchrun_line_is_printed(say: Callable) -> None:
    line = ("train", "model=1m", "hydra.launcher.dry_run=true")
    code, out, _ = say(*line, "cluster=node")
    assert code == 0
    assert out == (
        "torchrun --standalone --nproc-per-node=8 --max-restarts=3 -m packtrain train model=1m cluster=node "
        "name=1m run_dir=runs/1m hydra/launcher=basic\n"
    )
    code, _, errors = say(*line, "cluster=torchrun", "cluster.nodes=2")
    assert code == 2 and "give hydra.launcher.endpoint=HOST:PORT" in errors
    code, out, _ = say(*line, "cluster=torchrun", "cluster.nodes=2", "hydra.launcher.endpoint=n1:29500")
    assert code == 0 and "--nnodes=2 --rdzv-backend=c10d --rdzv-endpoint=n1:29500 --rdzv-id=1m" in out


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 600), ("10:30", 630), ("1:00:00", 3600), ("2-0", 172_800), ("1-2:3", 93_780), ("1-2:3:4", 93_784)],
)
def test_a_time_limit_in_slurms_notations(text: str, seconds: int) -> None:
    assert limit_seconds(text) == seconds


def test_a_run_that_waits_or_trains_is_not_submitted_twice(tmp_path: Path) -> None:
    member = Member("a", str(tmp_path / "a"), ("train",))
    earlier = [Submission(7, (str(tmp_path / "b"), str(tmp_path / "a")), str(tmp_path), "")]
    with pytest.raises(UserError, match=r"is job 7_1 already \(running\): wait for it, scancel 7_1"):
        slurm_submit.refuse_twice([member], earlier, lambda jobs: {(7, 1): Task("RUNNING")})
    slurm_submit.refuse_twice([member], earlier, lambda jobs: {(7, 1): Task("CANCELLED")})


def test_the_queue_is_read() -> None:
    found = parse_squeue("12|0|RUNNING|1:02:03|n[1-2]\n12|1|PENDING|1-00:00:00|(Resources)\n13|N/A|RUNNING|1|n1\n")
    assert found == {(12, 0): Task("RUNNING", "1:02:03", "n[1-2]"), (12, 1): Task("PENDING", "", "Resources")}
    assert found[12, 0].alive and not Task("TIMEOUT").alive
    assert parse_sacct("12_0|COMPLETED\n12_1|CANCELLED by 0\n12_1.batch|CANCELLED\n") == {
        (12, 0): Task("COMPLETED"),
        (12, 1): Task("CANCELLED"),
    }
