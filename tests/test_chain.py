"""Chains, and the stages that find_stages makes of networks that know nothing of them."""

import copy
import io

import pytest
import torch
from made_networks import TRACED, UNTRACED, DirectParameters, Plain, X, made, run
from torch import nn

from freezeout.stages.chain import Chain, check_coverage, find_stages
from freezeout.stages.tracing import UntraceableError, trace
from freezeout.stages.untraced import reads


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
        reads(model, X)


def test_a_chain_is_its_own_stages():
    chain = made(Plain)[1]
    assert find_stages(chain, X) is chain


def test_an_argument_that_tracing_has_left_out_is_refused_and_not_ignored():
    model, chain = made(DirectParameters)
    mask = torch.zeros(6, 8, 8)
    line = r"^stages that run one by one take one tensor, not \(Tensor, mask=\): find_stages\(model, \{name: value\}\)"
    with pytest.raises(TypeError, match=line):
        chain(X, mask=mask)
    for inputs, named in (((X, mask), {}), ((), {"x": X})):
        with pytest.raises(TypeError, match="one tensor"):
            chain(*inputs, **named)
    whole = find_stages(model, {"x": X, "mask": mask})  # the remedy
    assert torch.equal(whole.eval()(X, mask=mask), model(X, mask=mask))


@pytest.mark.parametrize("branch", [False, True])
def test_a_network_that_returns_more_than_logits_is_refused(branch):
    class Twice(Plain):
        def forward(self, x):
            y = super().forward(-x if branch and x.sum() > 0 else x)
            return y, y

    said = (
        r"^the network (must return a single tensor: |returns tuple: give one that returns )logits \(batch, classes\)$"
    )
    with pytest.raises(ValueError, match=said):
        find_stages(Twice(), X)


def test_a_wrapper_for_several_devices_is_refused_for_it_would_be_one_stage():
    with pytest.raises(ValueError, match=r"^DataParallel: find the stages of the wrapped model\.module"):
        find_stages(nn.DataParallel(Plain()), X)


def test_a_network_without_parameters_is_refused():
    with pytest.raises(ValueError, match="no parameters"):
        find_stages(nn.Flatten(), X)


def test_a_chain_refuses_what_cannot_freeze_from_the_front():
    shared = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="at least one stage"):
        Chain({})
    with pytest.raises(ValueError, match=r"stage 1 has no parameters: .* or let find_stages\(model, example\)"):
        Chain({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    with pytest.raises(ValueError, match=r"stages 0 and 1 share 0\.weight"):
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
