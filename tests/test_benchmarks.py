"""The benchmark: its arms train alike, its counts and bounds can fail, and it runs from end to end."""

from __future__ import annotations

import copy
import csv
import dataclasses
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import bounds, ideal, ideal_gpu, packed, report, savings, settings, steps
from benchmarks.__main__ import main
from benchmarks.arms import Ours, Plain, make
from benchmarks.budget import Budget
from freezeout.savings.cost import StageCost, predicted_saving
from freezeout.strategies import Baseline, FreezeOut

SMALL = dataclasses.replace(settings.CPU, batch=4, image=8, group=3, run_steps=20, run_epoch=10, profile_steps=1)
ROOT = Path(__file__).parent.parent


def plan(network: str = "wrn_10_1", **changes):
    chosen = dataclasses.replace(SMALL, **changes)
    return settings.plan_of(chosen, network, epoch=chosen.group, steps=10 * chosen.group)


def weights(arm) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in arm.chain.state_dict().items()}


@pytest.mark.parametrize("network", ["wrn_10_1", "densenet_bc_16_4", "resnet8"])
def test_with_nothing_frozen_every_arm_takes_bitwise_the_same_steps(network: str) -> None:
    planned = plan(network)
    arms = {key: make(key, planned, 0, channels_last=ours_are_channels_last(planned)) for key in "abcd"}
    losses = {key: [arm.epoch() for _ in range(2)] for key, arm in arms.items()}
    assert losses["a"] == losses["b"] == losses["c"] == losses["d"]
    assert losses["a"][0] != losses["a"][1]
    first = weights(arms["a"])
    for key in "bcd":
        other = weights(arms[key])
        assert first.keys() == other.keys()
        assert all(torch.equal(first[name], other[name]) for name in first), key


def ours_are_channels_last(planned) -> bool:
    return getattr(planned.config.machine, "channels_last", False)


@pytest.mark.parametrize("prefix", [2, 4])
def test_with_a_prefix_frozen_ours_trains_what_the_careful_loop_trains(prefix: int) -> None:
    planned = plan()
    arms = [make(key, planned, prefix, channels_last=ours_are_channels_last(planned)) for key in "ad"]
    before = weights(arms[0])
    losses = [arm.epoch() for arm in arms]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    careful, ours = map(weights, arms)
    frozen = {f"stages.{name}" for name in planned.build().names[:prefix]}
    for name, value in careful.items():
        if ".".join(name.split(".")[:2]) in frozen:  # running statistics included
            assert torch.equal(value, before[name]), name
            assert torch.equal(ours[name], before[name]), name
        else:
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(value, before[name]) for name, value in careful.items())


def test_each_way_of_freezing_is_what_it_says() -> None:
    planned = plan()
    found = {}
    for kind in "abc":
        arm = Plain(kind, planned, 0, channels_last=True)
        arm.epoch()
        arm.freeze(2)  # half way, as a benchmark goes through its prefixes
        before = weights(arm)
        arm.epoch()
        frozen = [p for stage in arm.stages[:2] for p in stage.parameters()]
        moved = [n for n, v in weights(arm).items() if not torch.equal(v, before[n])]
        of_frozen = [n for n in moved if n.split(".")[1] in planned.build().names[:2]]
        assert all(id(p) not in {id(q) for q in arm.optimizer.param_groups[0]["params"]} for p in frozen)
        assert not any(p in arm.optimizer.state for p in frozen)
        assert len(moved) > len(of_frozen)
        assert all(p.grad is None for p in frozen)  # in the original's way because outputs are detached
        found[kind] = all(p.requires_grad for p in frozen), any("running" in n for n in of_frozen)
        assert all("running" in n or "batches" in n for n in of_frozen)
    assert found == {"a": (False, False), "b": (True, False), "c": (False, True)}
    stem = Plain("b", planned, 1, channels_last=True)
    stem.epoch()
    assert all(p.grad is not None for p in stem.stages[0].parameters())  # the original never detaches its output


def test_the_gradient_of_its_input_is_a_part_of_a_stages_backward() -> None:
    clocked = ideal.ClockedStages(plan(batch=50, image=16))
    rounds = [clocked.handed_on() for _ in range(5)]
    middle = savings.medians(rounds)
    own, _ = clocked.visit()
    assert all(0 < h < 2 * o for h, o in list(zip(middle, own, strict=True))[1:4])  # the blocks


