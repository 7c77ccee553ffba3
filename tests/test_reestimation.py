"""strategy.bn=reestimate: a stage's running statistics are computed afresh from the data before it freezes."""

from __future__ import annotations

import copy
import signal

import pytest
import torch
from configurations import plan_of, start
from launched import comparable, impatient, only_run
from made_data import pictures
from PIL import Image
from test_freeze import STEPS, small_chain, train
from torch import nn
from torch.optim.swa_utils import update_bn

from freezeout import FreezeOut, freeze, records
from freezeout.reestimation import reestimate
from freezeout.run import expected, runner
from freezeout.run.assemble import assemble
from freezeout.run.config import ConfigError
from freezeout.savings import cost
from freezeout.savings.caching import Frozen
from freezeout.savings.flops import counter
from freezeout.savings.profile import Profile
from freezeout.strategies import FreezeOnly, LayerFreezing
from freezeout.strategies import FreezeOut as Schedule

AFRESH = Schedule(t_0=0.3, how_scale="linear", scale_lr=False, bn="reestimate")


def batches(n: int = 6, seed: int = 7) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(8, 3, 4, 4, generator=generator) for _ in range(n)]


def make(strategy=AFRESH, given=batches):
    chain = small_chain()
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1, momentum=0.9)
    return chain, optimizer, FreezeOut(chain, optimizer, strategy, STEPS, batches=given)


def test_running_statistics_are_the_plain_means_over_the_batches() -> None:
    chain = small_chain()
    train_mode = chain.train()
    reestimate([*train_mode], 0, 2, batches())
    seen = [chain[0][0](x) for x in batches()]
    assert torch.allclose(chain[0][1].running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0), atol=1e-6)
    assert torch.allclose(chain[0][1].running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0), rtol=1e-5)
    assert [m.momentum for m in chain.modules() if isinstance(m, nn.BatchNorm2d)] == [0.1] * 4
    assert not any(m.training for stage in [*chain][:2] for m in stage.modules())
    assert chain[2].training, "stages that go on training are left alone"
    assert chain[2][1].num_batches_tracked == 0


def test_those_of_a_whole_network_are_what_torch_computes() -> None:
    ours, theirs = small_chain(), small_chain()
    ours[4].requires_grad_(False)
    reestimate([*ours], 0, 5, batches())
    theirs[4][1].p = 0.0  # it has dropout awake
    update_bn(batches(), theirs)
    for (name, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        assert torch.equal(a, b), name


def test_a_stage_behind_frozen_ones_is_given_what_they_make_by_their_running_statistics() -> None:
    chain = small_chain()
    reestimate([*chain], 0, 1, batches())
    still = copy.deepcopy(chain[0].state_dict())
    reestimate([*chain], 1, 2, batches(seed=8))
    assert all(torch.equal(still[key], value) for key, value in chain[0].state_dict().items())
    with torch.no_grad():
        seen = [chain[1][0](chain[0](x)) for x in batches(seed=8)]
    assert torch.allclose(chain[1][1].running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0), atol=1e-6)


