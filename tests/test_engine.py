"""Every way of executing a step against the plain eager one: folded, run ahead, channels last, captured, resumed."""

from __future__ import annotations

import copy
import gc
import warnings
from itertools import islice

import pytest
import replay
import torch
from replay import BATCH, RECIPE, STEPS, made
from tape import Tapes
from torch.nn.functional import cross_entropy

from freezeout import FreezeOut
from freezeout.savings.cost import step_cost
from freezeout.savings.flops import counter, stage_costs
from freezeout.schedule import Schedule
from freezeout.stages import prefix
from freezeout.stages.prefix import Prefix
from freezeout.strategies import Baseline
from freezeout.train import captured, loop
from freezeout.train.captured import CapturedStep
from freezeout.train.loop import Training, stream_seed
from freezeout.train.optimizers import make_optimizer
from freezeout.train.schema import Sgd

BOUND = 1e-9
AS_IT_IS = {"fold": False}
PATHS = {
    "as it is": AS_IT_IS,
    "folded": {"fold": True},
    "run ahead": {"fold": False, "run_ahead": 5},
    "run ahead, folded": {"fold": True, "run_ahead": 10},
}
networks = pytest.mark.parametrize("network", replay.NETWORKS)


class SingleRates(FreezeOut):
    """Rates as a graph reads them: float32."""

    def rates(self, step):
        return torch.tensor(super().rates(step), dtype=torch.float32).tolist()


def free_run(network: str, **how):
    """Losses of 60 steps, and the state at their end."""
    steps = list(replay.replay(replay.load(network), **how))
    return [loss for loss, _, _ in steps], steps[-1][2].state_dict()


def agree(a, b, bound: float = BOUND) -> None:
    assert len(a[0]) == len(b[0]) == STEPS
    assert max(abs(x - y) for x, y in zip(a[0], b[0], strict=True)) <= bound
    for (name, x), y in zip(a[1].items(), b[1].values(), strict=True):
        assert (x.double() - y.double()).abs().max() <= bound, name


@networks
@pytest.mark.parametrize("path", PATHS)
def test_in_float64_sixty_steps_are_those_of_a_plain_loop(network, path) -> None:
    events = {s for s in RECIPE.schedule(len(replay.build(replay.load(network)))).freeze_steps(STEPS) if s is not None}
    assert len(events) >= (5 if network == "densenet" else 4)
    agree(free_run(network, plain=True), free_run(network, **PATHS[path]))


@networks
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_where_the_arithmetic_is_the_same_so_is_every_bit(network, dtype) -> None:
    agree(free_run(network, plain=True, dtype=dtype), free_run(network, dtype=dtype, **AS_IT_IS), bound=0.0)


def plain_loop(network: str, dtype: torch.dtype, steps: int):
    """No FreezeOut, no stages: what anybody would write."""
    trajectory = replay.load(network)
    chain = replay.build(trajectory, dtype=dtype)
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True)
    for x, y in islice(zip(trajectory.x.to(dtype), trajectory.y, strict=True), steps):
        optimizer.zero_grad()
        loss = cross_entropy(chain(x), y)
        loss.backward()
        optimizer.step()
        yield loss.item()


@networks
def test_before_the_first_freeze_it_is_the_plain_loop_bit_for_bit(network) -> None:
    class Constant:
        bn = "eval"

        def schedule(self, n):
            # Rates that have not begun to fall at all: annealed at infinity.
            return Schedule(freeze=(1.0,) * n, anneal=(float("inf"),) * n)

    ours = [loss for loss, _, _ in replay.replay(replay.load(network), strategy=Constant(), dtype=torch.float32)]
    assert ours == list(plain_loop(network, torch.float32, STEPS))


@networks
@pytest.mark.parametrize("fold", [True, False])
def test_a_step_does_the_arithmetic_of_the_active_stages_and_no_more(network, fold) -> None:
    """Counted: the prefix forward only, and no gradient for the input of the first active stage."""
    chain = replay.build(replay.load(network))
    costs = stage_costs(chain, (BATCH, 3, 32, 32))
    optimizer = make_optimizer(Sgd(), chain)
    run = made(chain.train(), optimizer, FreezeOut(chain, optimizer, RECIPE, STEPS), fold=fold)
    x, y = replay.load(network).x.double(), replay.load(network).y
    for step in range(STEPS):
        with counter() as flops:
            run.train_window(range(step, step + 1), iter([(x[step], y[step])]), lambda: False)
        assert flops.get_total_flops() == step_cost(costs, RECIPE.schedule(len(chain)).prefix(step, STEPS))


