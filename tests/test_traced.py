"""The stages of traced networks: where they are cut, and what each holds."""

import pytest
import torch
import torchvision
from made_networks import TRACED, Plain, SharedDropout, SharedWeights, Unread, X, made, run, sequential
from torch import nn

from freezeout.stages.chain import find_stages
from freezeout.stages.traced import cut, points
from freezeout.stages.tracing import trace


@pytest.mark.parametrize(
    ("network", "side", "count"), [("resnet50", 64, 40), ("vit_b_16", 224, 33), ("convnext_tiny", 64, 41)]
)
def test_the_points_at_which_one_tensor_is_live_are_those_of_the_architecture(network, side, count):
    with torch.device("meta"):
        model, x = torchvision.models.get_model(network), torch.zeros(1, 3, side, side)
    assert len(points(trace(model, x))) == count


def test_a_resnet_is_cut_into_its_blocks():
    with torch.device("meta"):
        chain = find_stages(torchvision.models.resnet18(), torch.zeros(1, 3, 64, 64))
    blocks = [f"layer{i}_{j}_conv1" for i in (1, 2, 3, 4) for j in (0, 1)]
    assert chain.names == ["conv1", *blocks, "fc"]


@pytest.mark.parametrize("build", TRACED)
def test_what_can_be_traced_runs_stage_by_stage(build):
    chain = made(build)[1]
    assert chain.executable
    x = X
    for stage in chain.eval():
        x = stage(x)
        assert isinstance(x, torch.Tensor)
    assert torch.equal(x, run(chain, False))


def test_a_stage_is_a_convolution_with_what_follows_it():
    chain = made(sequential)[1]
    assert chain.names == ["0_0", "0_3", "4"]
    assert [p.ndim for p in chain[0].parameters()] == [4, 1, 1, 1]


def test_a_leading_norm_joins_the_stage_after_it():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 4))
    assert [len(list(stage.parameters())) for stage in find_stages(model, X)] == [4, 2]


def test_shared_weights_never_straddle_a_boundary():
    chain = made(SharedWeights)[1]
    assert chain.names == ["conv1", "conv2", "fc"]
    assert len(list(chain[1].parameters())) == 5  # conv2, between, and the bias of conv3


def test_a_dropout_shared_by_all_stages_is_not_switched_off_by_freezing_the_first():
    chain = made(SharedDropout)[1].train()
    chain[0].eval()
    y = torch.ones(2, 6, 4, 4)
    assert (chain[1](y) != chain[1](y)).any()


def test_what_forward_never_reads_is_in_the_last_stage_which_never_freezes():
    _, chain = made(Unread)
    assert {name.rpartition(".")[0] for name, _ in chain[-1].named_parameters()} == {"fc", "spare"}
    assert [name for name, _ in chain[-1].named_buffers()] == ["note"]


def test_a_network_whose_attribute_has_a_name_of_torchs_own_can_be_cut():
    model = nn.Sequential(nn.Flatten())
    model.add_module("values", nn.Linear(192, 5))
    model.add_module("kind", nn.Linear(5, 4))
    assert find_stages(model, X).names == ["values_", "kind"]


def test_pieces_pass_exactly_one_tensor():
    model = Plain()
    for stage in cut(trace(model, X), model).values():
        assert sum(node.op == "placeholder" for node in stage.graph.nodes) == 1
