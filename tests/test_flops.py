"""FLOPs of stages: hand counts, and the property that the cost model predicts what a real step counts."""

import time

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from freezeout.models import MODELS, build
from freezeout.savings.cost import StageCost, step_cost
from freezeout.savings.flops import count, counter, stage_costs
from freezeout.stages.chain import Chain


class Residual(nn.Module):
    """A block whose own backward differs from its full one: the shortcut's convolution reads the input directly."""

    def __init__(self, inputs: int, outputs: int, groups: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.body = nn.Conv2d(inputs, outputs, 3, padding=1, stride=2, groups=groups)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(torch.relu(self.norm(x))) + self.shortcut(x)


class Attention(nn.Module):
    """(batch, channels, h, w) to the same shape, every pixel a token."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2).reshape(x.shape)


def head(channels: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels, 10))


def plain() -> Chain:
    return Chain(
        {
            "stem": nn.Conv2d(3, 8, 3, padding=1),
            "first": Residual(8, 8),
            "second": nn.Sequential(nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU()),
            "head": head(12),
        }
    )


def grouped() -> Chain:
    return Chain(
        {
            "stem": nn.Conv2d(3, 8, 3, padding=1),
            "depthwise": nn.Conv2d(8, 8, 3, padding=1, groups=8),
            "groups": Residual(8, 16, groups=4),
            "up": nn.ConvTranspose2d(16, 8, 2, stride=2, groups=2),
            "attention": Attention(8),
            "head": head(8),
        }
    )


CHAINS = {"plain": plain, "grouped": grouped}


def real_step(chain: Chain, batch_shape: tuple[int, ...], prefix: int, flops: FlopCounterMode) -> int:
    """FLOPs counted during one training step of the whole chain, on data, with the first stages' flags off."""
    for i, stage in enumerate(chain):
        stage.requires_grad_(i >= prefix)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), flops:
        logits = chain(torch.rand(batch_shape))
        if prefix < len(chain):
            nn.functional.cross_entropy(logits, torch.zeros(batch_shape[0], dtype=torch.long)).backward()
    return flops.get_total_flops()


@pytest.mark.parametrize("name", CHAINS)
def test_the_cost_of_a_step_is_what_a_real_step_counts_at_every_prefix(name):
    shape = (4, 3, 8, 8)
    costs = stage_costs(CHAINS[name](), shape)
    for prefix in range(len(costs) + 1):
        assert step_cost(costs, prefix) == real_step(CHAINS[name](), shape, prefix, counter())


def user_network(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    )


# The smallest of each registered network; one that is not here fails the test below.
SMALL = {
    "densenet_bc": {"depth": 10, "growth": 4},
    "wide_resnet": {"depth": 10, "widen": 1},
    "vgg": {"width": 0.125},
    "resnet_cifar": {"depth": 8, "width": 4},
    "torchvision": {"network": "mobilenet_v3_small"},
    "timm": {"network": "mobilenetv3_small_050"},
    "python": {"target": f"{__name__}:user_network"},
}


@pytest.mark.parametrize("name", MODELS)
def test_every_registered_network_costs_what_a_real_step_counts_at_every_prefix(name):
    shape = (2, 3, 32, 32)
    chain = build(name, 10, **SMALL[name])
    costs = stage_costs(chain, shape)
    assert len(costs) > 1
    for prefix in range(len(costs) + 1):
        chain.zero_grad()
        assert step_cost(costs, prefix) == real_step(chain, shape, prefix, counter())


def test_without_groups_the_count_is_torchs_own():
    costs = stage_costs(plain(), (4, 3, 8, 8))
    for prefix in range(len(costs) + 1):
        torchs = FlopCounterMode(display=False)
        assert step_cost(costs, prefix) == real_step(plain(), (4, 3, 8, 8), prefix, torchs)


def test_convolution_and_linear_layers_cost_what_a_hand_counts():
    chain = Chain(
        {
            "stem": nn.Conv2d(3, 5, 3, padding=1),
            "down": nn.Conv2d(5, 6, 3, padding=1, stride=2),
            "head": nn.Sequential(nn.Flatten(), nn.Linear(6 * 4 * 4, 10)),
        }
    )
    stem, down, linear = 2 * 7 * (8 * 8 * 9 * 3 * 5), 2 * 7 * (4 * 4 * 9 * 5 * 6), 2 * 7 * (6 * 4 * 4 * 10)
    # Own: the gradient of the weight. Input: the gradient of what comes in. Each has the forward's multiply-adds.
    assert stage_costs(chain, (7, 3, 8, 8)) == [
        StageCost(stem, stem, 0),
        StageCost(down, down, down),
        StageCost(linear, linear, linear),
    ]


def test_the_bytes_are_those_of_all_that_the_hungriest_stage_makes():
    convolution = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    chain = Chain({"one": nn.Sequential(convolution, nn.Tanh()), "two": nn.Sequential(nn.Flatten(), nn.Linear(512, 2))})
    assert count(chain, (5, 3, 8, 8)).bytes == 2 * 5 * 8 * 8 * 8 * 4
    assert count(chain, (10, 3, 8, 8)).bytes == 2 * count(chain, (5, 3, 8, 8)).bytes


def test_a_grouped_convolution_costs_what_a_hand_counts():
    """8 to 16 channels in 4 groups: each output channel reads 2 inputs."""
    chain = Chain({"stem": nn.Conv2d(3, 8, 1), "groups": nn.Conv2d(8, 16, 3, padding=1, groups=4)})
    grouped = 2 * 5 * (6 * 6 * 9 * 2 * 16)
    assert stage_costs(chain, (5, 3, 6, 6))[1] == StageCost(grouped, grouped, grouped)


