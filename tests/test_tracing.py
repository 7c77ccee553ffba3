"""One graph for training and evaluation: it reads flags and buffers when it runs."""

import random

import numpy as np
import pytest
import torch
from made_networks import (
    Checkpointed,
    DataDependent,
    DirectParameters,
    DroppedLayer,
    FunctionalDropout,
    Hooked,
    KeptLoss,
    ModesInside,
    NoiseInTraining,
    WithoutGradient,
    Wrapper,
    X,
    made,
    run,
)

from freezeout.stages.tracing import UntraceableError, trace


def test_functional_dropout_follows_the_mode_of_its_own_stage():
    chain = made(FunctionalDropout)[1]
    still = run(chain, False)
    assert not torch.equal(run(chain, True), still)
    chain.eval()
    chain[1].train()  # a frozen stage beside one that trains: only the second drops
    chain[1].get_submodule("bn2").eval()
    assert not torch.equal(chain(X), still)


def test_a_buffer_is_read_when_the_chain_runs_not_when_it_is_traced():
    model, chain = made(DirectParameters)
    model.shift.fill_(2)
    assert torch.equal(run(chain, False), run(model, False))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (DataDependent, "control flow"),
        (NoiseInTraining, "differs between training and evaluation"),
        (Wrapper, "differs between training and evaluation"),
        (WithoutGradient, "switches gradients or autocast"),
        (Checkpointed, "recomputes activations"),
        (KeptLoss, r"its forward stores results as self\.kept"),
        (Hooked, "a hook of its Sequential would run while it is traced and never again"),
    ],
)
def test_a_forward_that_is_not_one_graph_is_refused_with_the_reason(build, reason):
    with pytest.raises(UntraceableError, match=reason):
        trace(build(), X)


@pytest.mark.parametrize("draw", [random.random, np.random.random, lambda: torch.rand(())])
def test_a_draw_that_decides_what_runs_is_refused_also_where_both_graphs_are_equal(draw):
    random.seed(0)  # neither pass of tracing drops the layer: the graph would never drop it
    np.random.seed(0)
    torch.manual_seed(0)
    with pytest.raises(UntraceableError, match="it draws a random number that decides"):
        trace(DroppedLayer(draw), X)


def test_what_is_computed_again_in_the_backward_pass_is_kept_by_no_stage():
    def packed(network):
        shapes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(t.shape) or t, lambda t: t):
            network(X)
        return shapes

    model, chain = made(Checkpointed)
    assert packed(chain) == packed(model)


def test_what_forward_keeps_as_an_attribute_is_that_of_the_last_pass():
    model, chain = made(KeptLoss)
    assert model.kept is None or isinstance(model.kept, torch.Tensor), "tracing leaves nothing behind"
    run(chain, True)
    (gradient,) = torch.autograd.grad(model.kept, model.conv1.weight)
    assert gradient.abs().sum() > 0


def test_a_hook_on_a_part_goes_on_running():
    model, chain = made(Hooked)
    model.part.register_forward_hook(lambda module, inputs, y: seen.append(y))
    seen = []
    for mode in (True, False):
        assert torch.equal(run(chain, mode), run(model, mode))
    assert len(seen) == 4


def test_a_part_that_does_different_things_in_the_two_modes_is_run_as_it_is():
    model, chain = made(ModesInside)
    assert chain.names == ["conv1", "biases_bias", "conv2", "fc"]
    called = {node.target for stage in chain for node in stage.graph.nodes if node.op == "call_module"}
    assert called == {"conv1", "bn1", "conv2", "bn2.0", "bn2.1", "drop_path", "fc"}
    assert model.bn1.num_batches_tracked == 0, "tracing counts no batch"
    assert not model.biases.kept, "tracing leaves nothing behind"


def test_what_differs_between_the_modes_is_the_stages_own():
    chain = made(ModesInside)[1].train()
    y, stage = torch.randn(64, 6, 8, 8), chain[2]
    without = y.mean((2, 3))
    assert 10 < (stage(y) == without).all(1).sum() < 54
    before = stage.get_submodule("bn2.1").running_mean.clone()
    stage.eval()  # as a frozen stage is
    assert not (stage(y) == without).all(1).any()
    assert torch.equal(stage.get_submodule("bn2.1").running_mean, before)
