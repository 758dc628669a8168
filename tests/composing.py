"""(command, overrides) → what Hydra composes, as the command line asks it"""

from __future__ import annotations

from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from packtrain import cli_compose


def composed(command: str, *overrides: str) -> DictConfig:
    """The configuration of the command, without Hydra's own part."""
    with cli_compose.engine() as engine:
        cfg = engine.compose_config(command, list(overrides), RunMode.RUN)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def plain(cfg: DictConfig, **how: Any) -> dict[str, Any]:
    """The same as a plain dict."""
    values = OmegaConf.to_container(cfg, **how)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}