@networks
def test_what_is_packed_for_backward_falls_by_the_share_of_the_frozen_stages(network) -> None:
    held: dict[int, int] = {}

    def pack(tensor):
        own = {p.data_ptr() for p in chain.parameters()} | {b.data_ptr() for b in chain.buffers()}
        if tensor.data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    chain = replay.build(replay.load(network))
    optimizer = make_optimizer(Sgd(), chain)
    run = made(chain.train(), optimizer, FreezeOut(chain, optimizer, RECIPE, STEPS))
    x, y = replay.load(network).x.double(), replay.load(network).y
    for step in range(STEPS):
        kept: dict[int, int] = {}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            run.train_window(range(step, step + 1), iter([(x[step], y[step])]), lambda: False)
        held.setdefault(len(run.prefix), sum(kept.values()))
        assert not [p for p in chain.parameters() if p.grad is not None], "set to None, not to zero"
    assert sorted(held.values(), reverse=True) == [held[k] for k in sorted(held)]
    assert held[max(held)] < 0.05 * held[0], "the head alone"


# One step from the same state, in the precisions in which a free run drifts by itself


def one_step(state, number: int, device: str = "cpu", **engine):
    """Loss and parameters after step `number` of the recipe, from the float32 `state` before it."""
    trajectory = replay.load("densenet")
    chain = replay.build(trajectory, device, torch.float32)
    chain.load_state_dict(state[0])
    optimizer = make_optimizer(Sgd(), chain)
    freezeout = FreezeOut(chain, optimizer, RECIPE, STEPS)
    training = made(chain, optimizer, freezeout, **engine)
    training.freezeout.load_state_dict({"step": number})
    chain.train()
    x, y = trajectory.x.to(device), trajectory.y.to(device)
    if training.channels_last:
        chain.to(memory_format=torch.channels_last)
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2])
    window = training.next_window(range(STEPS))
    stop = number + 1
    training.train_window(window, iter([(x[s], y[s]) for s in window]), lambda: training.step == stop)
    return training.loss_sum.item(), torch.cat([p.detach().flatten().cpu() for p in chain.parameters()])


def states(numbers: list[int]):
    """The float32 network before each of these steps, as the plain loop leaves it."""
    found = {}
    for number, (_, _, chain) in enumerate(replay.replay(replay.load("densenet"), plain=True, dtype=torch.float32), 1):
        if number in numbers:
            found[number] = (copy.deepcopy(chain.state_dict()),)
    return found


@pytest.mark.parametrize(
    ("engine", "bound"),
    [
        ({"fold": True}, 1e-5),
        ({"fold": True, "run_ahead": 5}, 1e-5),
        ({"fold": True, "channels_last": True}, 1e-5),
        ({"fold": False, "run_ahead": 5}, 1e-5),
    ],
    ids=str,
)
def test_in_float32_one_step_from_the_same_state(engine, bound) -> None:
    # The bound is on the loss and on the weights; a ReLU within rounding of 0 can move single gradients by more.
    for number, state in states([20, 33, 47, 58]).items():
        loss, weights = one_step(state, number, **AS_IT_IS)
        ours, moved = one_step(state, number, **engine)
        assert abs(loss - ours) <= bound * abs(loss)
        assert (weights - moved).norm() <= bound * weights.norm()


def test_in_bfloat16_one_step_from_the_same_state() -> None:
    for number, state in states([20, 33, 47, 58]).items():
        loss, weights = one_step(state, number, bf16=True, **AS_IT_IS)
        for engine in ({"fold": True}, {"fold": True, "run_ahead": 5}):
            ours, moved = one_step(state, number, bf16=True, **engine)
            assert abs(loss - ours) <= 2e-2 * abs(loss)
            assert (weights - moved).norm() <= 1e-2 * weights.norm()


