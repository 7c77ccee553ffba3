"""Chains, and the stages that find_stages makes of networks that know nothing of them."""

import copy
import io

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from freezeout.stages.chain import Chain, check_coverage, find_stages
from freezeout.stages.traced import cut, points
from freezeout.stages.tracing import UntraceableError, trace
from freezeout.stages.untraced import last_reads


class Plain(nn.Module):
    """Conv + BatchNorm + ReLU twice, the second time around a residual connection, and a classifier."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 4)

    def body(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return x + functional.relu(self.bn2(self.conv2(x)))

    def forward(self, x):
        return self.fc(self.body(x).mean((2, 3)))


class FunctionalDropout(Plain):
    def forward(self, x):
        return self.fc(functional.dropout(self.body(x), 0.5, self.training).mean((2, 3)))


class SharedDropout(Plain):
    """One Dropout module for the whole network."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = self.dropout(self.bn1(self.conv1(x)))
        x = self.dropout(self.bn2(self.conv2(x)))
        return self.fc(self.dropout(x).mean((2, 3)))


class SharedWeights(Plain):
    """The last convolution has the weight of the second."""

    def __init__(self):
        super().__init__()
        self.between, self.conv3 = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.conv3.weight = self.conv2.weight

    def forward(self, x):
        return self.fc(self.conv3(self.between(self.conv2(self.conv1(x)))).mean((2, 3)))


class DirectParameters(Plain):
    """Parameters, a buffer, a constant and a size read in forward itself, and a forward with an optional argument."""

    def __init__(self):
        super().__init__()
        self.scale, self.token = nn.Parameter(torch.randn(6, 1, 1)), nn.Parameter(torch.randn(1, 6))
        self.register_buffer("shift", torch.randn(6, 1, 1))

    def forward(self, x, mask=None):
        n = x.shape[0]
        x = self.body(x - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) * self.scale + self.shift
        x = (x if mask is None else x * mask) * self.shift.exp()
        x = torch.cat((x.mean((2, 3)).reshape(n, 1, 6), self.token.expand(n, 1, 6)), 1)
        return self.fc(x.mean(1))


class Unread(Plain):
    """A layer and a buffer that forward never reads."""

    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(3, 3)
        self.register_buffer("note", torch.ones(2))


class DataDependent(SharedDropout):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6, 1, 1))
        self.register_buffer("shift", torch.randn(6, 1, 1))

    def forward(self, x):
        if x.sum() > 0:
            x = -x
        x = self.dropout(self.body(x)) * self.scale + self.shift
        return self.fc(functional.dropout(x, 0.5, self.training).mean((2, 3)))


class TiedDataDependent(SharedWeights):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


class NoiseInTraining(Plain):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x) if self.training else x)


class WithoutGradient(Plain):
    def forward(self, x):
        with torch.no_grad():
            x = functional.relu(self.bn1(self.conv1(x)))
        return self.fc(self.conv2(x).mean((2, 3)))


def sequential():
    first = (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
    second = (nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
    return nn.Sequential(
        nn.Sequential(*first, *second), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))


def convnext():
    return ConvNeXt([CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 1)], stochastic_depth_prob=0.5, num_classes=4)


