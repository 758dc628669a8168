"""a sweep → every member composed → one torchrun line after the other, printed and run"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.packtrain_slurm.members import Elsewhere


class TorchrunLauncher(Elsewhere):
    """`hydra/launcher=torchrun`, which `cluster=torchrun` and `cluster=node` choose."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from packtrain import settings
        from packtrain.launch import torchrun

        planned = [
            (member, settings.build(torchrun.TorchrunSettings, options, "hydra.launcher"))
            for member, options in self.members(job_overrides)
        ]
        for member, chosen in planned:
            print(torchrun.line(member, chosen), file=sys.stdout if chosen.dry_run else sys.stderr, flush=True)
            if not chosen.dry_run:
                self.task.ended(torchrun.start(member, chosen), member.run_dir)
        return [JobReturn(_return_value=0, status=JobStatus.COMPLETED)]
