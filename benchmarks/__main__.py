"""python -m benchmarks: step times of plain loops, others' ways of freezing and ours, interleaved in one process."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from benchmarks.budget import Budget, Progress
from benchmarks.settings import SETTINGS, Setting


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, also when bounds are missed; 1 then under --strict; 2 after one line for a wrong request."""
    chosen = _parser().parse_args(arguments)
    from freezeout.run.config import ConfigError, one_line

    try:
        results = run(_setting(chosen), chosen.out, ["python", "-m", "benchmarks", *(arguments or sys.argv[1:])])
    except (ConfigError, HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        print(f"benchmarks: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"benchmarks: interrupted; what was measured is in {chosen.out}", file=sys.stderr)
        return 130
    return int(chosen.strict and any(not bound["ok"] for bound in results["bounds"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split(": ", 1)[1])
    parser.add_argument("--device", choices=list(SETTINGS), default="cpu", help="default: cpu")
    parser.add_argument("--out", type=Path, help="default: figures/benchmark, or figures/benchmark-gpu")
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="options of conf/model (default: the device's)")
    parser.add_argument("--compiled", nargs="*", metavar="NAME", help="networks on which the compiled arm runs too")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), help="default: fp32; tf32 on cuda")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="about how long it may take in all")
    for name, text in (
        ("threads", "CPU threads"),
        ("rounds", "at most, of each prefix"),
        ("group", "steps of each arm in a round"),
        ("run-steps", "steps of a whole run of a strategy"),
        ("run-rounds", "rounds of whole runs at most; 0: none"),
        ("batch", "images a step"),
        ("image", "pixels a side"),
    ):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=text)
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bound is missed")
    return parser


def _setting(chosen: argparse.Namespace) -> Setting:
    """The device's setting with what was given changed. Raises ValueError, in one line, for numbers out of range."""
    setting = SETTINGS[chosen.device]
    chosen.out = chosen.out or Path("figures/benchmark" if chosen.device == "cpu" else "figures/benchmark-gpu")
    names = [f.name for f in dataclasses.fields(Setting) if f.name != "device"]
    asked = {name: getattr(chosen, name, None) for name in names}
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in asked.items() if v is not None}
    for name, value in given.items():
        least = {"run_rounds": 0, "budget": 0, "run_steps": 10}.get(name, 1)
        if isinstance(value, int | float) and not value >= least:
            raise ValueError(f"--{name.replace('_', '-')} {value}: must be at least {least}")
    setting = dataclasses.replace(setting, **given)
    return dataclasses.replace(setting, least=min(setting.least, setting.rounds))


def run(setting: Setting, out: Path, command: list[str]) -> dict[str, Any]:
    """Measure every network, part by part, and write after each; the results as they are in the JSON file."""
    from benchmarks import figure, report
    from benchmarks.bounds import bounds
    from benchmarks.settings import plan_of
    from freezeout.run.provenance import device_model, provenance

    # Everything is asked for before anything is timed.
    plans = [plan_of(setting, name, epoch=setting.group, steps=setting.group) for name in setting.networks]
    out.mkdir(parents=True, exist_ok=True)
    device = plans[0].device
    results: dict[str, Any] = {
        "command": shlex.join(command),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": {"type": device.type, "model": device_model(device), "threads": plans[0].threads},
        **provenance(device),
        "precision": setting.precision,
        "batch": setting.batch,
        "setting": dataclasses.asdict(setting),
        "networks": {},
    }
    report.write(results, out)  # a folder that cannot be written is found out now
    budget, began = Budget(setting.budget, len(setting.networks)), time.perf_counter()
    progress = Progress(budget)
    try:
        for network in setting.networks:
            parts = results["networks"].setdefault(network, {})
            for _ in measured(setting, network, parts, budget, progress):
                results["seconds"] = time.perf_counter() - began
                report.write(results, out)
            figure.draw(results, out)
    finally:
        progress.close()
    print(report.bounds_text(bounds(results)))
    print(f"wrote {out / report.JSON}, {report.CSV} and {figure.PNG}")
    return results


