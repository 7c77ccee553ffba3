"""What a strategy would save, without training: python -m freezeout.predict KEY=VALUE ... [--stages N] [--out DIR].

Prints t_0 against the estimated and the predicted saving and the freeze step of every stage, and draws the learning
rates. With --stages 5 t_0=0.5 the drawing is Figure 1 of the paper.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from freezeout import config as configuration
from freezeout import cost
from freezeout.config import Config, ConfigError, describe, name_of
from freezeout.schedule import Schedule
from freezeout.strategies import FreezeOut, Shortened

T_0 = [i / 10 for i in range(1, 10)]
POINTS = 401  # of each drawn curve


def composed(overrides: list[str]) -> Config:
    configuration.register()
    configuration.check_overrides(overrides, multirun=False)
    with initialize_config_dir(str(configuration.folder("conf")), version_base="1.3"):
        return configuration.parse(compose("config", overrides))


def outline(config: Config) -> tuple[int, tuple[int, int], int]:
    """Classes, (height, width) and number of training images; read from the data only where its fields do not say."""
    known = getattr(config.dataset, "outline", None)
    if known is not None:
        return known
    from freezeout.plan import load_data

    source = load_data(name_of("dataset", config.dataset), config.dataset)
    return source.classes, source.image, source.sizes["train"]


def savings(config: Config, costs: list[cost.StageCost], steps: int) -> list[dict[str, float | None]]:
    """One row for each t_0 (one row in all for a strategy that does not read it)."""
    from freezeout.plan import estimated

    strategy = config.strategy
    if isinstance(strategy, Shortened):
        return [{"t_0": None, "estimated": None, "predicted": 1 - strategy.budget}]
    if not hasattr(strategy, "t_0"):
        return [{"t_0": None, "estimated": None, "predicted": predicted(strategy.schedule(len(costs)), costs, steps)}]
    rows: list[dict[str, float | None]] = []
    for t_0 in sorted({*T_0, strategy.t_0}):
        at = dataclasses.replace(strategy, t_0=t_0)
        saving = predicted(at.schedule(len(costs)), costs, steps)
        rows.append({"t_0": t_0, "estimated": estimated(config.model, at), "predicted": saving})
    return rows


def predicted(schedule: Schedule, costs: list[cost.StageCost], steps: int) -> float:
    return cost.predicted_saving(costs, schedule, steps, steps)


def per_cent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def print_table(config: Config, rows: list[dict[str, float | None]], marked: float | None) -> None:
    words = describe(config)
    print(f"{words['model']} on {words['dataset']['name']}, strategy {words['strategy']}")
    print("\n   t_0   estimated   predicted     (share of the training time saved; estimated: the paper's formula,")
    print("                                    DenseNet-BC only; predicted: counted FLOPs)")
    for row in rows:
        t_0 = "-" if row["t_0"] is None else f"{row['t_0']:.2f}"
        here = "  <- t_0 chosen" if row["t_0"] is not None and row["t_0"] == marked else ""
        print(f"  {t_0:>4} {per_cent(row['estimated']):>11} {per_cent(row['predicted']):>11}{here}")


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


def predict(overrides: list[str], stages: int | None, out: Path) -> None:
    config = composed(overrides)
    classes, image, train = outline(config)
    steps = config.epochs * (train // config.batch_size)
    if steps < 1:
        raise ConfigError(f"batch_size={config.batch_size} is larger than the training set of {train} images")
    from freezeout import flops, models

    fields = {f.name: getattr(config.model, f.name) for f in dataclasses.fields(config.model)}
    chain = models.build(name_of("model", config.model), classes, image=image, **fields)
    t_0 = getattr(config.strategy, "t_0", None)
    schedule = config.strategy.schedule(len(chain))
    if chain.executable:
        costs = flops.stage_costs(chain, (config.batch_size, 3, *image))
        print_table(config, savings(config, costs, steps), t_0)
    else:
        print(f"{config.model}: its stages cannot be run one by one, so nothing is predicted")
    print(f"\n  stage                       parameters   freezes at step (of {steps})")
    for (name, stage), step in zip(chain.stages.items(), schedule.freeze_steps(steps), strict=True):
        count = sum(p.numel() for p in stage.parameters())
        print(f"  {name:<28} {count:>9,}   {'never' if step is None else f'{step} (t = {step / steps:.3f})'}")
    scale = " scaled" if isinstance(config.strategy, FreezeOut) and config.strategy.scale_lr else ""
    power = f" {config.strategy.how_scale}" if hasattr(config.strategy, "how_scale") else ""
    title = f"{name_of('strategy', config.strategy)}{power}{scale}" + (f", t_0 = {t_0:g}" if t_0 is not None else "")
    drawn = config.strategy.schedule(stages) if stages else schedule
    print(f"\nlearning rates: {draw(drawn, config.optimizer.lr, title, out)} (and .svg, .csv)")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m freezeout.predict", description=__doc__.split("\n\n")[0])
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for python -m freezeout")
    parser.add_argument("--stages", type=int, help="draw the learning rates of this many stages, not of the network's")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the drawing (default: figures)")
    options = parser.parse_args()
    try:
        if options.stages is not None and options.stages < 1:
            raise ConfigError(f"--stages {options.stages}: must be at least 1")
        predict(options.overrides, options.stages, options.out)
    except (ConfigError, HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        sys.exit(f"freezeout.predict: {configuration.one_line(error)}")


if __name__ == "__main__":
    main()
