"""a sweep → every member composed → one array script → shown (dry_run) or submitted → back at once"""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.packtrain_slurm.members import Elsewhere


class SlurmLauncher(Elsewhere):
    """`hydra/launcher=slurm`, which `cluster=slurm` chooses. Nothing trains in this process."""

    def unless(self, launcher: Mapping[str, Any]) -> str | None:
        if launcher.get("dry_run") or not launcher.get("look", True):  # a script may be made for another cluster
            return None
        return "where only the nodes have it, hydra.launcher.look=false"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from packtrain.launch import slurm_queue, slurm_submit
        from packtrain.launch.slurm_script import render
        from packtrain.launch.slurm_settings import array_settings

        planned = self.members(job_overrides)
        members = [member for member, _ in planned]
        settings = array_settings([options for _, options in planned])
        logs = slurm_submit.logs_folder(members, self.config.get("runs_dir", "runs"))
        script = render(members, settings, logs, self.task.typed)
        if settings.dry_run:
            if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the locale, the folders' names as they are
                sys.stdout.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape")
            print(script, end="")
            folder = shlex.quote(str(logs))  # SLURM makes no folder for a log
            by_hand = f"to submit it as a file: mkdir -p {folder} && sbatch FILE"
            print(f"packtrain: dry run, nothing was submitted; {by_hand}", file=sys.stderr)
            return [JobReturn(_return_value=0, status=JobStatus.COMPLETED)]
        slurm_submit.refuse_twice(members, slurm_submit.submissions(logs.parent), slurm_queue.tasks)
        done = slurm_submit.submit(script, members, logs)
        runs = f"{len(members)} runs" if len(members) > 1 else "1 run"
        print(f"submitted job {done.job}: {runs}, {settings.nodes} × {settings.tasks_per_node} processes each")
        for index, member in enumerate(members):
            print(f"  {done.job}_{index}  {member.run_dir}  log: {os.path.relpath(done.log(index))}")
        print(f"watch: packtrain jobs   stop: scancel {done.job}   script: {logs}/{done.job}.sh")
        return [JobReturn(_return_value=0, status=JobStatus.COMPLETED)]
