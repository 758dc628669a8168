"""The loss on responses alone: what is masked counts for nothing, and packing changes nothing"""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from packtrain.callbacks.spike_record import sequence_losses
from packtrain.data.config import DataConfig
from packtrain.data.instructions.config import InstructionConfig
from packtrain.data.instructions.shards import DOMAIN, ensure_instruction_shards
from packtrain.data.masked import counted, ids
from packtrain.data.shards import held_out_documents, open_blocks
from packtrain.evaluation.held_out import response_batches, score
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.layout import Layout, document_lengths
from packtrain.model.llama import Llama
from packtrain.tokenizer.template import ChatTemplate
from packtrain.training.module import LlamaModule
from packtrain.training.schedule import OptimConfig
from packtrain.training.steps import plan_steps
from tests.tiny_run import make_tokenizer

LENGTH = 48
ROWS = "".join(f'{{"prompt": "number {n}", "completion": "{"is " * (n % 4 + 1)}{n}"}}\n' for n in range(14))


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, torch.Tensor]:
    """All rows (n, T + 1) of the same examples, packed and each by itself."""
    folder = tmp_path_factory.mktemp("instructions")
    tokenizer = make_tokenizer(folder / "tokenizer.model")
    (folder / "some.jsonl").write_text(ROWS)
    found = {}
    for pack in (True, False):
        config = InstructionConfig(str(folder / "some.jsonl"), held_out=0, pack=pack)
        shards = ensure_instruction_shards(config, tokenizer, ChatTemplate("plain"), LENGTH, folder, lambda _: None)
        blocks = open_blocks(shards, DOMAIN, LENGTH)
        found[pack] = torch.stack([blocks[n] for n in range(len(blocks))])
    assert len(found[True]) < len(found[False]) == 14
    return found


def model(recompute: str = "manual") -> Llama:
    config = ModelConfig(dim=32, n_layers=2, n_heads=2, vocab_size=330, max_sequence_length=64)
    return initialise(Llama(config, engine=Engine(recompute=recompute)), 1)  # pyright: ignore[reportArgumentType]


def gradients(rows: torch.Tensor, micro_batch: int = 64, recompute: str = "manual") -> dict[str, torch.Tensor]:
    """Loss and gradients of one step as training makes it, whatever the micro-batches."""
    n = len(rows)
    data = DataConfig("", {}, LENGTH, None, LENGTH * n, LENGTH * n, micro_batch, document_mask=True)
    optim = OptimConfig(1e-3, 0, clip=None)
    module = LlamaModule(model(recompute), optim, plan_steps(data), 1, document_mask=True, masked=True)
    module.trainer = SimpleNamespace(global_step=0, datamodule=None)  # pyright: ignore[reportAttributeAccessIssue]
    found: dict[str, torch.Tensor] = {}

    class Kept:
        param_groups = ({},)

        def step(self) -> None:
            found.update({name: p.grad.clone() for name, p in module.model.named_parameters() if p.grad is not None})

        def zero_grad(self, set_to_none: bool) -> None: ...

    kept = Kept()
    kept.optimizer = SimpleNamespace()  # pyright: ignore[reportAttributeAccessIssue]
    module.optimizers = lambda: kept  # pyright: ignore[reportAttributeAccessIssue]
    module.manual_backward = lambda loss: loss.backward()  # pyright: ignore[reportAttributeAccessIssue]
    module.training_step(module.on_before_batch_transfer(rows.int(), 0), 0)
    assert module.last is not None
    return {**found, "loss": module.last.loss}


@pytest.mark.parametrize("recompute", ["manual", "none"])
def test_packed_is_unpacked(packs, recompute: str) -> None:
    packed, alone = (gradients(packs[pack], recompute=recompute) for pack in (True, False))
    assert packed.keys() == alone.keys()
    for name, value in packed.items():
        torch.testing.assert_close(value, alone[name], rtol=1e-5, atol=1e-6, msg=name)


