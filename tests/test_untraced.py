"""The stages of networks that cannot be traced: their order, and that they are the network's own."""

import copy
import pickle

import pytest
import torch
from made_networks import UNTRACED, DataDependent, OwnBlocks, TiedDataDependent, X, made, run
from torch import nn

from freezeout import FreezeOut, find_stages
from freezeout.strategies import FreezeOnly


@pytest.mark.parametrize("build", UNTRACED)
def test_what_cannot_be_traced_has_stages_that_cannot_be_run(build):
    assert not made(build)[1].executable


def test_what_shares_a_weight_untraced_shares_a_stage():
    model, chain = made(TiedDataDependent)
    (home,) = [stage for stage in chain if any(p is model.conv2.weight for p in stage.parameters())]
    assert {id(p) for p in home.parameters()} >= {id(model.conv2.bias), id(model.conv3.bias)}


def test_untraced_stages_come_in_the_order_in_which_they_are_read():
    chain = made(DataDependent)[1]
    assert chain.names == ["conv1", "conv2", "network", "fc"]
    assert [name for name, _ in chain[2].named_parameters()] == ["network.scale"]
    assert [name for name, _ in chain[2].named_buffers()] == ["network.shift"]


def test_the_mode_of_an_untraced_chain_reaches_what_no_stage_holds():
    chain = made(DataDependent)[1]
    assert torch.equal(run(chain, False), chain.eval()(X))
    assert not torch.equal(run(chain, True), run(chain, False))


@pytest.mark.parametrize("found_in", [False, True])
def test_a_frozen_part_sleeps_that_asks_for_its_own_mode(found_in):
    model, chain = made(OwnBlocks)
    assert chain.names == ["network", "first_conv", "second_conv", "fc"]
    freezer = FreezeOut(chain, torch.optim.SGD(chain.parameters(), lr=0.1), FreezeOnly(t_0=0.01), 100)
    for _ in range(2):
        (model if found_in else chain).train()  # as a training loop does, whichever it holds
        freezer.step()
    assert freezer.prefix == 1
    parts = (model, model.first, model.first.norm, model.second, model.second.norm)
    assert all(part.training for part in parts), "the scale alone is frozen, and the network's own mode is not its"
    while freezer.prefix < 2:
        freezer.step()
    assert [part.training for part in parts] == [True, False, False, True, True]
    before = copy.deepcopy(model.first.state_dict())
    (model if found_in else chain).train()
    freezer.step()
    assert torch.equal(model.first(X), model.first(X)), "its dropout is awake"
    assert all(torch.equal(before[k], v) for k, v in model.first.state_dict().items()), "its statistics move"
    assert [part.training for part in parts] == [True, False, False, True, True]


def test_an_untraced_chain_moves_the_buffers_of_the_network_too():
    model, chain = made(DataDependent)
    chain.double()
    assert model.shift.dtype == torch.float64


class Encoder(nn.Module):
    """Torch's own transformer, as its tutorials use it: with padding, whose positions are nested tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3)
        self.head = nn.Linear(16, 3)

    def forward(self, words, padding=None):
        return self.head(self.encoder(self.words(words), src_key_padding_mask=padding).mean(1))


WORDS = torch.randint(50, (4, 7), generator=torch.Generator().manual_seed(0))
PADDING = (torch.arange(7) >= torch.tensor([[7], [6], [5], [4]])).logical_and(torch.arange(7) > 3)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("inputs", [(WORDS,), (WORDS, PADDING)], ids=["whole", "padded"])
def test_each_layer_of_torchs_own_transformer_is_a_stage(inputs):
    torch.manual_seed(0)
    model = Encoder()
    with torch.no_grad():
        expected = copy.deepcopy(model).eval()(*inputs)
    for _ in range(2):  # found again, as in a notebook, it is the same
        chain = find_stages(model, inputs)
        assert chain.names == ["words", *(f"encoder_layers_{i}" for i in range(3)), "head"]
        with torch.no_grad():
            assert torch.equal(chain.eval()(*inputs), expected), "evaluation has its nested tensors"
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1)
    freezer = FreezeOut(chain, optimizer, FreezeOnly(t_0=0.2, how_scale="linear"), 10)
    for _ in range(10):
        chain.train()
        freezer.step()
        before = [[p.clone() for p in stage.parameters()] for stage in chain]
        chain(*inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        stood = [all(map(torch.equal, a, stage.parameters())) for a, stage in zip(before, chain, strict=True)]
        assert stood == [i < freezer.prefix for i in range(5)]
    assert freezer.prefix == 4
    pickle.dumps(model)