def test_bytes_packed_fall_with_the_prefix_but_not_the_originals_way() -> None:
    planned, prefixes = plan("densenet_bc_16_4"), [0, 3, 5, 9]
    shares = packed.shares(planned, prefixes, channels_last=True)
    found = {k: packed.measure(planned, k, list("abcd"), channels_last=True) for k in prefixes}
    held = {key: [found[k][key]["packed"] for k in prefixes] for key in "abcd"}
    for key in "ad":
        assert held[key] == sorted(set(held[key]), reverse=True), key
        assert all(held[key][i] <= 1.02 * shares[k] for i, k in enumerate(prefixes)), key
    assert held["a"][0] == shares[0] > shares[3] > shares[9] > 0
    assert all(count >= 0.98 * held["b"][0] for count in held["b"])  # the frozen blocks' graphs, built to be dropped
    assert all(values["peak"] is None for k in prefixes for values in found[k].values())


def test_packed_storages_are_counted_once_and_weights_never() -> None:
    network = torch.nn.Linear(4, 4, bias=False)
    counted = packed.Packed(network)
    x = torch.randn(8, 4, requires_grad=True)
    with counted.watching():
        counted.stage = 0
        y = network(x).sigmoid()  # packs x, the weight and the sigmoid's result
        counted.stage = 1
        _ = y * y.view(32).view(8, 4)  # packs that result again, by another shape
    assert counted.bytes == x.nbytes + y.nbytes
    assert counted.share(1) == y.nbytes


def test_the_ideal_is_what_frozen_steps_would_have_taken() -> None:
    schedule, shares = FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False).schedule(5), [0.05, 0.2, 0.2, 0.15, 0.1]
    by_hand = sum(sum(shares[: schedule.prefix(s, 400)]) for s in range(400)) / 400
    assert ideal.ideal_saving(shares, schedule, 400) == pytest.approx(by_hand)
    assert ideal.ideal_saving(shares, Baseline().schedule(5), 400) == 0
    # The same number as counted costs give: own work alone, and nothing that is handed on.
    costs = [StageCost(forward=(1 - sum(shares)) / 5, backward_own=s, backward_input=0.0) for s in shares]
    assert ideal.ideal_saving(shares, schedule, 400) == pytest.approx(predicted_saving(costs, schedule, 400))
    # And with what the first active stage hands on: counted costs again.
    handed = [0.5, 0.02, 0.04, 0.06, 0.01]  # the first is never paid
    costs = [
        StageCost(forward=(1 - sum(shares)) / 5, backward_own=s - h, backward_input=h)
        for s, h in zip(shares, [0.0, *handed[1:]], strict=True)
    ]
    saving = ideal.ideal_saving(shares, schedule, 400, handed)
    assert saving == pytest.approx(predicted_saving(costs, schedule, 400))
    with pytest.raises(ValueError, match="5 shares and a schedule for 4"):
        ideal.ideal_saving(shares, Baseline().schedule(4), 400)


def test_a_stages_backward_lies_between_the_gradients_at_its_two_ends() -> None:
    # Arrivals at the outputs of stages 2, 1, 0 and the optimizer's beginning, in two steps.
    moments = [0.0, 1.0, 3.0, 7.0, 10.0, 11.0, 13.0, 19.0]
    assert ideal.own_backward(moments, 3) == [5.0, 2.0, 1.0]
    with pytest.raises(RuntimeError, match="not all were seen"):
        ideal.own_backward(moments[:-1], 3)