@pytest.mark.parametrize("strategy", [AFRESH, FreezeOnly(t_0=0.3, how_scale="linear", bn="reestimate")])
def test_each_stage_freezes_with_statistics_of_its_last_weights_and_keeps_them(strategy) -> None:
    chain, optimizer, freezeout = make(strategy)
    train(chain, optimizer, freezeout, STEPS // 2)
    freezeout.step()
    assert freezeout.prefix == 2
    assert not chain[1].training
    twin = small_chain()
    twin.load_state_dict(chain.state_dict())
    reestimate([*twin], 1, 2, batches())
    for key, value in twin[1].state_dict().items():
        assert torch.equal(value, chain[1].state_dict()[key]), key
    before = copy.deepcopy(chain[1].state_dict())
    train(chain, optimizer, freezeout, 3, first=STEPS // 2)
    assert all(torch.equal(before[key], value) for key, value in chain[1].state_dict().items())


def test_without_the_mechanism_the_statistics_are_those_that_trailed_behind(monkeypatch) -> None:
    """The twin of the test above, and what eval does."""
    monkeypatch.setattr(freeze, "reestimate", lambda *_: None)
    with pytest.raises(AssertionError):
        test_each_stage_freezes_with_statistics_of_its_last_weights_and_keeps_them(AFRESH)


@pytest.mark.parametrize("stop", [11, 12, 13, 20])
def test_a_resumed_run_is_the_run_that_was_never_stopped(stop: int) -> None:
    through = make()
    train(*through, STEPS)
    first = make()
    train(*first, stop)
    saved = copy.deepcopy([part.state_dict() for part in first])
    again = make()
    for part, state in zip(again, saved, strict=True):
        part.load_state_dict(state)
    train(*again, STEPS - stop, first=stop)
    for a, b in zip(again[0].state_dict().values(), through[0].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_what_lacks_the_data_or_the_stages_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^bn=reestimate needs FreezeOut\(\.\.\., batches=\.\.\.\)$"):
        make(given=None)
    with pytest.raises(ValueError, match=r"^batches=list: must be a function returning them \(lambda: inputs\)$"):
        make(given=[torch.zeros(1)])  # or a loader: found out before training, not at the first freeze
    chain, optimizer, freezeout = make(given=list)
    with pytest.raises(ValueError, match=r"^bn=reestimate: there is no batch"):
        train(chain, optimizer, freezeout, STEPS)
    config = start("strategy", "freezeout") | {"strategy": {"name": "layer_freezing", "epochs": 4, "bn": "reestimate"}}
    assert plan_of(config).strategy == LayerFreezing(epochs=4, bn="reestimate")


def test_a_network_that_runs_as_a_whole_is_refused_in_one_line(monkeypatch) -> None:
    from freezeout.run import resolve

    monkeypatch.setattr(resolve, "counted", lambda *_: (3, None))
    config = start("strategy", "freezeout")
    config["strategy"]["bn"] = "reestimate"
    with pytest.raises(ConfigError, match=r"^strategy\.bn=reestimate: this network does not run stage by stage"):
        plan_of(config)


# In a run


WORDS = ["strategy=freezeout", "strategy.bn=reestimate", "t_0=0.3", "strategy.how_scale=linear", "epochs=4"]
WORDS += ["strategy.scale_lr=false"]


@pytest.mark.parametrize("after", [34, 35])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(freezeout, tmp_path, monkeypatch, after: int) -> None:
    assert freezeout(*WORDS, "out=whole").code == 0
    with monkeypatch.context() as patched:
        patched.setattr(runner, "Stop", impatient(after))
        assert freezeout(*WORDS, "out=parts").code == 128 + signal.SIGINT
    assert freezeout(*WORDS, "out=parts").code == 0
    folders = [only_run(tmp_path / out) for out in ("whole", "parts")]
    whole, parts = (records.read_record(folder) for folder in folders)
    assert whole["freeze_steps"][0] == 34
    assert comparable(parts) == comparable(whole)
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True)["model"] for f in folders)
    assert all(torch.equal(a[key], b[key]) for key in a)


def trained(config, steps: int):
    training = assemble(plan_of(config))
    done: list[int] = []
    while len(done) < steps:
        training.train_epoch(lambda: (done.append(1), len(done) == steps)[1])
    return training


def of(bn: str, **machine):
    config = start("strategy", "freezeout")
    config["strategy"] |= {"t_0": 0.3, "how_scale": "linear", "scale_lr": False, "bn": bn}
    return config | {"epochs": 4, "machine": config["machine"] | machine}


@pytest.mark.parametrize("machine", [{}, {"run_ahead": 5}, {"precision": "bf16"}], ids=str)
def test_a_run_computes_them_from_its_own_images_at_the_step_that_freezes(machine) -> None:
    training, plain = trained(of("reestimate", **machine), 55), trained(of("eval", **machine), 54)
    assert (training.freezeout.prefix, plain.freezeout.prefix) == (2, 1), "the stem has no BatchNorm"
    for a, b in zip(plain.chain[1].parameters(), training.chain[1].parameters(), strict=True):
        assert torch.equal(a, b), "the same until then"
    assert not torch.equal(plain.chain[1].bn1.running_mean, training.chain[1].bn1.running_mean)
    with plain.body.autocast():
        reestimate([*plain.chain], 1, 2, plain.first_batches())
    for (name, a), b in zip(plain.chain[1].named_buffers(), training.chain[1].buffers(), strict=True):
        assert torch.equal(a, b), name


def test_their_seconds_are_those_of_training(monkeypatch, freezeout, tmp_path) -> None:
    import time

    real = freeze.reestimate
    monkeypatch.setattr(freeze, "reestimate", lambda *given: (time.sleep(0.5), real(*given)))
    assert freezeout(*WORDS).code == 0
    record = records.read_record(only_run(tmp_path / "runs"))
    events = len({s for s in record["freeze_steps"] if s is not None})
    assert events == 4
    assert sum(block.get("switch", 0.0) for block in record["prefixes"]) > 0.5 * events
    assert record["seconds"]["train"] > 0.5 * events


def test_a_folder_of_images_is_read_beside_the_epoch_under_way(tmp_path, freezeout) -> None:
    pixels, labels = pictures(36, classes=2, side=8)
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = tmp_path / "images" / ("train" if i < 30 else "test") / str(label) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    words = ["dataset=image_folder", "dataset.root=images", "dataset.size=8", "dataset.workers=0", "batch_size=2"]
    said = freezeout(*words, *WORDS)
    assert said.code == 0, said.err
    record = records.read_record(only_run(tmp_path / "runs"))
    assert record["steps"] % 15 == 0
    assert any(step % 15 for step in record["freeze_steps"] if step), "within an epoch"


def test_what_it_costs_is_counted_and_subtracted_from_what_is_saved() -> None:
    plan, plain = plan_of(of("reestimate")), plan_of(of("eval"))
    batch, passes = plan.config.batch_size, plan.steps_per_epoch
    per_image = [c.forward / batch for c in plan.costs]
    counted = expected.reestimation(plan, Frozen(per_image, [1] * 5), plan.schedule)
    with counter() as flops:
        training = assemble(plan)
        for k in range(1, 5):
            reestimate([*training.chain], k - 1, k, training.first_batches())
    forward = [c.forward for c in plan.costs]
    assert counted == flops.get_total_flops() == cost.reestimation_cost(forward, [1, 2, 3, 4, None], passes)
    whole = plan.steps * cost.step_cost(plan.costs, 0)
    saved = [expected.saving(one, one.steps)["predicted"] for one in (plan, plain)]
    assert saved[1] - saved[0] == pytest.approx(counted / whole)
    frozen = Frozen([2e-4, 1e-4, 1e-4, 1e-4], [1000, 1000, 500, 100])
    profile = Profile((0.1, 0.08, 0.06, 0.05, 0.04), (0.0,) * 5, frozen)
    seconds = passes * batch * (2e-4 + 3e-4 + 4e-4 + 5e-4)
    profiled = [expected.saving(one, one.steps, profile)["profiled"] for one in (plan, plain)]
    assert profiled[1] - profiled[0] == pytest.approx(seconds / (plan.steps * 0.1))
    assert expected.saving(plan, plan.steps, Profile((0.1,) * 5))["profiled"] is None, "not known how long a pass takes"
