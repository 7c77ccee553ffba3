"""One graph for training and evaluation: it reads flags and buffers when it runs."""

import pytest
import torch
from made_networks import (
    DataDependent,
    DirectParameters,
    FunctionalDropout,
    NoiseInTraining,
    WithoutGradient,
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
        (NoiseInTraining, "does different things in training and in evaluation"),
        (WithoutGradient, "switches gradients or autocast"),
    ],
)
def test_a_forward_that_is_not_one_graph_is_refused_with_the_reason(build, reason):
    with pytest.raises(UntraceableError, match=reason):
        trace(build(), X)