class Slow(torch.autograd.Function):
    """The identity, whose backward takes a while."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        time.sleep(0.02)
        return gradient


@pytest.fixture
def slow_second_stage(monkeypatch) -> None:
    """An engine whose second stage takes 20 ms more for its backward."""
    real = Ours

    def slowed(*arguments):
        ours = real(*arguments)
        # Inside of the boundary, whose hook is on the output of the stage before.
        ours.chain[1].register_forward_pre_hook(lambda module, inputs: (Slow.apply(inputs[0]),))
        return ours

    monkeypatch.setattr(ideal, "Ours", slowed)
    monkeypatch.setattr(ideal_gpu, "Ours", slowed)


def test_clocked_stages_charge_a_slow_backward_to_its_stage(slow_second_stage) -> None:
    own, step = ideal.ClockedStages(plan()).visit()
    assert own[1] >= 0.02
    assert sum(own) - own[1] < own[1]
    assert step > sum(own[i] for i in range(4))


def test_so_do_kernels_between_markers(slow_second_stage, monkeypatch) -> None:
    # No GPU here: a clock stands in for the profiler, so that what is tested is which piece belongs to which stage.
    moments: list[float] = []
    monkeypatch.setattr(ideal_gpu, "mark_kernels", lambda: moments.append(time.perf_counter()))

    def pieces(work, device):
        moments[:] = [time.perf_counter()]
        work()
        moments.append(time.perf_counter())
        return [b - a for a, b in itertools.pairwise(moments)]

    monkeypatch.setattr(ideal_gpu, "kernel_pieces", pieces)
    profiled = ideal_gpu.ProfiledStages(plan())
    own = profiled.visit()
    assert own[1] >= 0.02
    assert sum(own) - own[1] < own[1]
    assert len(profiled.handed_on()) == len(own) == 5


def test_a_run_is_carried_on_to_100_epochs_by_its_steady_blocks() -> None:
    schedule = FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False).schedule(3)  # at 0.5 and 0.75 of the steps
    per_step = [0.010, 0.006, 0.004]
    blocks = []
    for step in range(0, 400, 50):
        prefix = schedule.prefix(step, 400)
        first = not blocks or blocks[-1]["prefix"] != prefix
        seconds = 50 * per_step[prefix] + (0.7 if first else 0.0)  # what the switch and the capture took
        blocks.append({"prefix": prefix, "step_from": step, "step_to": step + 50, "seconds": seconds})
    run = savings.extrapolated(blocks, schedule, 100_000)
    assert run.switches == pytest.approx(3 * 0.7)
    assert run.total == pytest.approx(2.1 + 50_000 * 0.010 + 25_000 * 0.006 + 25_000 * 0.004)
    assert savings.as_run([{"switch": 0.5}, {}, {"switch": 0.25}], 10.0) == savings.Seconds(10.0, 0.75)


def spread(value: float) -> dict[str, float]:
    return dict.fromkeys(("median", "low", "high", "min", "max"), value) | {"n": 5}


def made_results(device: str) -> dict:
    """Results in which every bound holds, just."""
    judged, most = savings.JUDGED[device], bounds.STEP[device]
    ratios = {f"{judged}/{other}": spread(most) for other in "ac"} | {f"{judged}/b": spread(0.25)}
    strategy = {
        "of_ideal": 0.95,
        "switches": spread(bounds.SWITCHES[device]),
        "profiled": 0.27,
        "realised": spread(0.25),
    }
    return {
        "device": {"type": device, "model": "made"},
        "precision": "fp32" if device == "cpu" else "tf32",
        "batch": 50,
        "networks": {
            "densenet_bc_76_12": {
                "steps": {"0": {"ratios": ratios}},
                "packed": {"20": {"share": 1000, "arms": {"d": {"packed": 1020}}}},
                "savings": {"strategies": {"cubic scaled 0.8": strategy}},
            }
        },
    }


WORSE = [
    ("step, X over a, prefix 0", ("steps", "0", "ratios", "X/a", "median"), 1.03),
    ("step, X over b, prefix 0", ("steps", "0", "ratios", "X/b", "median"), 1.03),
    ("step, X over c, prefix 0", ("steps", "0", "ratios", "X/c", "median"), 1.03),
    ("step, X over a, nothing frozen", ("steps", "0", "ratios", "X/a", "median"), 1.03),
    ("packed bytes, d over active share, prefix 20", ("packed", "20", "arms", "d", "packed"), 1021),
    ("realised over ideal saving", ("savings", "strategies", "cubic scaled 0.8", "of_ideal"), 0.94),
    ("switches' share", ("savings", "strategies", "cubic scaled 0.8", "switches", "median"), 0.031),
    ("profiled less measured", ("savings", "strategies", "cubic scaled 0.8", "profiled"), 0.29),
    ("profiled less measured", ("savings", "strategies", "cubic scaled 0.8", "profiled"), 0.21),
    ("times faster, f than b, prefix 0", ("steps", "0", "ratios", "X/b", "median"), 0.26),
]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(("what", "path", "value"), WORSE, ids=[f"{w[0]} {w[2]}" for w in WORSE])
def test_every_bound_can_fail(device: str, what: str, path: tuple[str, ...], value: float) -> None:
    results = made_results(device)
    assert all(bound.ok for bound in bounds.bounds(results))
    if what.startswith("times") and device == "cpu":
        assert not any(bound.what.startswith("times") for bound in bounds.bounds(results))
        return
    judged = savings.JUDGED[device]
    broken = copy.deepcopy(results)
    place = broken["networks"]["densenet_bc_76_12"]
    for key in path[:-1]:
        place = place[key.replace("X", judged)]
    place[path[-1].replace("X", judged)] = value
    missed = [bound for bound in bounds.bounds(broken) if not bound.ok]
    assert any(bound.what.startswith(what.replace("X", judged)) for bound in missed), missed
    assert all("MISSED" in str(bound) for bound in missed)


def test_gpu_bounds_are_the_stricter_ones() -> None:
    results = made_results("cuda")
    results["networks"]["densenet_bc_76_12"]["steps"]["0"]["ratios"]["f/c"] = spread(1.01)
    assert [b.what for b in bounds.bounds(results) if not b.ok] == ["step, f over c, prefix 0"]
    results["precision"] = "bf16"  # the factors are promised for tf32
    assert not any(b.what.startswith("times") for b in bounds.bounds(results))


def test_prefixes_are_distinct_and_leave_the_head() -> None:
    assert settings.prefixes(40) == [0, 10, 20, 30, 38]
    assert settings.prefixes(5) == [0, 1, 2, 4]
    assert settings.prefixes(1) == [0]


def test_rounds_are_in_orders_of_their_own_and_end_with_the_budget() -> None:
    order: list[str] = []

    def visit(key: str):
        return lambda: order.append(key) or 1.0

    visits = {key: visit(key) for key in "abc"}
    found = steps.interleaved(visits, rounds=9, least=6, deadline=0.0)
    rounds = ["".join(order[i : i + 3]) for i in range(0, 18, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 2
    assert {key: len(values) for key, values in found.items()} == {"a": 6, "b": 6, "c": 6}


def test_ratios_are_of_the_same_round() -> None:
    # The machine is ten times slower in the second round: only ratios within rounds do not see it.
    found = steps.ratios({"a": [1.0, 10.0, 1.0], "b": [2.0, 20.0, 2.0], "d": [0.5, 5.0, 0.5]})
    assert found["b/a"]["median"] == 2.0
    assert found["d/a"] == spread(0.5) | {"n": 3}
    assert found["d/b"]["max"] == 0.25
    assert set(found) == {"b/a", "d/a", "d/b"}


def test_the_budget_is_dealt_out_over_what_is_still_to_come() -> None:
    budget = Budget(10, 2)
    now = time.perf_counter()
    first = budget.take("steps") - now
    assert first == pytest.approx(600 * 4.5 / 18.4, rel=0.01)
    budget.end -= 300  # something took five minutes
    assert budget.take("savings") - now == pytest.approx(300 * 4.5 / 13.9, rel=0.02)


def test_one_engine_goes_through_all_prefixes() -> None:
    arm = Ours("d", plan(), 0)
    for prefix in (0, 1, 4):
        arm.freeze(prefix)
        assert arm.epoch() is not None
        assert arm.training.freezeout.prefix == prefix


def test_a_small_benchmark_from_end_to_end(tmp_path) -> None:
    words = "--networks wrn_10_1 --compiled --rounds 2 --run-rounds 1 --run-steps 20 --batch 4 --image 8 --budget 0"
    command = [sys.executable, "-m", "benchmarks", *words.split(), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "bounds" in done.stdout
    assert "4 of 5 frozen" in done.stdout
    results = json.loads((tmp_path / report.JSON).read_text())
    measured = results["networks"]["wrn_10_1"]
    assert list(measured["steps"]) == list(measured["packed"]) == ["0", "1", "2", "4"]
    assert set(measured["steps"]["4"]["seconds"]) == set("abcd")
    assert measured["steps"]["0"]["ratios"]["d/c"]["n"] == 2
    assert set(measured["savings"]["strategies"]) == {"cubic scaled 0.8", "linear unscaled 0.5"}
    assert len(results["bounds"]) == 23
    lines = list(csv.DictReader((tmp_path / report.CSV).read_text().splitlines()))
    assert {line["quantity"] for line in lines} >= {"seconds", "ratio", "packed", "realised", "ideal_rounds"}
    assert (tmp_path / "benchmark.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--networks wrn_10_2", "wrn_10_2"),
        ("--rounds 0", "--rounds 0: must be at least 1"),
        ("--precision tf32", "a CPU has no tf32"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_timed(tmp_path, capsys, words: str, said: str) -> None:
    assert main([*words.split(), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "out").exists()


def test_strict_fails_on_a_missed_bound(tmp_path, monkeypatch) -> None:
    results = made_results("cpu")
    monkeypatch.setattr("benchmarks.__main__.run", lambda *_: results)
    for ok, code in ((True, 0), (False, 1)):
        results["bounds"] = [{"ok": ok}]
        assert main(["--strict", "--out", str(tmp_path)]) == code
    assert main(["--out", str(tmp_path)]) == 0


def test_the_traffic_of_a_step_is_what_its_operations_read_and_write() -> None:
    from benchmarks.roofline import Traffic, limits

    x, y = torch.zeros(1000), torch.ones(1000)
    with Traffic() as traffic:
        (x + y).view(10, 100)
    assert traffic.total == 3 * 4000, "two read, one written; a view moves nothing"
    found = limits({"flops": 50.0, "bytes": 20.0}, {"flops": 100.0, "bytes": 10.0}, 4.0)
    assert found["shares"] == {"flops": 0.125, "bytes": 0.5}
    assert found["by"] == "bytes"


def test_a_prefix_moves_fewer_bytes_and_does_less_arithmetic() -> None:
    from benchmarks.roofline import counted

    plan = settings.plan_of(SMALL, "wrn_10_1", epoch=3, steps=100)
    whole, frozen = counted(plan, 0), counted(plan, 4)
    assert frozen["flops"] < 0.5 * whole["flops"]
    assert frozen["bytes"] < 0.5 * whole["bytes"]