def vision_transformer():
    size = {"image_size": 8, "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}
    return torchvision.models.VisionTransformer(**size, dropout=0.2, attention_dropout=0.2, num_classes=4)


def swin():
    size = {"patch_size": [2, 2], "embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": [2, 2]}
    return torchvision.models.SwinTransformer(**size, dropout=0.2, num_classes=4)


TRACED = [
    *(sequential, linear, Plain, FunctionalDropout, SharedDropout, SharedWeights, DirectParameters, Unread),
    *(convnext, vision_transformer, swin),
]
UNTRACED = [DataDependent, TiedDataDependent, NoiseInTraining, WithoutGradient]
X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def made(build) -> tuple[nn.Module, Chain]:
    torch.manual_seed(1)
    model = build()
    return model, find_stages(model, X[:1])


def run(module, mode, x=X):
    torch.manual_seed(7)
    return module.train(mode)(x)


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


@pytest.mark.parametrize("build", [*TRACED, *UNTRACED])
class TestOfAnyNetwork:
    def test_every_parameter_and_buffer_is_in_exactly_one_stage_and_is_the_models_own(self, build):
        model, chain = made(build)
        owned = [id(p) for stage in chain for p in stage.parameters()]
        assert len(owned) == len(set(owned))
        assert set(owned) == {id(p) for p in model.parameters()}
        assert {id(b) for b in chain.buffers()} >= {id(b) for b in model.buffers()}

    @pytest.mark.parametrize("training", [True, False])
    def test_the_chain_gives_the_models_output_gradients_and_statistics_bitwise(self, build, training):
        twin = made(build)[0]
        model, chain = made(build)
        expected, got = run(twin, training), run(chain, training)
        assert torch.equal(got, expected)
        for y in (expected, got):
            y.square().sum().backward()
        # The model's own parameters and buffers: training the chain trains the model.
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            assert (p.grad is None) == (q.grad is None)
            assert p.grad is None or torch.equal(p.grad, q.grad)
        for a, b in zip(model.buffers(), twin.buffers(), strict=True):
            assert torch.equal(a, b)

    def test_state_survives_pickling_and_a_deep_copy_is_independent(self, build):
        chain = made(build)[1]
        file = io.BytesIO()
        torch.save(chain.state_dict(), file)
        file.seek(0)
        twin = copy.deepcopy(chain)
        assert list(twin.state_dict()) == list(chain.state_dict())
        with torch.no_grad():
            for p in twin.parameters():
                p.add_(1)
        assert not torch.equal(run(twin, False), run(chain, False))
        twin.load_state_dict(torch.load(file))
        assert torch.equal(run(twin, False), run(chain, False))

    def test_keys_do_not_depend_on_the_example_or_on_the_mode(self, build):
        model, chain = made(build)
        again = find_stages(model.eval(), X)
        assert list(again.state_dict()) == list(chain.state_dict())
        assert not again.training
        assert not any(module.training for module in again.modules())

    def test_tracing_leaves_the_model_as_it_was(self, build):
        model = build().train()
        next(model.children()).eval()
        flags = [module.training for module in model.modules()]
        before, names = copy.deepcopy(model.state_dict()), sorted(vars(model))
        trace_or_read(model)
        assert [module.training for module in model.modules()] == flags
        assert sorted(vars(model)) == names
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name])

    def test_a_chain_moves_as_a_whole(self, build):
        chain = made(build)[1].double()
        assert run(chain, False, X.double()).dtype == torch.float64


def trace_or_read(model):
    try:
        trace(model, X)
    except UntraceableError:
        last_reads(model, X)


@pytest.mark.parametrize("build", TRACED)
def test_what_can_be_traced_runs_stage_by_stage(build):
    chain = made(build)[1]
    assert chain.executable
    x = X
    for stage in chain.eval():
        x = stage(x)
        assert isinstance(x, torch.Tensor)
    assert torch.equal(x, run(chain, False))


@pytest.mark.parametrize("build", UNTRACED)
def test_what_cannot_be_traced_has_stages_that_cannot_be_run(build):
    assert not made(build)[1].executable


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


def test_what_shares_a_weight_untraced_shares_a_stage():
    model, chain = made(TiedDataDependent)
    (home,) = [stage for stage in chain if any(p is model.conv2.weight for p in stage.parameters())]
    assert {id(p) for p in home.parameters()} >= {id(model.conv2.bias), id(model.conv3.bias)}


def test_functional_dropout_follows_the_mode_of_its_own_stage():
    chain = made(FunctionalDropout)[1]
    still = run(chain, False)
    assert not torch.equal(run(chain, True), still)
    chain.eval()
    chain[1].train()  # a frozen stage beside one that trains: only the second drops
    chain[1].get_submodule("bn2").eval()
    assert not torch.equal(chain(X), still)


