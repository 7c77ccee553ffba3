"""The fields of optimizers and machines; standard library only, so that jobs are checked before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass

from freezeout.checks import check_at_least, check_choice, check_share

WINDOWS = (1, 2, 5, 10)  # values of run_ahead: each divides the clock's blocks of 50 steps
CHOICES = ("channels_last", "fold", "run_ahead")  # fields of Machine that may be chosen by measurement


@dataclass(kw_only=True)
class Sgd:
    """SGD as in the paper: Nesterov momentum and weight decay."""

    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("optimizer.lr", self.lr, 0)
        check_share("optimizer.momentum", self.momentum, zero=True, one=False)
        check_at_least("optimizer.weight_decay", self.weight_decay, 0)
        check_share("optimizer.warmup", self.warmup, zero=True, one=False)
        if self.nesterov and self.momentum == 0:
            raise ValueError("optimizer.momentum=0: Nesterov needs a momentum; set optimizer.nesterov=false")


@dataclass(kw_only=True)
class AdamW:
    """AdamW (Loshchilov and Hutter 2019)."""

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.05
    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("optimizer.lr", self.lr, 0)
        check_share("optimizer.beta1", self.beta1, zero=True, one=False)
        check_share("optimizer.beta2", self.beta2, zero=True, one=False)
        check_at_least("optimizer.weight_decay", self.weight_decay, 0)
        check_share("optimizer.warmup", self.warmup, zero=True, one=False)


@dataclass(kw_only=True)
class Machine:
    """Where a run trains, with what precision, and how its steps are executed.

    Attributes:
        device: "auto", "cpu" or "cuda".
        precision: fp32, tf32 or bf16; null: tf32 if the device has it, else fp32.
        threads: CPU threads of torch; null: all cores.
        channels_last: Memory format of images and network.
        fold: Whether frozen stages run from weights prepared once.
        run_ahead: Number of steps whose frozen prefix may run as one batch; null: on CUDA as many as memory allows,
            else 1.
        measured: Those of CHOICES that are null take the values that `predict --measure` found fastest on this machine,
            if it has been run.
        compile: Whether stages run through torch.compile.
        capture: Whether steps are captured, in one CUDA graph per prefix; null: on CUDA.
        cache: Whether the frozen prefix's output is kept for the next visit of an image in the same view; null: if
            reading it back is faster on this machine; true: whenever it fits.
        cache_device, cache_host, cache_disk: The shares of the free memory of the device, of the free host memory (for
            a GPU only) and of the free space on the disk of the run's folder that the cache may use; 0 uses none.
        deterministic: Whether torch uses deterministic algorithms only.
    """

    device: str = "auto"
    precision: str | None = None
    threads: int | None = None
    channels_last: bool | None = True
    fold: bool | None = True
    run_ahead: int | None = None
    measured: bool = False
    compile: bool = False
    capture: bool | None = None
    cache: bool | None = None
    cache_device: float = 0.5
    cache_host: float = 0.5
    cache_disk: float = 0.25
    deterministic: bool = False

    def __post_init__(self) -> None:
        check_choice("machine.device", self.device, ("auto", "cpu", "cuda"))
        if self.precision is not None:
            check_choice("machine.precision", self.precision, ("fp32", "tf32", "bf16"))
        if self.threads is not None:
            check_at_least("machine.threads", self.threads, 1, 1024)
        if self.run_ahead is not None and self.run_ahead not in WINDOWS:
            raise ValueError(f"machine.run_ahead={self.run_ahead}: must be one of {', '.join(map(str, WINDOWS))}")
        for kind in ("device", "host", "disk"):
            check_share(f"machine.cache_{kind}", getattr(self, f"cache_{kind}"), zero=True, one=False)
        if self.device == "cpu" and self.precision == "tf32":
            raise ValueError("machine.precision=tf32: a CPU has no tf32; choose fp32 or bf16")
        if self.device == "cpu" and self.capture:
            raise ValueError("machine.capture=true: a CPU has no CUDA graphs; leave it null or false")


OPTIMIZERS: dict[str, type] = {"sgd": Sgd, "adamw": AdamW}
MACHINES: dict[str, type] = {"machine": Machine}
