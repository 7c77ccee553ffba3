"""What is timed on which device: networks, sizes, how often. The one place to change them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from freezeout.run.config import compose_all, describe
from freezeout.run.plan import Plan
from freezeout.run.resolve import make_plan
from freezeout.schedule import Schedule
from freezeout.strategies import Baseline, Strategy

SHARES = (0.0, 0.25, 0.5, 0.75, 0.95)  # of the stages, frozen
RATE = 0.01  # no arm's loss may run away on labels drawn at random: NaN has a speed of its own


@dataclass(kw_only=True)
class Frozen(Strategy):
    """Not a user's strategy: the first `prefix` stages are frozen from the first step on, to be timed."""

    prefix: int

    def schedule(self, n: int) -> Schedule:
        return Schedule(freeze=(0.0,) * self.prefix + (1.0,) * (n - self.prefix), anneal=(1.0,) * n)


@dataclass(frozen=True)
class Setting:
    """One device's benchmark.

    networks: options of conf/model. compiled: those on which the compiled arm runs.
    group: steps that one arm is timed for in a round. rounds: at most, of each prefix. least: at least, whatever the
    budget. run_steps, run_rounds: length of a whole run of a strategy, and how many rounds of them.
    run_epoch: steps of an epoch of such a run. turn: steps of one run before the next one's turn.
    profile_steps: timed steps of each prefix in the profile.
    budget: minutes for everything, about.
    """

    device: str
    networks: tuple[str, ...]
    compiled: tuple[str, ...]
    precision: str
    threads: int | None
    group: int
    rounds: int
    least: int
    run_steps: int
    run_rounds: int
    least_runs: int
    run_epoch: int
    turn: int
    profile_steps: int
    budget: float
    batch: int = 50
    image: int = 32
    classes: int = 10


CPU = Setting(
    device="cpu",
    networks=("densenet_bc_16_4", "wrn_10_1", "vgg_small", "resnet8"),
    # One that compiling makes faster and one that it makes slower; for the others g++ takes a minute each.
    compiled=("wrn_10_1", "resnet8"),
    precision="fp32",
    threads=1,  # steadier than all cores
    group=4,
    rounds=40,
    least=5,
    run_steps=150,
    run_rounds=20,
    least_runs=3,
    run_epoch=50,
    turn=5,
    profile_steps=8,
    budget=7.5,
)
GPU = Setting(
    device="cuda",
    networks=("densenet_bc_76_12", "wrn_40_4", "vgg16", "resnet56"),
    compiled=("densenet_bc_76_12", "wrn_40_4", "vgg16", "resnet56"),
    precision="tf32",
    threads=None,
    group=100,  # a whole number of the engine's run-ahead windows
    rounds=20,
    least=3,
    run_steps=10_000,  # so that each of DenseNet's 40 prefixes lasts two blocks of the clock
    run_rounds=3,
    least_runs=2,
    run_epoch=1000,
    turn=1000,
    profile_steps=48,
    budget=60.0,
    classes=100,
)
SETTINGS = {"cpu": CPU, "cuda": GPU}


def prefixes(stages: int) -> list[int]:
    """SHARES of `stages`, rounded to distinct prefixes; the last stage never freezes."""
    return sorted({min(round(share * stages), stages - 1) for share in SHARES})


def plan_of(setting: Setting, network: str, *, epoch: int, steps: int) -> Plan:
    """A run of `steps` steps on random images, `epoch` steps an epoch. Raises ConfigError for what cannot be run."""
    words = {
        "model": network,
        "dataset": "synthetic",
        "dataset.size": setting.image,
        "dataset.classes": setting.classes,
        "dataset.train": epoch * setting.batch,
        "dataset.test": 1,
        "batch_size": setting.batch,
        "epochs": 1,
        "optimizer": "sgd",
        "optimizer.lr": RATE,
        "strategy": "baseline",
        "tracker": "none",
        "machine": setting.device,
        "machine.precision": setting.precision,
        "machine.threads": "null" if setting.threads is None else setting.threads,
    }
    (config,) = compose_all([f"{key}={value}" for key, value in words.items()])
    return dataclasses.replace(make_plan(config), strategy=Baseline(), steps=steps)


def with_machine(plan: Plan, **fields: bool) -> Plan:
    """`plan` on a machine with `fields`."""
    config = dataclasses.replace(plan.config, machine=dataclasses.replace(plan.config.machine, **fields))
    return dataclasses.replace(plan, config=config, config_dict=describe(config))