def test_a_grouped_transposed_convolution_costs_what_a_hand_counts():
    """Every input pixel meets the whole kernel: 8 inputs, each to 3 of 6 outputs, 2 x 2."""
    chain = Chain({"stem": nn.Conv2d(3, 8, 1), "up": nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2)})
    up = 2 * 5 * (6 * 6 * 4 * 8 * 3)
    assert stage_costs(chain, (5, 3, 6, 6))[1] == StageCost(up, up, up)


def test_torch_still_overstates_grouped_weight_gradients_so_the_correction_is_needed():
    """When this fails, torch has been mended: `counter` can become FlopCounterMode."""
    layer = nn.Conv2d(8, 8, 3, groups=8)
    with FlopCounterMode(display=False) as torchs:
        y = layer(torch.zeros(2, 8, 5, 5))
        y.backward(torch.zeros_like(y))
    forward = 2 * 2 * (3 * 3 * 9 * 8)
    assert torchs.get_total_flops() == forward + 8 * forward


def test_convnexts_training_step_costs_three_forward_passes():
    model = torchvision.models.convnext_tiny()
    (cost,) = stage_costs(Chain({"all": model}), (2, 3, 224, 224))
    assert cost.forward / 2e9 == pytest.approx(8.9, rel=0.01)  # two FLOPs a multiply-add, 4.46 GMAC as published
    assert (cost.forward + cost.backward_own) / cost.forward == pytest.approx(3.0, abs=0.01)


def test_attention_is_counted_as_its_matrix_products():
    """Four projections of c x c and two products of tokens x tokens x c, and twice that backward."""
    chain = Chain({"stem": nn.Conv2d(3, 8, 1), "attention": Attention(8)})
    tokens, c = 16, 8
    forward = 2 * 3 * (4 * tokens * c * c + 2 * tokens * tokens * c)
    cost = stage_costs(chain, (3, 3, 4, 4))[1]
    assert cost.forward == forward
    assert cost.backward_own + cost.backward_input == 2 * forward


def test_costs_are_proportional_to_the_batch():
    one, four = (stage_costs(plain(), (b, 3, 8, 8)) for b in (2, 8))
    assert [4 * c.forward for c in one] == [c.forward for c in four]
    assert [4 * c.backward_input for c in one] == [c.backward_input for c in four]


def test_counting_leaves_the_chain_and_the_random_state_as_they_were():
    chain = grouped()
    chain[0].weight.grad = torch.ones_like(chain[0].weight)
    chain[1].requires_grad_(False).eval()
    tensors = {k: (v, v.clone(), v._version) for k, v in chain.state_dict(keep_vars=True).items()}
    modes = [m.training for m in chain.modules()]
    random = torch.get_rng_state()
    stage_costs(chain, (4, 3, 8, 8))
    for name, now in chain.state_dict(keep_vars=True).items():
        kept, value, version = tensors[name]
        assert now is kept, name
        assert torch.equal(now, value), name
        assert now._version == version, name
    assert [m.training for m in chain.modules()] == modes
    assert [p.requires_grad for p in chain.parameters()] == [i not in (2, 3) for i in range(len([*chain.parameters()]))]
    assert torch.equal(chain[0].weight.grad, torch.ones_like(chain[0].weight))
    assert all(p.grad is None for p in [*chain.parameters()][1:])
    assert torch.equal(torch.get_rng_state(), random)


def test_a_chain_that_is_already_frozen_counts_as_one_that_trains():
    """A resumed run counts its stages after its prefix has been frozen again."""
    frozen = plain().requires_grad_(False).eval()
    assert stage_costs(frozen, (4, 3, 8, 8)) == stage_costs(plain(), (4, 3, 8, 8))


class OnlyInTraining(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else x


def test_work_that_a_stage_does_only_in_training_is_counted():
    chain = Chain({"stem": nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), "head": OnlyInTraining(4, 4)}).eval()
    assert stage_costs(chain, (5, 3, 2, 2))[1].forward == 2 * 5 * 4 * 4


def test_a_chain_in_double_precision_counts_the_same():
    assert stage_costs(plain().double(), (4, 3, 8, 8)) == stage_costs(plain(), (4, 3, 8, 8))


class ReadsValues(nn.Module):
    """Cannot run without data: it asks for a value, and draws from the random generator."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x + torch.rand(1).item() if x.sum().item() >= 0 else x)


def test_a_stage_that_reads_values_is_counted_on_data_and_leaves_the_random_state():
    chain = Chain({"reads": ReadsValues(), "attention": Attention(4), "head": head(4)})
    without = Chain({"conv": nn.Conv2d(3, 4, 1), "attention": Attention(4), "head": head(4)})
    expected = stage_costs(without, (4, 3, 8, 8))
    random = torch.get_rng_state()
    assert stage_costs(chain, (4, 3, 8, 8)) == expected
    assert torch.equal(torch.get_rng_state(), random)


def test_a_chain_that_cannot_be_run_by_stages_is_refused():
    whole = nn.Sequential(nn.Conv2d(3, 4, 1), head(4))
    chain = Chain({"conv": whole[0], "head": whole[1]}, forward=whole)
    with pytest.raises(ValueError, match="the 2 stages cannot be run one by one"):
        stage_costs(chain, (4, 3, 8, 8))


def test_a_wrong_input_shape_is_reported_by_torch_and_not_swallowed():
    with pytest.raises(RuntimeError, match="channels"):
        stage_costs(plain(), (4, 1, 8, 8))


def test_forty_stages_of_the_papers_size_are_counted_within_seconds():
    chain = build("densenet_bc", 100, depth=76, growth=12)
    stage_costs(plain(), (4, 3, 8, 8))  # torch imports its decompositions at the first count
    start = time.process_time()
    assert len(stage_costs(chain, (50, 3, 32, 32))) == 40
    assert time.process_time() - start < 3
