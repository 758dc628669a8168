"""torchrun or srun → rank, world size → process groups: NCCL or gloo for tensors, gloo for flags and files

Processes are never created here: a launcher has done so, or there is one.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from packtrain.errors import Failure, UserError
from packtrain.parallel.meeting import meet

T = TypeVar("T")
EXIT_CODES = {UserError: 2, Failure: 1}


@dataclass(frozen=True)
class World:
    """The processes of one run, this one among them. `flags` is a gloo group over all; None in a world of one."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    flags: Any = field(default=None, repr=False, compare=False)

    @property
    def first(self) -> bool:
        """Whether this process writes, prints and asks: rank 0."""
        return self.rank == 0

    def agree(self, action: Callable[[], T]) -> T:
        """`action()` on every rank; where it fails on any, all stop, and the lowest such rank alone says why.

        Raises that rank's own `UserError` or `Failure`; on the others `SystemExit` with the same code, silently.
        """
        if self.size == 1:
            return action()
        result: Any = None
        error: Exception | None = None
        try:
            result = action()
        except (UserError, Failure) as caught:
            error = caught
        codes = self.gather(None if error is None else EXIT_CODES[type(error)])
        failed = [rank for rank, code in enumerate(codes) if code is not None]
        if not failed:
            return result
        if failed[0] == self.rank and error is not None:
            raise error
        raise self.follow(codes[failed[0]] or 1)

    def follow(self, code: int) -> SystemExit:
        """What a rank raises that leaves because rank 0 does, which says why: a moment later, for a launcher ends all
        ranks when it sees the first one fail."""
        time.sleep(3)
        return SystemExit(code)

    def on_first(self, action: Callable[[], T]) -> T:
        """`action()` on rank 0 alone; what it gives, or its failure, reaches all."""
        found: Any = self.agree(lambda: action() if self.first else None)
        return self.share(found)

    def share(self, value: T) -> T:
        """Rank 0's `value`, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0, group=self.flags)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """The `value` of every rank, in their order."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self.flags)
        return found

    def any(self, flag: bool) -> bool:
        """Whether any rank's `flag` is set: a message of four bytes on the CPU, which no GPU waits for."""
        if self.size == 1:
            return flag
        told = torch.tensor(int(flag), dtype=torch.int32)
        dist.all_reduce(told, dist.ReduceOp.MAX, group=self.flags)
        return bool(told)


def find_world() -> World:
    """This process's place as its launcher says it, without talking to anybody. Under `srun` the batch script must
    have exported MASTER_ADDR and MASTER_PORT; `torchrun` sets all of them."""
    environment = os.environ
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not ("RANK" in environment and "WORLD_SIZE" in environment):
        names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE")
        if not ("SLURM_STEP_ID" in environment and "MASTER_PORT" in environment):
            if environment.get("SLURM_STEP_NUM_TASKS", "1") not in ("", "1"):
                raise UserError(
                    f"srun has started {environment['SLURM_STEP_NUM_TASKS']} processes that do not know each other: "
                    "export MASTER_ADDR and MASTER_PORT before it, as the script of hydra.launcher.dry_run=true does"
                )
            return World()  # inside an allocation, but not started by srun: one process
    try:
        rank, size = int(environment[names[0]]), int(environment[names[1]])
        local_rank = int(environment.get(names[2], 0))
        local_size = int(environment.get(names[3], size))
    except (KeyError, ValueError) as error:
        raise UserError(f"the launcher's variables {', '.join(names)} are incomplete: {error}") from error
    if not 0 <= rank < size:
        raise UserError(f"{names[0]}={rank} is no rank of {names[1]}={size} processes: use torchrun or srun")
    return World(rank, size, local_rank, local_size)


def refuse_several(message: str) -> None:
    """For what one process does: raises `UserError(message)` on the first of several, the others leave silently."""
    world = find_world()
    if world.size > 1:
        raise UserError(message) if world.first else world.follow(EXIT_CODES[UserError])


def start(device_type: str, join_seconds: float = 600.0, timeout_seconds: float = 1800.0, alone: bool = False) -> World:
    """Joins the run's process groups and returns this process's `World`; a world of one joins none unless `alone`.

    NCCL between CUDA devices, gloo between CPUs; `join_seconds` is how long the processes wait for each other here,
    `timeout_seconds` how long a collective may wait for a rank.
    """
    world = find_world()
    if world.size == 1 and not alone:
        return world
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo"
        timeout = timedelta(seconds=timeout_seconds)
        if device_type == "cuda":
            torch.cuda.set_device(world.local_rank if torch.cuda.device_count() > 1 else 0)  # --gpus-per-task shows one
        store = meet(world.rank, world.size, join_seconds) if world.size > 1 else HashStore()
        store.set_timeout(timeout)
        try:
            dist.init_process_group(backend, store=store, rank=world.rank, world_size=world.size, timeout=timeout)
        except (dist.DistError, ValueError, RuntimeError) as error:
            where = f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}"
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Failure(f"the {world.size} processes that met at {where} form no group: {line}") from error
    flags = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_seconds))
    return World(world.rank, world.size, world.local_rank, world.local_size, flags)


def only_first_speaks(world: World) -> None:
    """From here on, what other ranks than 0 print to stdout goes nowhere; their errors are still heard."""
    if not world.first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it lives as long as the process


def stop() -> None:
    """Leaves the process groups."""
    if dist.is_initialized():
        dist.destroy_process_group()
