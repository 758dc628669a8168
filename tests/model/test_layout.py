"""model/layout.py: boundaries from BOS, positions anew, documents that see themselves alone"""

from __future__ import annotations

import pytest
import torch

from packtrain.errors import UserError
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.layout import CAUSAL, Layout, document_lengths
from packtrain.model.llama import Llama

CPU = torch.device("cpu")


def test_a_document_begins_at_every_bos_and_at_the_start_of_the_row() -> None:
    tokens = torch.tensor([[1, 5, 6, 1, 7, 8], [5, 6, 7, 8, 9, 5], [4, 2, 1, 1, 9, 1]])
    assert document_lengths(tokens) == ((3, 3), (6,), (2, 1, 2, 1))


def test_positions_start_anew_with_each_document() -> None:
    layout = Layout(((3, 3), (1, 5)))
    assert layout.positions(6, CPU).tolist() == [[0, 1, 2, 0, 1, 2], [0, 0, 1, 2, 3, 4]]
    assert CAUSAL.positions(4, CPU).tolist() == [0, 1, 2, 3]
    assert layout.offsets(CPU).tolist() == [0, 3, 6, 7, 12]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (((3, 3), (6,), (6,)), "for 3 rows, the batch has 2"),
        (((3, 2), (6,)), r"row 0 have lengths 3, 2, together 5 of 6 tokens: give positive lengths whose sum is 6"),
        (((6,), (7,)), "row 1 have lengths 7, together 7 of 6"),
        (((6,), (0, 6)), "row 1 have lengths 0, 6"),
        (((6,), ()), "row 1 have lengths none"),
    ],
)
def test_boundaries_that_do_not_cover_the_sequence_are_refused_in_one_line(documents: tuple, message: str) -> None:
    model = initialise(Llama(ModelConfig(32, 1, 2, vocab_size=9)), 0)
    with pytest.raises(UserError, match=message) as raised:
        model(torch.zeros(2, 6, dtype=torch.long), Layout(documents))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("recompute", ["none", "manual"])
def test_a_packed_document_gets_the_logits_and_gradients_it_gets_alone(recompute: str) -> None:
    config = ModelConfig(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=50)
    model = initialise(Llama(config, engine=Engine(recompute=recompute)), 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5.0 if parameter.ndim == 2 else 1.0)  # attention far from uniform
    documents = [torch.randint(2, 50, (n,), generator=torch.Generator().manual_seed(n)) for n in (7, 1, 5, 13)]
    packed = torch.stack((torch.cat(documents[:3]), documents[3]))
    layout = Layout(((7, 1, 5), (13,)))
    model.loss(packed, packed.roll(1), layout).backward()
    together = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        logits = model(packed, layout)
        alone = torch.cat([model(document[None])[0] for document in documents])
        mixed = model(packed)
    torch.testing.assert_close(logits.flatten(0, 1), alone, atol=1e-6 * float(alone.abs().max()), rtol=0)
    assert (mixed - logits).abs().max() > 1e-2, "without the mask the second document sees the first"

    model.zero_grad()
    targets = packed.roll(1).flatten().split([7, 1, 5, 13])
    for document, target in zip(documents, targets, strict=True):
        (model.loss(document[None], target[None]) * len(document) / 26).backward()
    for name, parameter in model.named_parameters():
        assert (together[name] - parameter.grad).norm() <= 1e-6 * together[name].norm(), name
