"""attention, recompute, compile and data.document_mask as settings of a run"""

from __future__ import annotations

import shutil

import pytest

from tests.training.test_run import rows


def test_every_recompute_policy_trains_to_the_same_loss(train) -> None:
    last = {}
    for recompute in ("manual", "none", "selective", "full"):
        outcome = train(f"recompute={recompute}", name=recompute)
        assert outcome.code == 0 and f"recompute {recompute}" in outcome.out, outcome.err
        last[recompute] = float(rows(outcome.run_dir)[-1]["train/loss"])
    assert max(last.values()) - min(last.values()) < 1e-4, last


def test_the_start_says_which_attention_auto_took_and_why(train) -> None:
    assert train("device=cpu").out.count("attention sdpa (auto: xformers runs on CUDA only), recompute manual") == 1


def test_document_masks_change_the_loss_and_are_part_of_what_a_run_is(train) -> None:
    plain, masked = train(name="plain"), train("data.document_mask=true", name="masked")
    assert masked.code == 0, masked.err
    assert rows(plain.run_dir)[-1]["train/loss"] != rows(masked.run_dir)[-1]["train/loss"]
    again = train("data.document_mask=false", name="masked")
    assert again.code == 2 and "data.document_mask was True, is False" in again.err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("attention=xformers", "attention=xformers runs on CUDA only; available here: sdpa, reference"),
        ("attention=varlen", "attention=varlen runs on CUDA only; available here: sdpa, reference"),
        ("attention=spda", "did you mean 'sdpa'?"),
        ("recompute=manuel", "did you mean 'manual'?"),
        ("compile=true", "needs a C++ compiler"),
    ],
)
def test_an_engine_that_does_not_run_here_is_refused_in_one_line(
    train, monkeypatch: pytest.MonkeyPatch, override: str, said: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    outcome = train("device=cpu", override)
    assert outcome.code == 2 and said in outcome.err, outcome.err
    assert outcome.err.count("\n") == 1 and not outcome.run_dir.exists()
