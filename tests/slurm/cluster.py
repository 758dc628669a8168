"""munged + slurmctld + two slurmd on this machine's loopback → a SLURM that tests submit to → everything ended again

    python -m tests.slurm.cluster up DIR      prints the SLURM_CONF to export
    python -m tests.slurm.cluster down DIR

Debian's packages slurmctld, slurmd, slurm-client and munge; no systemd, no /etc: configuration, keys, state and logs
lie in one folder, all ports are on 127.0.0.1. It starts daemons, so the tests do it under CI or PACKTRAIN_SLURM_TEST=1
only. Two partitions: `main`, and `high`, whose jobs take the nodes from main's with 25 s of grace.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

NODES, CPUS, MEMORY_MB, GRACE_SECONDS = 2, 4, 3000, 25
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
# Daemons stand in sbin, which an ordinary user's PATH may lack.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def installed() -> bool:
    return all(shutil.which(program, path=PATH) for program in PROGRAMS)


def allowed() -> bool:
    """Whether packages may be installed here."""
    return any(os.environ.get(name, "0") not in ("", "0", "false") for name in ("CI", "PACKTRAIN_SLURM_TEST"))


def install() -> None:
    """SLURM from Debian; says nothing and changes nothing where that does not work."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-qq", "--yes", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", *words], env=quiet, capture_output=True, check=False)


def configuration(folder: Path, port: int) -> str:
    """slurm.conf. Credentials that expire after 5 s let a requeued job start in about 10 s instead of two minutes."""
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    settings = {
        "ClusterName": "packtrain", "SlurmctldHost": f"{host}(127.0.0.1)", "SlurmUser": user, "SlurmdUser": user,
        "SlurmctldPort": port, "AuthInfo": f"socket={folder}/munge.socket,cred_expire=5",
        "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
        "SlurmctldPidFile": f"{folder}/slurmctld.pid", "SlurmdPidFile": f"{folder}/slurmd.%n.pid",
        "SlurmctldLogFile": f"{folder}/slurmctld.log", "SlurmdLogFile": f"{folder}/slurmd.%n.log",
        "StateSaveLocation": f"{folder}/state", "SlurmdSpoolDir": f"{folder}/spool.%n",
        "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none", "MpiDefault": "none",
        "JobAcctGatherType": "jobacct_gather/none", "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core", "SlurmdParameters": "config_overrides",
        "SchedulerParameters": "sched_min_interval=0,sched_interval=3,bf_interval=3,batch_sched_delay=0",
        "PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE", "JobRequeue": 1, "ReturnToService": 2,
        "KillWait": 10, "MinJobAge": 3600, "SlurmdTimeout": 60,
    }  # fmt: skip
    lines = [f"{key}={value}" for key, value in settings.items()]
    for number in range(1, NODES + 1):
        lines.append(
            f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port + number} CPUs={CPUS} "
            f"RealMemory={MEMORY_MB} State=UNKNOWN"
        )
    lines.append(f"PartitionName=main Nodes=ALL Default=YES PriorityTier=1 GraceTime={GRACE_SECONDS} State=UP")
    lines.append("PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP")
    return "\n".join(lines) + "\n"


def up(folder: Path) -> Path:
    """Starts everything and waits for both nodes; returns the path for SLURM_CONF."""
    for name in ("state", *(f"spool.n{number}" for number in range(1, NODES + 1))):
        (folder / name).mkdir(parents=True, exist_ok=True)
    key = folder / "munge.key"
    if not key.exists():
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
    conf = folder / "slurm.conf"
    conf.write_text(configuration(folder, free_ports()))
    munge = {"key-file": key, "socket": f"{folder}/munge.socket", "pid-file": f"{folder}/munged.pid"}
    munge |= {"log-file": f"{folder}/munged.log", "seed-file": f"{folder}/munged.seed"}
    start("munged", "--force", *(f"--{name}={value}" for name, value in munge.items()), conf=conf)
    start("slurmctld", "-i", conf=conf)
    for number in range(1, NODES + 1):
        start("slurmd", "-N", f"n{number}", conf=conf)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        states = ask(conf, "sinfo", "--noheader", "--partition=main", "--Node", "--format=%T").split()
        if states == ["idle"] * NODES:
            return conf
        time.sleep(0.3)
    logs = "\n".join(path.read_text()[-1500:] for path in sorted(folder.glob("*.log")))
    down(folder)
    raise RuntimeError(f"the nodes did not come up:\n{logs}")


def down(folder: Path) -> None:
    """Cancels what runs and ends the daemons, by the ids they wrote; nothing else on the machine is touched."""
    conf = folder / "slurm.conf"
    if conf.exists() and (folder / "slurmctld.pid").exists():
        cancel_all(conf)
    for pattern in ("slurmd.*.pid", "slurmctld.pid", "munged.pid"):
        for path in folder.glob(pattern):
            end(int(path.read_text().strip() or 0))
            path.unlink(missing_ok=True)


def cancel_all(conf: Path) -> None:
    """Ends every job and waits until the nodes are free."""
    ask(conf, "scancel", f"--user={getpass.getuser()}")
    deadline = time.monotonic() + 30
    while ask(conf, "squeue", "--noheader").strip() and time.monotonic() < deadline:
        time.sleep(0.2)


def end(process: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(50):
            try:
                os.kill(process, 0 if _ else number)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.1)


def free_ports() -> int:
    """The first of NODES + 1 neighbouring ports that nobody listens on."""
    for port in range(17_000, 18_000, 10):
        try:
            for offset in range(NODES + 1):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
            return port
        except OSError:
            continue
    raise RuntimeError("no free ports between 17000 and 18000")


def start(program: str, *arguments: str, conf: Path) -> None:
    done = subprocess.run([program, *arguments], env=environment(conf), capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{program} did not start: {done.stderr or done.stdout}")


def ask(conf: Path, *command: str) -> str:
    return subprocess.run(command, env=environment(conf), capture_output=True, text=True, timeout=60).stdout


def environment(conf: Path) -> dict[str, str]:
    """What a login node's shell has; without what a surrounding job or launcher may have left."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))}
    return {**inherited, "PATH": PATH, "SLURM_CONF": str(conf)}


if __name__ == "__main__":
    place = Path(sys.argv[2]).resolve()
    if sys.argv[1] == "up":
        place.mkdir(parents=True, exist_ok=True)
        print(f"export SLURM_CONF={up(place)}")
    else:
        down(place)
