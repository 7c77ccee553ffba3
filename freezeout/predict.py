"""What a strategy would save, without training: python -m freezeout.predict KEY=VALUE ... [--measure] [--stages N].

Prints t_0 against the estimated and the predicted saving and the freeze step of every stage, and draws the learning
rates. --measure adds the *profiled* saving: seconds of a step at each prefix, timed on this machine.
With --stages 5 t_0=0.5 the drawing is Figure 1 of the paper.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import signal
import sys
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from freezeout import compat
from freezeout.data.schema import Outline, Synthetic
from freezeout.naming import folder, name_of
from freezeout.run import config as configuration
from freezeout.run.config import TABLES, Config, ConfigError, describe
from freezeout.savings import cost
from freezeout.schedule import Schedule
from freezeout.strategies import Baseline, FreezeOut, Shortened, Strategy

T_0 = [i / 10 for i in range(1, 10)]
POINTS = 401  # of each drawn curve


def composed(overrides: list[str]) -> Config:
    configuration.register()
    configuration.check_overrides(overrides, multirun=False)
    with initialize_config_dir(str(folder("conf")), version_base="1.3"):
        return configuration.parse(compose("config", overrides))


def outline(config: Config) -> Outline:
    """Classes, image size and number of images; read from the data only where its fields do not say."""
    if config.dataset.outline is not None:
        return config.dataset.outline
    from freezeout.run.plan import load_data

    return load_data(name_of(TABLES["dataset"], config.dataset), config.dataset).outline


@dataclasses.dataclass
class Row:
    """Savings of one strategy, fractions of the baseline's training time; None where they are not known."""

    t_0: float | None
    estimated: float | None
    predicted: float | None
    profiled: float | None


