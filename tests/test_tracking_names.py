"""What a run is called at W&B: tells it from its neighbours, and goes by WANDB_NAME where that is set."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from freezeout import strategies
from freezeout.data.schema import Augment, Digits, Npz, Synthetic
from freezeout.models.schema import ResNetCifar, WideResNet
from freezeout.naming import folder, full_title
from freezeout.run import config, identity
from freezeout.run.config import Config
from freezeout.run.resolve import make_plan
from freezeout.run.tracking import NoTracker
from freezeout.run.wandb_view import display_name
from freezeout.train.schema import AdamW, Machine, Sgd

SMALL = WideResNet(depth=10, widen=1)
FREEZEOUT = strategies.FreezeOut(t_0=0.8)
CPU = Machine(device="cpu", threads=1)
PIXELS = Synthetic(size=8, train=100, test=50)
BASE = Config(
    model=SMALL,
    dataset=Digits(),
    strategy=FREEZEOUT,
    optimizer=Sgd(),
    augment=Augment(),
    machine=CPU,
    tracker=NoTracker(),
)
# Each differs from BASE in one way, and some from each other in the last digit.
VARIED = [
    BASE,
    replace(BASE, seed=1),
    *(replace(BASE, model=replace(SMALL, depth=depth, widen=widen)) for depth, widen in ((16, 1), (16, 2), (10, 2))),
    *(replace(BASE, model=replace(SMALL, dropout=share)) for share in (0.3, 0.30000001)),
    *(replace(BASE, model=ResNetCifar(depth=8, width=width)) for width in (16, 8)),
    replace(BASE, dataset=Digits(size=16)),
    *(replace(BASE, dataset=replace(PIXELS, classes=classes)) for classes in (10, 3)),
    *(replace(BASE, dataset=Npz(train=files, validation=9)) for files in (["one.npz"], ["one.npz", "two.npz"])),
    *(replace(BASE, t_0=t_0, strategy=replace(FREEZEOUT, t_0=t_0)) for t_0 in (0.5, 0.5000001)),
    replace(BASE, strategy=replace(FREEZEOUT, how_scale="linear")),
    replace(BASE, strategy=replace(FREEZEOUT, scale_lr=False)),
    replace(BASE, strategy=replace(FREEZEOUT, bn="train")),
    replace(BASE, strategy=replace(FREEZEOUT, const_time=True)),
    replace(BASE, strategy=strategies.Baseline()),
    replace(BASE, strategy=strategies.Shortened(budget=0.5)),
    replace(BASE, strategy=strategies.FreezeOnly(t_0=0.8)),
    replace(BASE, strategy=strategies.LrOnly(t_0=0.8)),
    *(replace(BASE, strategy=strategies.LayerFreezing(epochs=100, bn=bn)) for bn in ("train", "eval")),
    *(replace(BASE, strategy=strategies.Geometric(epochs=100, share=share)) for share in (0.1, 0.2)),
    replace(BASE, strategy=strategies.Geometric(epochs=50)),
    *(replace(BASE, optimizer=AdamW(beta2=beta2)) for beta2 in (0.999, 0.99)),
    *(replace(BASE, optimizer=Sgd(lr=lr)) for lr in (0.05, 0.050000001)),
    replace(BASE, optimizer=Sgd(weight_decay=5e-4)),
    replace(BASE, optimizer=Sgd(nesterov=False)),
    replace(BASE, optimizer=Sgd(warmup=0.1)),
    replace(BASE, augment=Augment(kind="none")),
    replace(BASE, machine=replace(CPU, threads=2)),
    replace(BASE, machine=replace(CPU, precision="bf16")),
    replace(BASE, machine=replace(CPU, fold=False)),
    replace(BASE, machine=replace(CPU, channels_last=False)),
    replace(BASE, machine=replace(CPU, compile=True)),
    replace(BASE, machine=replace(CPU, run_ahead=2)),
    replace(BASE, epochs=20),
    replace(BASE, batch_size=40),
    replace(BASE, label_smoothing=0.1),
    replace(BASE, compat="original"),
]


def described(*words: str) -> dict:
    """The configuration that these words amount to, as a run's record keeps it."""
    config.register()
    with initialize_config_dir(str(folder("conf")), version_base="1.3"):
        return config.to_dict(config.parse(compose("config", list(words))))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("out=elsewhere data_dir=/data tracker=none", "wrn_10_1 digits freezeout cubic scaled t_0=0.8 seed=0"),
        (
            "model=wrn_40_4 dataset=cifar100 data_dir=/data strategy=shortened strategy.budget=0.5 seed=1",
            "wrn_40_4 cifar100 shortened budget=0.5 seed=1",
        ),
        (
            "model.widen=2 strategy=baseline optimizer=adamw optimizer.lr=1e-4 epochs=9 machine=cpu",
            "wide_resnet digits baseline seed=0 model.depth=10 model.widen=2 optimizer=adamw optimizer.lr=0.0001 "
            "machine=cpu epochs=9",
        ),
        (
            "model=wide_resnet model.depth=16 model.widen=2 strategy=geometric strategy.bn=train",
            "wide_resnet digits geometric start=0.5 share=0.1 seed=0 model.depth=16 model.widen=2 strategy.bn=train",
        ),
    ],
)
def test_a_title_opens_with_network_and_data_set_and_ends_with_what_is_unusual_as_typed(words, expected):
    assert full_title(described(*words.split())) == expected


def test_runs_of_different_names_have_different_titles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("one", "two")):
        x = np.random.default_rng(seed).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
        np.savez(f"{name}.npz", x=x, y=np.arange(60) % 3)
    plans = [make_plan(varied) for varied in VARIED]
    assert len({identity.run_id(plan) for plan in plans}) == len(VARIED), "the set is as varied as it looks"
    titles = defaultdict(list)
    for plan in plans:
        titles[full_title(plan.config_dict)].append(identity.run_id(plan))
    assert [(title, ids) for title, ids in titles.items() if len(ids) > 1] == []


def test_a_run_of_its_own_is_called_by_wandb_name_and_a_sweeps_run_by_that_and_its_title(monkeypatch):
    own = config.to_dict(BASE)
    assert display_name(own, None) == display_name(own, "smoke") == full_title(own)
    monkeypatch.setenv("WANDB_NAME", "mine")
    assert display_name(own, None) == "mine"
    assert display_name(own, "smoke") == f"mine {full_title(own)}"
    monkeypatch.setenv("WANDB_NAME", "")
    assert display_name(own, None) == full_title(own)


def test_a_name_too_long_for_wandb_is_cut_and_still_tells_runs_apart():
    long = replace(BASE, dataset=Npz(train=[f"part_{i}.npz" for i in range(20)]))
    one, other = (display_name(config.to_dict(replace(long, epochs=epochs)), None) for epochs in (10, 20))
    assert one != other
    assert len(one) == len(other) == 128
    assert one.startswith("wrn_10_1 npz freezeout cubic scaled t_0=0.8 seed=0 dataset.train=[part_0.npz,")