# Captured


def tapes(training: Training, **how) -> Tapes:
    """Tapes for `training`, which puts them to use."""

    def state():
        step = training.captured
        yield from training.chain.state_dict().values()
        yield from (v for s in training.optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor))
        yield from (step._row, step._rates, training.loss_sum)

    graphs = Tapes(state, **how)
    training.captured = CapturedStep(training.body, training.freezeout, training.optimizer, graphs)
    return graphs


@pytest.fixture
def captures(monkeypatch):
    """A free run of captured steps; what its tapes saw is in `captures.graphs`."""
    monkeypatch.setattr(captured, "WORTH", 2)
    real = loop.Training.__post_init__

    def run(network: str, refuse: int | None = None, reason: RuntimeError | None = None, prepare=None, **engine):
        def post_init(training) -> None:
            real(training)
            if prepare is not None:
                prepare(training)
            run.graphs = tapes(training, refuse=refuse, **({"reason": reason} if reason else {}))

        monkeypatch.setattr(loop.Training, "__post_init__", post_init)
        result = free_run(network, **engine)
        monkeypatch.setattr(loop.Training, "__post_init__", real)
        return result

    return run


@networks
@pytest.mark.parametrize("engine", [AS_IT_IS, {"fold": True}, {"fold": True, "run_ahead": 5}], ids=str)
def test_replayed_steps_are_those_of_a_plain_loop(network, engine, captures) -> None:
    agree(free_run(network, plain=True, mechanism=SingleRates), captures(network, **engine))
    graphs = captures.graphs
    assert len(graphs.made) >= 3, "a capture at each prefix that lasts"
    assert graphs.warmed < STEPS / 2
    assert max(graphs.alive) == 1, "the graph of the prefix before is let go first"
    gc.collect()


def test_a_refused_capture_is_one_warning_and_the_same_numbers(captures) -> None:
    with pytest.warns(UserWarning, match="cannot be captured and stays eager: operation not permitted") as said:
        refused = captures("densenet", refuse=1, **AS_IT_IS)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agree(refused, free_run("densenet", plain=True, mechanism=SingleRates))


def test_where_memory_lacks_the_next_prefix_is_captured_again(captures) -> None:
    short = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmany details")
    with pytest.warns(UserWarning, match="is eager until the next freeze event: CUDA out of memory") as said:
        found = captures("densenet", refuse=0, reason=short, **AS_IT_IS)
    assert len(said) == 1
    assert len(captures.graphs.made) >= 2
    agree(found, free_run("densenet", plain=True, mechanism=SingleRates))


def test_only_the_first_prefix_is_warmed_up_twice(captures) -> None:
    captures("densenet", **AS_IT_IS)
    graphs = captures.graphs
    lengths = [b - a for _, a, b in RECIPE.schedule(len(replay.build(replay.load("densenet")))).segments(STEPS)]
    worth = [n for n in lengths if n - captured.WARM_UP_AGAIN >= captured.WORTH]
    assert len(graphs.made) == len(worth)
    assert graphs.warmed == captured.WARM_UP + len(worth) - 1 + sum(n for n in lengths if n not in worth)


@networks
def test_equal_rates_are_one_call_of_the_optimizer_in_a_graph_too(network, captures, monkeypatch) -> None:
    calls: list[int] = []
    real = torch.optim.Optimizer.register_step_pre_hook
    monkeypatch.setattr(
        "replay.make_optimizer",
        lambda *a: (o := make_optimizer(*a), real(o, lambda o, *_: calls.append(len(o.param_groups))))[0],
    )
    captures(network, strategy=Baseline())
    assert set(calls) == {1}


