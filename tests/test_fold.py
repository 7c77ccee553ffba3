"""Frozen stages prepared once: the same function, within the bounds that `prepare` states."""

from __future__ import annotations

import pytest
import torch
from made_networks import ModesInside, made
from torch import nn
from torch.nn import functional

from freezeout import find_stages, models
from freezeout.stages.fold import MultiplyAdd, prepare
from freezeout.stages.prefix import Prefix

NETWORKS = {
    "densenet_bc": {"depth": 16, "growth": 4},
    "wide_resnet": {"depth": 10, "widen": 1, "dropout": 0.3},
    "vgg": {"width": 0.25},
    "resnet_cifar": {"depth": 8},
}
BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5}
every_network = pytest.mark.parametrize("name", NETWORKS)


def trained(name: str, dtype: torch.dtype = torch.float32):
    """A network whose statistics, scales and shifts are those of a few batches, not the first ones."""
    torch.manual_seed(3)
    chain = models.build(name, 10, image=(32, 32), **NETWORKS[name]).to(dtype)
    for module in chain.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    for _ in range(3):
        chain(torch.randn(8, 3, 32, 32, dtype=dtype))
    return chain


def kinds(module: nn.Module) -> list[type]:
    return [type(m) for m in module.modules()]


@every_network
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@torch.no_grad()
def test_a_prepared_stage_is_the_stage_within_the_stated_bound(name, dtype) -> None:
    chain = trained(name, dtype).eval()
    x = torch.randn(4, 3, 32, 32, dtype=dtype)
    for stage in chain:
        given, right = x.clone(), stage(x)
        out = prepare(stage)(x)
        assert torch.equal(x, given), "a stage may not overwrite its input"
        assert (out - right).abs().max() <= BOUNDS[dtype] * right.abs().max()
        x = right


@every_network
@torch.no_grad()
def test_in_bfloat16_too(name) -> None:
    chain = trained(name).eval()
    x = torch.randn(4, 3, 32, 32)
    assert_close_in_bfloat16(chain, x)


def assert_close_in_bfloat16(chain, x: torch.Tensor) -> None:
    """Each stage, prepared, is itself within the stated bound, on the device of the images `x`."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        for stage in chain:
            right = stage(x)
            out = prepare(stage, torch.bfloat16)(x)
            assert out.dtype == right.dtype
            assert (out - right).abs().max() <= 2e-2 * right.abs().max()
            x = right


@every_network
def test_no_norm_is_left_where_arithmetic_can_be_done_beforehand(name) -> None:
    chain = trained(name)
    before = sum(isinstance(m, nn.BatchNorm2d) for stage in list(chain)[:-1] for m in stage.modules())
    made = [prepare(stage) for stage in list(chain)[:-1]]
    left = [k for stage in made for k in kinds(stage)]
    assert nn.BatchNorm2d not in left
    assert left.count(MultiplyAdd) < before, "convolutions took some of them in"
    assert all(not p.requires_grad for stage in made for p in stage.parameters())


def test_the_stage_itself_is_left_alone_and_the_prepared_one_keeps_the_weights_it_had() -> None:
    (stage,) = list(trained("wide_resnet"))[1:2]
    stage.train()
    state = {k: v.clone() for k, v in stage.state_dict().items()}
    x = torch.randn(2, 16, 8, 8)
    made = prepare(stage)
    assert stage.training
    assert all(m.training for m in stage.modules())
    assert all(torch.equal(v, state[k]) for k, v in stage.state_dict().items())
    before = made(x)
    with torch.no_grad():
        for p in stage.parameters():
            p.add_(1)
    assert torch.equal(made(x), before)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else x


class Shared(nn.Module):
    """What must not be folded: a convolution read twice, one called twice, a norm of the batch itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.bn3 = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x):
        y = self.conv1(x)
        z = y + self.bn1(y)
        z = self.bn2(self.conv2(self.conv2(z)))
        return functional.relu(x) + self.bn3(z) + functional.relu(z) + z


def test_what_cannot_be_traced_or_has_hooks_stays_as_it_is() -> None:
    branching = Branching()
    assert prepare(branching) is branching
    hooked = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    hooked[0].register_forward_hook(lambda *_: None)
    assert prepare(hooked) is hooked


@torch.no_grad()
def test_what_is_used_twice_is_not_folded() -> None:
    torch.manual_seed(0)
    stage = Shared()
    for _ in range(3):
        stage(torch.randn(8, 3, 4, 4) * 2 + 1)
    stage.eval()
    x = torch.randn(4, 3, 4, 4)
    given = x.clone()
    torch.testing.assert_close(prepare(stage)(x), stage(x))
    assert torch.equal(x, given)
    assert nn.BatchNorm2d in kinds(prepare(stage))


@torch.no_grad()
def test_stages_that_were_cut_from_a_torchvision_network() -> None:
    import torchvision

    torch.manual_seed(0)
    x = torch.randn(2, 3, 32, 32)
    chain = find_stages(torchvision.models.resnet18(num_classes=10), x)
    for _ in range(2):
        chain(x)
    for stage in list(chain.eval())[:-1]:
        made, right = prepare(stage), stage(x)
        assert (made(x) - right).abs().max() <= 1e-5 * right.abs().max()
        assert not {nn.BatchNorm2d, MultiplyAdd} & set(kinds(made))
        x = right


@torch.no_grad()
def test_a_norm_of_another_package_keeps_its_activation() -> None:
    chain = made(ModesInside)[1]
    x = torch.randn(8, 3, 8, 8)
    for _ in range(3):
        chain.train()(x)
    for stage in chain.eval():
        out, right = prepare(stage)(x), stage(x)
        assert torch.allclose(out, right, rtol=0, atol=1e-5 * right.abs().max().item())
        x = right


@pytest.mark.parametrize("fold", [True, False])
def test_a_prefix_grows_with_the_weights_of_the_moment_and_builds_no_graph(fold) -> None:
    chain = trained("wide_resnet").eval()
    frozen = 0
    prefix = Prefix(list(chain), lambda: frozen, pure=True, fold=fold, dtype=None)
    x = torch.randn(2, 3, 16, 16)
    assert prefix(x) is x
    frozen = 2
    assert prefix.grow()
    with torch.no_grad():
        for p in chain[2].parameters():
            p.mul_(1.5)
    frozen = 3
    out = prefix(x)
    assert not out.requires_grad
    for stage in list(chain)[:3]:
        x = stage(x)
    torch.testing.assert_close(out, x.detach(), rtol=1e-5, atol=1e-5)
    assert len(prefix) == 3
    assert not prefix.grow(), "taken in already"


def test_a_prefix_that_is_not_pure_keeps_moving_its_statistics() -> None:
    chain = trained("wide_resnet").train()
    prefix = Prefix(list(chain), lambda: 2, pure=False, fold=True, dtype=None)
    before = chain[1].bn1.running_mean.clone()
    assert not prefix(torch.randn(2, 3, 16, 16)).requires_grad
    assert not torch.equal(chain[1].bn1.running_mean, before)
