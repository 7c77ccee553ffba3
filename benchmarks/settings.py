"""What is timed on which device: networks, sizes, numbers of rounds. The only place to change them.

Standard library only, so that `python -m benchmarks --help` and a wrong flag are answered before torch is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FROZEN_SHARES = (0.0, 0.25, 0.5, 0.75, 0.95)
PARTS = ("steps", "savings", "cache")  # of the benchmark of a network; the first also counts bytes


@dataclass(frozen=True)
class Settings:
    """The benchmark of one device.

    Attributes:
        device: "cpu" or "cuda".
        networks: Options of conf/model.
        compiled: Those of them on which the compiled arm runs too.
        precision: "fp32", "tf32" or "bf16".
        threads: CPU threads; None for all that this process may use.
        burst: Training steps of each arm in a round.
        rounds: Rounds at most, at each prefix.
        min_rounds: Rounds at least, at each prefix, whatever the budget.
        run_steps: Training steps of a whole run of a strategy.
        run_rounds: Rounds of whole runs at most, each with one run of every strategy; 0 for none.
        min_run_rounds: Rounds of whole runs at least, whatever the budget.
        run_epoch: Training steps in an epoch of a whole run.
        run_burst: Steps of one whole run per turn.
        cached: Those of the networks on which whole runs with and without a cache are timed.
        cache_epoch: Training steps in an epoch of them.
        cache_epochs: Epochs of them.
        cache_views: Fixed views of an image in their later epochs.
        profile_steps: Timed steps at each prefix in the profile that is compared with the whole runs.
        budget: Approximate minutes for everything.
        batch: Images in a batch.
        image: Height and width of an image, in pixels.
        classes: Classes of the random labels.
        frozen: Shares of a network's stages, one for each prefix at which steps are timed.
        parts: What is measured, of PARTS.
    """

    device: str
    networks: tuple[str, ...]
    compiled: tuple[str, ...]
    precision: str
    threads: int | None
    burst: int
    rounds: int
    min_rounds: int
    run_steps: int
    run_rounds: int
    min_run_rounds: int
    run_epoch: int
    run_burst: int
    cached: tuple[str, ...]
    cache_epoch: int
    cache_epochs: int
    cache_views: int
    profile_steps: int
    budget: float
    batch: int = 50
    image: int = 32
    classes: int = 10
    frozen: tuple[float, ...] = FROZEN_SHARES
    parts: tuple[str, ...] = PARTS


CPU = Settings(
    device="cpu",
    networks=("densenet_bc_16_4", "wrn_10_1", "vgg_small", "resnet8"),
    # One network that compiling speeds up and one that it slows down; the others would cost a minute of g++ each.
    compiled=("wrn_10_1", "resnet8"),
    precision="fp32",
    threads=1,  # steadier than all cores
    burst=4,
    rounds=40,
    min_rounds=5,
    run_steps=150,
    run_rounds=20,
    min_run_rounds=3,
    run_epoch=50,
    run_burst=5,
    cached=("densenet_bc_16_4", "wrn_10_1", "vgg_small", "resnet8"),
    cache_epoch=12,
    cache_epochs=12,
    cache_views=2,
    profile_steps=8,
    budget=8.5,
)
GPU = Settings(
    device="cuda",
    networks=("densenet_bc_76_12", "wrn_40_4", "vgg16", "resnet56"),
    compiled=("densenet_bc_76_12", "wrn_40_4", "vgg16", "resnet56"),
    precision="tf32",
    threads=None,
    burst=100,  # a whole number of the engine's run-ahead windows
    rounds=20,
    min_rounds=3,
    run_steps=10_000,  # so that each of DenseNet's 40 prefixes lasts two blocks of the clock
    run_rounds=3,
    min_run_rounds=2,
    run_epoch=1000,
    run_burst=1000,
    cached=("wrn_40_4",),
    cache_epoch=1000,  # 50,000 images: the cache is as large as with the paper's data
    cache_epochs=24,  # stages are frozen in eleven of them, of which the last seven repeat a view
    cache_views=4,
    profile_steps=48,
    budget=60.0,
    classes=100,
)
SETTINGS = {"cpu": CPU, "cuda": GPU}


def prefixes(stages: int, shares: Sequence[float] = FROZEN_SHARES) -> list[int]:
    """The prefixes that are timed of a network of `stages` stages: distinct, ascending, and never the head."""
    return sorted({min(round(share * stages), stages - 1) for share in shares})
