"""What is done in a GPU's first half hour, in order of worth: each part is one command, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.settings import SETTINGS

LEAST = 2.0  # least minutes left for a sweep to be started
OF_IMAGES = ("figure4", "figure2")  # the sweeps where there are real images: WRN-40-4, then DenseNet-BC-76-12
RUNS = ("-m", "freezeout", "-m", "retry_failed=true")  # by the next call, as any part that failed


@dataclass(frozen=True)
class Part:
    """One command of the half hour.

    Attributes:
        name: Of its log, its results and its entry in the state; a plain file name.
        kind: "tests", "benchmark", "epoch", "profile" or "sweep": how its results are read, and what takes about as
            long as it does on another device.
        words: What follows the interpreter.
        minutes: Approximate minutes on one H100; corrected by the times of other parts of its kind.
        open_ended: It takes all the time left, as `limit=` in seconds; `minutes` is the least worth starting for.
    """

    name: str
    kind: str
    words: tuple[str, ...]
    minutes: float
    open_ended: bool = False


@dataclass(frozen=True)
class Scale:
    """The sizes of the parts.

    Attributes:
        device: An option of conf/machine.
        tests: What pytest is given.
        slow_tests: What it is given once steps and epochs are timed: tests that compile. () for none.
        networks: Options of conf/model, most worth first; the first two are measured in every way.
        trained: Those of them that are trained for an epoch and profiled.
        benchmark: Further words of every benchmark.
        run_steps: Training steps of a whole run of each network that has one.
        overrides: Further words of every epoch and profile.
        compiled: Whether the compiled arm is measured.
        sweep: The sweep where there are no images and none is named.
        sweep_overrides: Further words of every sweep.
        pace: Factor on the minutes of every part.
    """

    device: str
    tests: tuple[str, ...]
    networks: tuple[str, ...]
    trained: tuple[str, ...]
    benchmark: tuple[str, ...] = ()
    run_steps: tuple[int, ...] = ()
    overrides: tuple[str, ...] = ()
    compiled: bool = True
    slow_tests: tuple[str, ...] = ()
    sweep: str = "quick"
    sweep_overrides: tuple[str, ...] = ()
    pace: float = 1.0


# The simplest first: after an error of the device (not of torch) every later test of the process fails.
NEED_CUDA = tuple(f"tests/gpu/test_cuda_{name}.py" for name in ("parity", "fold", "engine", "cache", "adaptive"))
GPU = Scale(
    device="cuda",
    tests=("-m", "gpu and not slow", *NEED_CUDA),
    networks=SETTINGS["cuda"].networks,
    trained=("densenet_bc_76_12", "wrn_40_4", "vgg16"),  # the paper's
    slow_tests=("-m", "gpu and slow", *NEED_CUDA),
    run_steps=(10_000, 5_000),  # so that each prefix of their schedules lasts two blocks of the clock
    overrides=("dataset.classes=100",),  # CIFAR-100's shape; a step's time does not depend on the pixels
)
TAPED = "tests/test_engine.py::"  # tests in which a tape of operations stands in for CUDA graphs
REHEARSAL = Scale(
    device="cpu",
    tests=(
        f"{TAPED}test_a_reset_step_is_captured_anew_under_the_schedule_of_then",
        f"{TAPED}test_a_batch_of_another_shape_is_refused",
    ),
    networks=("wrn_10_1",),
    trained=("wrn_10_1",),
    benchmark=("--rounds", "1", "--burst", "2", "--batch", "4", "--image", "8", "--threads", "1"),
    run_steps=(20,),
    overrides=("dataset.size=8", "dataset.train=200", "dataset.test=50", "machine.threads=1"),
    compiled=False,  # g++ takes a minute
    sweep="digits",
    sweep_overrides=("model=wrn_10_1", "epochs=1", "t_0=0.5", "seed=0", "machine.threads=1"),
    pace=0.1,
)


def parts(scale: Scale, out: Path, *, sweeps: Sequence[str] = (), data: Sequence[Path] = ()) -> list[Part]:
    """Every part, in order of worth.

    Args:
        scale: GPU or REHEARSAL.
        out: The folder of the results; absolute.
        sweeps: Files of sweeps/, each of which gets the time that the one before leaves; () for the scale's own.
        data: Files of images (dataset=npz) that they train on; without any, on the data set that each names.
    """
    return [
        _tests("tests", scale.tests, 3 * scale.pace),
        *_first_steps(scale, out),
        *_other_steps(scale, out),
        *(_epoch(scale, out, network) for network in scale.trained),
        *(_profile(scale, out, network) for network in scale.trained),
        *_whole_runs(scale, out),
        *([_tests("slow-tests", scale.slow_tests, 3 * scale.pace)] if scale.slow_tests else []),
        *_variants(scale, out),
        *(_sweep(scale, out, sweep, data) for sweep in sweeps or (scale.sweep,)),
    ]


def _tests(name: str, which: tuple[str, ...], minutes: float) -> Part:
    # One line a test as it ends (-v), so that a test which hangs leaves the others' outcomes, and where it hangs.
    said = ("-o", "addopts=--strict-markers", "-o", "faulthandler_timeout=60", "-v", "-rfEs", "--color=no")
    # A package that one file lacks costs that file alone. What the machine's own packages say of their future is no
    # fault of ours: torch warns of an old pynvml on import, which would end all of it.
    kept = ("--continue-on-collection-errors", "-W", "default::FutureWarning", "-W", "default::DeprecationWarning")
    flags = (*said, *kept, "-p", "no:cacheprovider")
    return Part(name, "tests", ("-m", "pytest", *flags, *which), minutes)


def _benchmark(
    scale: Scale, out: Path, name: str, network: str, words: str, minutes: float, *, compiled: bool = False
) -> Part:
    where = ("--device", scale.device, "--out", str(out / "benchmark" / name), "--networks", network)
    arms = ("--compiled", network) if compiled else ("--compiled",)
    size = (*scale.benchmark, "--budget", f"{minutes:g}")
    return Part(
        name, "benchmark", ("-m", "benchmarks", *where, *arms, *size, *words.split()), max(0.5, minutes) * scale.pace
    )


def _first_steps(scale: Scale, out: Path) -> Iterator[Part]:
    for network in scale.networks[:2]:
        words = "--frozen 0 0.5 0.95 --run-rounds 0"
        yield _benchmark(scale, out, f"steps-{network}", network, words, 3)


def _other_steps(scale: Scale, out: Path) -> Iterator[Part]:
    for network in scale.networks[:2]:
        yield _benchmark(scale, out, f"other-steps-{network}", network, "--frozen 0.25 0.75 --run-rounds 0", 2)
    for network in scale.networks[2:]:
        yield _benchmark(scale, out, f"steps-{network}", network, "--run-rounds 0", 2.5)


def _whole_runs(scale: Scale, out: Path) -> Iterator[Part]:
    for network, steps in zip(scale.networks, scale.run_steps, strict=False):
        words = f"--frozen 0 --rounds 1 --run-rounds 1 --run-steps {steps} --parts steps savings"
        yield _benchmark(scale, out, f"savings-{network}", network, words, 6)


def _variants(scale: Scale, out: Path) -> Iterator[Part]:
    for network in scale.networks[:2]:
        words = "--frozen 0 0.95 --precision bf16 --run-rounds 0"
        yield _benchmark(scale, out, f"bf16-{network}", network, words, 2)
    for network in scale.networks[:2] if scale.compiled else ():
        words = "--frozen 0 0.95 --run-rounds 0"
        yield _benchmark(scale, out, f"compiled-{network}", network, words, 7, compiled=True)


def _epoch(scale: Scale, out: Path, network: str) -> Part:
    words = ("strategy=baseline,freezeout", "dataset=synthetic", "epochs=1", *_shared(scale), *scale.overrides)
    command = (*RUNS, f"model={network}", *words, f"out={quoted(out / 'epochs')}")
    return Part(f"epoch-{network}", "epoch", command, 0.75 * scale.pace)


def _profile(scale: Scale, out: Path, network: str) -> Part:
    words = ("--measure", f"model={network}", "dataset=synthetic", *_shared(scale), *scale.overrides)
    command = ("-m", "freezeout.predict", *words, f"out={quoted(out / 'runs')}")
    # It uses its whole time budget, however small the network.
    return Part(f"profile-{network}", "profile", command, max(1.0, 1.75 * scale.pace))


def _sweep(scale: Scale, out: Path, sweep: str, data: Sequence[Path]) -> Part:
    files = ",".join(quoted(path.resolve()) for path in data)
    images = ("dataset=npz", f"dataset.train=[{files}]") if data else ()
    words = (*RUNS, f"sweeps={sweep}", "tracker=none", *scale.sweep_overrides, *images)
    name = f"sweep-{sweep}-own-data" if data else f"sweep-{sweep}"
    return Part(name, "sweep", (*words, f"out={quoted(out / 'runs')}"), LEAST * scale.pace, open_ended=True)


def _shared(scale: Scale) -> tuple[str, ...]:
    return ("tracker=none", f"machine={scale.device}")


def quoted(path: Path) -> str:
    """A path as Hydra's grammar takes it, whatever is in it."""
    return "'" + str(path).replace("'", "\\'") + "'"