def test_a_dropout_shared_by_all_stages_is_not_switched_off_by_freezing_the_first():
    chain = made(SharedDropout)[1].train()
    chain[0].eval()
    y = torch.ones(2, 6, 4, 4)
    assert (chain[1](y) != chain[1](y)).any()


def test_untraced_stages_come_in_the_order_in_which_they_are_read():
    chain = made(DataDependent)[1]
    assert chain.names == ["conv1", "conv2", "network", "fc"]
    assert [name for name, _ in chain[2].named_parameters()] == ["network.scale"]
    assert [name for name, _ in chain[2].named_buffers()] == ["network.shift"]


def test_the_mode_of_an_untraced_chain_reaches_what_no_stage_holds():
    chain = made(DataDependent)[1]
    assert torch.equal(run(chain, False), chain.eval()(X))
    assert not torch.equal(run(chain, True), run(chain, False))


def test_a_buffer_is_read_when_the_chain_runs_not_when_it_is_traced():
    model, chain = made(DirectParameters)
    model.shift.fill_(2)
    assert torch.equal(run(chain, False), run(model, False))


def test_an_untraced_chain_moves_the_buffers_of_the_network_too():
    model, chain = made(DataDependent)
    chain.double()
    assert model.shift.dtype == torch.float64


def test_what_forward_never_reads_is_in_the_last_stage_which_never_freezes():
    _, chain = made(Unread)
    assert {name.rpartition(".")[0] for name, _ in chain[-1].named_parameters()} == {"fc", "spare"}
    assert [name for name, _ in chain[-1].named_buffers()] == ["note"]


def test_a_chain_is_its_own_stages():
    chain = made(Plain)[1]
    assert find_stages(chain, X) is chain


@pytest.mark.parametrize("branch", [False, True])
def test_a_network_that_returns_more_than_logits_is_refused(branch):
    class Twice(Plain):
        def forward(self, x):
            y = super().forward(-x if branch and x.sum() > 0 else x)
            return y, y

    with pytest.raises(ValueError, match="returns"):
        find_stages(Twice(), X)


def test_a_network_without_parameters_is_refused():
    with pytest.raises(ValueError, match="no parameters"):
        find_stages(nn.Flatten(), X)


def test_a_network_whose_attribute_has_a_name_of_torchs_own_can_be_cut():
    model = nn.Sequential(nn.Flatten())
    model.add_module("values", nn.Linear(192, 5))
    model.add_module("kind", nn.Linear(5, 4))
    assert find_stages(model, X).names == ["values_", "kind"]


def test_pieces_pass_exactly_one_tensor():
    model = Plain()
    for stage in cut(trace(model, X), model).values():
        assert sum(node.op == "placeholder" for node in stage.graph.nodes) == 1


def test_a_chain_refuses_what_cannot_freeze_from_the_front():
    shared = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="at least one stage"):
        Chain({})
    with pytest.raises(ValueError, match="stage 1 has no parameters"):
        Chain({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    with pytest.raises(ValueError, match="stages 0 and 1 share a parameter"):
        Chain({"a": shared, "b": nn.Sequential(shared)})
    with pytest.raises(ValueError, match=r"parameter 1\.weight belongs to no stage"):
        check_coverage([shared], nn.Sequential(shared, nn.Linear(2, 2)))


def test_a_chain_is_its_stages_in_running_order():
    a, b = nn.Linear(3, 5), nn.Linear(5, 2)
    chain = Chain({"a": a, "b": b}, smallest=8)
    assert (chain.names, len(chain), chain.smallest, chain.executable) == (["a", "b"], 2, 8, True)
    assert list(chain) == [a, b]
    assert chain[1] is b
    x = torch.randn(4, 3)
    assert torch.equal(chain(x), b(a(x)))