def measured(
    setting: Setting, network: str, parts: dict[str, Any], budget: Budget, progress: Progress
) -> Iterator[None]:
    """Fill `parts` with what is measured on one network; yields whenever there is something new to write."""
    from benchmarks import arms, packed, report, roofline, steps
    from benchmarks.savings import Savings
    from benchmarks.settings import plan_of, prefixes

    plan = plan_of(setting, network, epoch=setting.group, steps=setting.group)
    chosen = prefixes(plan.stages)
    plan.steps = setting.group * len(chosen) * (setting.rounds + 1)
    progress.say(
        f"\n{network}: {plan.stages} stages, {setting.precision}, batch {setting.batch}, {plan.threads} threads"
    )
    deadline = budget.take("steps")
    progress.at(f"{network}, memory format")
    parts |= {"stages": plan.stages, "format": steps.fastest_format(plan), "steps": {}, "packed": {}}
    channels_last = parts["format"]["chosen"] == "channels_last"
    keys = [key for key in "abcdef" if key != "f" or setting.device == "cuda"]
    if network not in setting.compiled:
        keys.remove("e")
        progress.say(f"  e is left out: compiling its stages takes long here (--compiled {network})")
    progress.say("  " + ", ".join(f"{key} {arms.NAMES[key]}" for key in keys) + f"; a to c {parts['format']['chosen']}")
    progress.at(f"{network}, setting up")
    began = time.perf_counter()
    made = {key: arms.make(key, plan, 0, channels_last=channels_last) for key in keys}
    parts["setup_seconds"] = time.perf_counter() - began
    for i, prefix in enumerate(chosen):
        progress.at(f"{network}, {prefix} of {plan.stages} frozen")
        for key in keys:
            made[key].freeze(prefix)
        # Steps get shorter as stages freeze: time by their length, so that every prefix has about as many rounds.
        lengths = [1 - 0.7 * k / plan.stages for k in chosen[i:]]
        now = time.perf_counter()
        end = now + (deadline - now) * lengths[0] / sum(lengths)
        times = steps.timed(made, plan, rounds=setting.rounds, least=setting.least, deadline=end)
        found = {"seconds": {key: steps.spread(t) for key, t in times.items()}, "ratios": steps.ratios(times)}
        parts["steps"][str(prefix)] = found
        progress.say(report.steps_text(prefix, plan.stages, found))
        yield
    made.clear()
    arms.forget(plan.device)
    budget.take("packed")
    shares = packed.shares(plan, chosen, channels_last=channels_last)
    for prefix in chosen:
        progress.at(f"{network}, bytes packed with {prefix} frozen")
        held = packed.measure(plan, prefix, [key for key in keys if key != "e"], channels_last=channels_last)
        parts["packed"][str(prefix)] = {"share": shares[prefix], "arms": held}
    progress.say(report.packed_text(parts["packed"]))
    counts, rates = roofline.counted(plan, 0), roofline.peaks(plan)
    at_0 = parts["steps"]["0"]["seconds"]
    parts["limits"] = {key: roofline.limits(counts, rates, at_0[key]["median"]) for key in keys if key in arms.OURS}
    progress.say(roofline.text(parts["limits"], arms.NAMES))
    yield
    deadline = budget.take("savings")
    if not setting.run_rounds:
        return
    progress.at(f"{network}, whole runs")
    savings, began = Savings(setting, network), time.perf_counter()
    for turn in range(setting.run_rounds):
        savings.round()
        progress.at(f"{network}, whole runs, round {turn + 1}")
        parts["savings"] = savings.summary()
        yield
        each = (time.perf_counter() - began) / (turn + 1)
        if turn + 1 >= setting.least_runs and time.perf_counter() + each > deadline:
            break
    progress.say(report.savings_text(parts["savings"]))


if __name__ == "__main__":
    sys.exit(main())