def scheduled(config: Config, strategy: Strategy, n: int, steps: int) -> Schedule:
    """What the strategy makes of n stages in a run of `steps` steps, by the clock that the configuration asks for."""
    network = name_of(TABLES["model"], config.model)
    return compat.applied(config.compat, strategy, network, steps // config.epochs).schedule(n)


def savings(
    config: Config, costs: list[cost.StageCost] | None, profile: cost.Profile | None, steps: int, n: int
) -> list[Row]:
    """One row for each t_0 (one row in all for a strategy that does not read it)."""
    from freezeout.run.plan import estimated, profiled_saving

    given = config.strategy
    if isinstance(given, Shortened):
        return [Row(None, None, 1 - given.budget, 1 - given.budget)]
    swept = hasattr(given, "t_0")
    rows = []
    for strategy in [dataclasses.replace(given, t_0=t) for t in sorted({*T_0, given.t_0})] if swept else [given]:
        schedule = scheduled(config, strategy, n, steps)
        rows.append(
            Row(
                t_0=getattr(strategy, "t_0", None),
                estimated=estimated(config.model, strategy),
                predicted=cost.predicted_saving(costs, schedule, steps) if costs else None,
                profiled=profiled_saving(profile, strategy, schedule, steps, steps),
            )
        )
    return rows


def profile_of(config: Config, *, measure: bool) -> cost.Profile | None:
    """What training steps take on this machine: measured now, or found from before, or None.

    Timed on random images of the data set's shape, so that nothing need be downloaded for it.
    """
    from freezeout.run import profiling
    from freezeout.run.plan import make_plan

    classes, (height, width), _ = outline(config)
    if height == width:
        images = profiling.STEPS * config.batch_size
        config = dataclasses.replace(config, dataset=Synthetic(size=height, classes=classes, train=images, test=1))
    plan = make_plan(dataclasses.replace(config, epochs=1, strategy=Baseline()))
    return profiling.measure(plan) if measure else plan.profile


def in_words(section: dict[str, Any]) -> str:
    """`wide_resnet (depth 10, widen 1)`."""
    fields = ", ".join(f"{k} {v}" for k, v in section.items() if k != "name" and v is not None)
    return f"{section['name']} ({fields})" if fields else section["name"]


def own_steps(strategy: Strategy, steps: int, saving: float | None) -> int:
    """How many steps the run itself has where the plain recipe has `steps`; saving: expected of it, where known."""
    if isinstance(strategy, Shortened):
        return max(1, round(strategy.budget * steps))
    if isinstance(strategy, FreezeOut) and strategy.const_time and saving is not None:
        return round(steps / (1 - saving))
    return steps


def per_cent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def print_table(config: Config, rows: list[Row], marked: float | None) -> None:
    words = {group: in_words(section) for group, section in describe(config).items() if isinstance(section, dict)}
    mode = f", compat={config.compat}" if config.compat else ""
    print(f"{words['model']} on {words['dataset']}, strategy {words['strategy']}{mode}")
    print("\nshare of the baseline's training time saved")
    print(
        "  estimated: the paper's formula (DenseNet-BC only); predicted: counted FLOPs; profiled: seconds of a step at"
    )
    print("  each prefix, timed on this machine (--measure)\n")
    print("   t_0   estimated   predicted    profiled")
    for row in rows:
        t_0 = "-" if row.t_0 is None else f"{row.t_0:.2f}"
        here = "  <- t_0 chosen" if row.t_0 is not None and row.t_0 == marked else ""
        print(
            f"  {t_0:>4} {per_cent(row.estimated):>11} {per_cent(row.predicted):>11} {per_cent(row.profiled):>11}{here}"
        )


def draw(schedule: Schedule, base: float, title: str, out: Path) -> Path:
    """The rate of each stage over t, as PNG, SVG and CSV; the path of the PNG."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "freezeout"  # the same figure is the same file
    from matplotlib import pyplot as plt

    n = len(schedule.anneal)
    curves = [[base * f for f in schedule.factors(s, POINTS - 1)] for s in range(POINTS)]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "schedule.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["t", *(f"stage_{i}" for i in range(n))])
        writer.writerows([s / (POINTS - 1), *rates] for s, rates in enumerate(curves))
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    colours = plt.get_cmap("viridis")
    for i in range(n):
        axes.plot(
            [s / (POINTS - 1) for s in range(POINTS)],
            [rates[i] for rates in curves],
            color=colours(0.9 * i / max(n - 1, 1)),
            label=f"stage {i}" + (" (head)" if i == n - 1 else "") if n <= 8 or i in (0, n - 1) else None,
        )
    axes.set(xlabel="t, fraction of training", ylabel="learning rate", title=title, xlim=(0, 1), ylim=(0, None))
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out / "schedule.png", dpi=200)
    figure.savefig(out / "schedule.svg", metadata={"Date": None})
    plt.close(figure)
    return out / "schedule.png"


def predict(overrides: list[str], stages: int | None, out: Path, measure: bool) -> None:
    config = composed(overrides)
    classes, image, sizes = outline(config)
    train = sizes["train"]
    steps = config.epochs * (train // config.batch_size)
    if steps < 1:
        raise ConfigError(f"batch_size={config.batch_size} is larger than the training set of {train} images")
    from freezeout import models
    from freezeout.savings import flops

    fields = {f.name: getattr(config.model, f.name) for f in dataclasses.fields(config.model)}
    chain = models.build(name_of(TABLES["model"], config.model), classes, image=image, **fields)
    t_0 = getattr(config.strategy, "t_0", None)
    schedule = scheduled(config, config.strategy, len(chain), steps)
    costs = flops.stage_costs(chain, (config.batch_size, 3, *image)) if chain.executable else None
    rows = savings(config, costs, profile_of(config, measure=measure), steps, len(chain))
    print_table(config, rows, t_0)
    chosen = next(row for row in rows if row.t_0 == t_0)
    steps = own_steps(config.strategy, steps, chosen.predicted if chosen.profiled is None else chosen.profiled)
    print(f"\n  stage                       parameters   freezes at step (of {steps})")
    for (name, stage), step in zip(chain.stages.items(), schedule.freeze_steps(steps), strict=True):
        count = sum(p.numel() for p in stage.parameters())
        print(f"  {name:<28} {count:>9,}   {'never' if step is None else f'{step} (t = {step / steps:.3f})'}")
    scale = " scaled" if isinstance(config.strategy, FreezeOut) and config.strategy.scale_lr else ""
    power = f" {config.strategy.how_scale}" if hasattr(config.strategy, "how_scale") else ""
    name = name_of(TABLES["strategy"], config.strategy)
    title = f"{name}{power}{scale}" + (f", t_0 = {t_0:g}" if t_0 is not None else "")
    drawn = scheduled(config, config.strategy, stages, steps) if stages else schedule
    print(f"\nlearning rates: {draw(drawn, config.optimizer.lr, title, out)} (and .svg, .csv)")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m freezeout.predict", description=__doc__.split("\n\n")[0])
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for python -m freezeout")
    parser.add_argument("--stages", type=int, help="draw the learning rates of this many stages, not of the network's")
    parser.add_argument("--measure", action="store_true", help="time a step at each prefix here first, a minute or two")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the drawing (default: figures)")
    options = parser.parse_args()
    try:
        if options.stages is not None and options.stages < 1:
            raise ConfigError(f"--stages {options.stages}: must be at least 1")
        predict(options.overrides, options.stages, options.out, options.measure)
    except (ConfigError, HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        sys.exit(f"freezeout.predict: {configuration.one_line(error)}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it without a word
    main()
