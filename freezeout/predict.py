"""What a strategy would save, without training: python -m freezeout.predict KEY=VALUE ... [--measure].

Prints the estimated and the predicted saving for each t_0, and the step at which each stage freezes. A list of values
sweeps (t_0=0.2,0.3 strategy.how_scale=linear,cubic). --measure adds the *profiled* saving, from the seconds of a
training step at each prefix, timed on this machine; strategies with strategy.bn=train have a profile of their own.
Before that it measures which memory format, run-ahead and folding are fastest here, for use by machine=measured.
"""

from __future__ import annotations

import dataclasses
import signal
from itertools import groupby
from typing import TYPE_CHECKING

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from freezeout.data.schema import Outline, Synthetic
from freezeout.naming import configuration, label_of, network
from freezeout.parser import Parser
from freezeout.run.config import Config, ConfigError
from freezeout.run.messages import one_line
from freezeout.run.overrides import compose_all
from freezeout.run.space import check_writable
from freezeout.strategies import Baseline

if TYPE_CHECKING:
    from freezeout.run.plan import Plan
    from freezeout.savings.profile import Profile

T_0 = [i / 10 for i in range(1, 10)]  # shown if a strategy reads t_0 and no list of values is given


def predict(overrides: list[str], *, measure: bool) -> None:
    """Print what the configurations given by `overrides` would save.

    Args:
        overrides: As for `python -m freezeout`; lists of values are swept.
        measure: Time a training step at each prefix on this machine first.

    Raises:
        ConfigError: In one line, for a configuration that cannot be run here.
    """
    configs = compose_all(overrides)
    if (limit := configs[0].limit) is not None:
        raise ConfigError(f"limit={limit}: bounds the time of training, and nothing is trained here; leave it out")
    if measure:
        check_writable(configs[0].out)
    from freezeout.run import expected
    from freezeout.run.resolve import make_plan  # imports torch: only after the overrides have been checked

    for _, group in groupby(configs, key=without_t_0):
        alike = list(group)
        asked = [make_plan(config) for config in alike]
        if measure:
            measure_steps(alike[0], asked[0].outline)
            asked = [make_plan(config) for config in alike]  # again, now with the measured settings
        profile = expected.stored_profile(asked[0])
        if asked[0].is_adaptive:
            print_adaptive(asked[0])
            continue
        swept = asked if len(asked) > 1 else [make_plan(config) for config in over_t_0(asked[0].config)]
        print_savings(swept, asked, profile)
        if len(asked) == 1:
            print_stages(asked[0])


def without_t_0(config: Config) -> str:
    """A key that is equal for configurations that differ in t_0 only."""
    strategy = {k: v for k, v in dataclasses.asdict(config.strategy).items() if k != "t_0"}
    others = [getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in ("t_0", "strategy")]
    return repr([type(config.strategy), strategy, *others])


def over_t_0(config: Config) -> list[Config]:
    """The configuration at each t_0 to be shown; only itself if its strategy does not read t_0."""
    if "t_0" not in config.strategy.swept:
        return [config]
    values = sorted({*T_0, config.strategy.t_0})
    return [dataclasses.replace(config, strategy=dataclasses.replace(config.strategy, t_0=t)) for t in values]


def measure_steps(config: Config, outline: Outline) -> None:
    """Measure on this machine which settings are fastest and how long training steps take, and save both to files.

    Steps are timed with frozen stages that normalise as configured (strategy.bn); the settings depend on the network
    only. Timing uses random images of the data set's shape, so that nothing needs to be downloaded.
    """
    from freezeout.run import choosing, profiling
    from freezeout.run.resolve import make_plan

    height, width = outline.image
    if height == width:
        images = profiling.STEPS * config.batch_size
        random = Synthetic(size=height, classes=outline.classes, train=images, test=1)
        config = dataclasses.replace(config, dataset=random)
    config = dataclasses.replace(config, epochs=1, strategy=config.strategy.followed())
    choosing.choose(make_plan(dataclasses.replace(config, strategy=Baseline())))
    profiling.measure(make_plan(config))


def print_adaptive(plan: Plan) -> None:
    """One line: the saving of an adaptive strategy is not known in advance."""
    config = plan.config_dict
    label = configuration(label_of(config | {"augment": plan.augment}))
    where = f"{network(config['model'])} on {config['dataset']['name']}"
    print(f"{where}, {label}: the freeze times, and so the saving, depend on the data; the run's record has them")


def print_savings(swept: list[Plan], asked: list[Plan], profile: Profile | None) -> None:
    """One row per plan of `swept`, compared with the plain recipe of as many epochs; the requested t_0 is marked."""
    from freezeout.run import expected

    config = asked[0].config_dict
    label = label_of(config | {"augment": asked[0].augment})
    label["strategy"] = {k: v for k, v in config["strategy"].items() if k != "t_0"}
    mode = f", compat={config['compat']}" if config["compat"] else ""
    print(f"{network(config['model'])} on {config['dataset']['name']}, {configuration(label)}{mode}")
    print(
        "\nshare of the baseline's training time saved\n"
        "  estimated: the paper's formula (DenseNet-BC only); predicted: counted FLOPs; profiled: seconds of a step\n"
        "  at each prefix, timed on this machine (--measure)\n\n"
        "   t_0   estimated   predicted    profiled"
    )
    for plan in swept:
        saving = expected.saving(plan, plan.full_steps, profile)
        cells = " ".join(f"{per_cent(saving[key]):>11}" for key in ("estimated", "predicted", "profiled"))
        t_0 = getattr(plan.config.strategy, "t_0", None)
        chosen = len(asked) == 1 and t_0 is not None and t_0 == asked[0].config.strategy.t_0
        print(f"  {'-' if t_0 is None else f'{t_0:.2f}':>4} {cells}{'  <- t_0 chosen' if chosen else ''}")


def print_stages(plan: Plan) -> None:
    """One row per stage: its parameters and the step at which it freezes."""
    steps = plan.steps
    print(f"\n  stage                       parameters   freezes at step (of {steps})")
    for (name, stage), step in zip(plan.build().stages.items(), plan.schedule.freeze_steps(steps), strict=True):
        count = sum(p.numel() for p in stage.parameters())
        print(f"  {name:<28} {count:>9,}   {'never' if step is None else f'{step} (t = {step / steps:.3f})'}")


def per_cent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def main() -> None:
    """The command line; exits with 0, 2 after one line on a mistake of the user's, or 130 when interrupted."""
    parser = Parser(prog="python -m freezeout.predict", description=__doc__.split("\n\n")[0])
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for python -m freezeout; A,B sweeps")
    parser.add_argument("--measure", action="store_true", help="time a step at each prefix here first, a minute or two")
    options = parser.parse_args()
    try:
        predict(options.overrides, measure=options.measure)
    except (ConfigError, HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        parser.error(one_line(error))
    except KeyboardInterrupt:
        parser.exit(128 + signal.SIGINT, "predict: interrupted\n")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it silently
    main()