def test_a_reset_step_is_captured_anew_under_the_schedule_of_then(monkeypatch) -> None:
    """As a benchmark changes it, so that one engine serves every prefix."""
    monkeypatch.setattr(captured, "WORTH", 2)
    chain = replay.build(replay.load("wrn")).train()
    optimizer = make_optimizer(Sgd(), chain)
    training = made(chain, optimizer, FreezeOut(chain, optimizer, Baseline(), STEPS))
    graphs = tapes(training)
    x, y = replay.load("wrn").x[0].double(), replay.load("wrn").y[0]

    def steps(n: int) -> None:
        for step in range(training.step, training.step + n):
            training.train_window(range(step, step + 1), iter([(x, y)]), lambda: False)

    steps(6)
    assert len(graphs.made) == 1
    before = chain[0].weight.clone()
    training.freezeout.schedule = Schedule(freeze=(0.0, 0.0, *[1.0] * (len(chain) - 2)), anneal=(1.0,) * len(chain))
    training.captured.reset()
    steps(6)
    assert len(graphs.made) == 2
    assert len(training.prefix) == 2
    assert not torch.equal(chain[2].conv1.weight, replay.build(replay.load("wrn"))[2].conv1.weight)
    assert torch.equal(chain[0].weight, before), "frozen"


def test_a_batch_of_another_shape_is_refused() -> None:
    chain = replay.build(replay.load("wrn"))
    optimizer = make_optimizer(Sgd(), chain)
    training = made(chain, optimizer, FreezeOut(chain, optimizer, RECIPE, STEPS))
    tapes(training)
    x, y = replay.load("wrn").x[0].double(), replay.load("wrn").y[0]
    training.train_window(range(1), iter([(x, y)]), lambda: False)
    with pytest.raises(ValueError, match="takes batches"):
        training.train_window(range(1, 2), iter([(x[:4], y[:4])]), lambda: False)


# Sabotage: each must be noticed


def test_stale_weights_are_noticed(monkeypatch) -> None:
    class Stale(Prefix):
        def __init__(self, stages, frozen, **how) -> None:
            super().__init__(stages, frozen, **how)
            self._stale = copy.deepcopy(list(stages))

        def prepared(self, i):
            return prefix.prepare(self._stale[i], self._dtype)

    monkeypatch.setattr(loop, "Prefix", Stale)
    with pytest.raises(AssertionError):
        agree(free_run("densenet", plain=True), free_run("densenet", fold=True))


def test_a_wrong_row_of_rates_is_noticed(monkeypatch, captures) -> None:
    real = CapturedStep._begin

    def off_by_one(step, x, labels, number) -> None:
        real(step, x, labels, number)
        step._table = step._table.roll(1, 0)

    monkeypatch.setattr(CapturedStep, "_begin", off_by_one)
    with pytest.raises(AssertionError):
        agree(free_run("densenet", plain=True, mechanism=SingleRates), captures("densenet"))


def test_a_rate_held_by_the_host_is_noticed(monkeypatch, captures) -> None:
    real = CapturedStep._begin

    def bound_to_the_host(step, x, labels, number) -> None:
        real(step, x, labels, number)
        for group in step._optimizer.param_groups:
            group["lr"] = group["lr"].item()

    monkeypatch.setattr(CapturedStep, "_begin", bound_to_the_host)
    with pytest.raises(AssertionError):
        agree(free_run("densenet", plain=True, mechanism=SingleRates), captures("densenet"))


def test_a_prefix_that_grows_a_step_early_is_noticed(monkeypatch) -> None:
    real = Training.__post_init__

    def early(training) -> None:
        real(training)
        training.prefix._frozen = lambda: training.freezeout.prefix_at(min(training.step, STEPS - 1))

    monkeypatch.setattr(Training, "__post_init__", early)
    with pytest.raises(AssertionError):
        agree(free_run("densenet", plain=True), free_run("densenet", fold=True))


def test_a_graph_that_is_replayed_a_step_too_long_is_noticed(monkeypatch, captures) -> None:
    real = CapturedStep._begin

    def late(step, x, labels, number) -> None:
        if number and step._replay is not None and not getattr(step, "waited", False):
            step.waited = True
            return
        step.waited = False
        real(step, x, labels, number)

    monkeypatch.setattr(CapturedStep, "_begin", late)
    with pytest.raises(IndexError):  # the rates of a prefix end where it ends
        captures("densenet")


def test_dropout_draws_a_function_of_seed_and_step() -> None:
    assert stream_seed(0, 1) != stream_seed(1, 0) != stream_seed(0, 0)