def test_micro_batches_of_unequal_many_responses_weigh_every_token_the_same(packs) -> None:
    whole, one_by_one = (gradients(packs[True], micro_batch=size) for size in (64, 1))
    for name, value in whole.items():
        torch.testing.assert_close(value, one_by_one[name], rtol=1e-5, atol=1e-6, msg=name)


def test_masked_targets_contribute_exactly_nothing(packs) -> None:
    rows = packs[True]
    inputs, targets = ids(rows)[:, :-1], ids(rows)[:, 1:]
    layout = Layout(document_lengths(inputs))
    garbage = torch.where(rows[:, 1:] < 0, torch.randint(3, 300, targets.shape), targets)
    assert not torch.equal(garbage, targets)
    found = []
    for wanted in (targets, garbage):
        one = model()
        one.loss(inputs, wanted, layout, counted(rows)).backward()
        found.append({name: p.grad for name, p in one.named_parameters()})
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_hidden_states_of_masked_positions_have_a_gradient_of_exactly_zero(packs) -> None:
    rows, one, kept = packs[True], model(), []
    hidden = one.hidden
    one.hidden = lambda *given: kept.append(hidden(*given)) or kept[0]  # pyright: ignore[reportAttributeAccessIssue]
    inputs = ids(rows)[:, :-1]
    kept_gradient: list[torch.Tensor] = []
    loss = one.loss(inputs, ids(rows)[:, 1:], Layout(document_lengths(inputs)), counted(rows))
    kept[0].register_hook(kept_gradient.append)
    loss.backward()
    positions = set(counted(rows).tolist())
    flat = kept_gradient[0].flatten(0, 1)
    masked = [n for n in range(len(flat)) if n not in positions]
    assert masked and not flat[masked].any() and flat[sorted(positions)].any(-1).all()


def test_padding_contributes_exactly_nothing(packs) -> None:
    rows = packs[False].clone()
    last = [int((row >= 0).nonzero().max()) for row in rows]
    before = gradients(rows)
    for row, end in zip(rows, last, strict=True):
        row[end + 1 :] = ~torch.randint(3, 300, (LENGTH - end,))
    after = gradients(rows)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_spike_s_record_has_the_loss_of_each_sequence_s_responses(packs) -> None:
    rows = packs[False][:5]
    data = DataConfig("", {}, LENGTH, None, LENGTH * 6, LENGTH * 6, 2, document_mask=True)
    module = LlamaModule(model(), OptimConfig(1e-3, 0), plan_steps(data), 1, document_mask=True, masked=True)
    batch = module.on_before_batch_transfer(rows.int(), 0)
    found = sequence_losses(module, batch, list(range(10, 15)), module.counted)
    assert list(found) == [10, 11, 12, 13, 14]
    for row, loss in zip(rows, found.values(), strict=True):
        with torch.no_grad():
            log_p = module.model(ids(row)[None, :-1]).log_softmax(-1)[0]
        wanted = row[1:] >= 0
        expected = -log_p.gather(1, ids(row)[1:, None])[wanted].mean()
        assert loss == pytest.approx(float(expected), rel=1e-5)
    whole = sequence_losses(module, batch, list(range(10, 15)))
    assert all(abs(whole[sample] - loss) > 1e-3 for sample, loss in found.items()), "prompts and padding count there"


def test_the_held_out_score_is_the_mean_over_the_responses(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer.model")
    (tmp_path / "some.jsonl").write_text(ROWS)
    config = InstructionConfig(str(tmp_path / "some.jsonl"), held_out=0.4)
    shards = ensure_instruction_shards(config, tokenizer, ChatTemplate("plain"), LENGTH, tmp_path, lambda _: None)
    examples = list(held_out_documents(shards, DOMAIN))
    found = score(model(), response_batches(iter(examples), LENGTH))
    nats, tokens = 0.0, 0
    for example in examples:
        with torch.no_grad():
            log_p = model()(ids(example)[None, :-1]).log_softmax(-1)[0]
        wanted = example[1:] >= 0
        nats -= float(log_p.gather(1, ids(example)[1:, None])[wanted].sum())
        tokens += int(wanted.sum())
    assert found.tokens == tokens and found.nats == pytest.approx(nats, rel=1e-5)
