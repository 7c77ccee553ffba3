"""Assembles a run from its plan: torch's settings, network, optimizer, FreezeOut and Training."""

from __future__ import annotations

import math
import os
import time

import torch
from torch import Tensor

from freezeout.data.augment import Views
from freezeout.freeze import FreezeOut
from freezeout.run import identity
from freezeout.run.config import ConfigError
from freezeout.run.plan import Plan
from freezeout.savings.caching import Visits
from freezeout.train.cache import PrefixCache
from freezeout.train.clock import device_clock
from freezeout.train.compiled import compile_stages
from freezeout.train.cuda_graphs import CudaGraphs
from freezeout.train.loop import Training
from freezeout.train.malloc import keep_pages
from freezeout.train.optimizers import make_optimizer
from freezeout.train.room import Room


def assemble(plan: Plan) -> Training:
    """A run before its first step, its stages compiled if the configuration asks for it.

    Raises:
        ConfigError: The network does not fit into memory or cannot be built.
    """
    try:
        return _assemble(plan)
    except (RuntimeError, MemoryError) as error:
        raise ConfigError(f"model: {next(iter(str(error).splitlines()), type(error).__name__)}") from error


def _assemble(plan: Plan) -> Training:
    config, machine = plan.config, plan.config.machine
    configure_torch(plan)
    chain = plan.build().to(plan.device)
    if plan.channels_last:
        chain = chain.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(config.optimizer, chain, capture=plan.capture)
    freezeout = FreezeOut(
        chain,
        optimizer,
        plan.applied,
        plan.steps,
        warmup=config.optimizer.warmup,
        batches=lambda: training.first_batches(),  # made below, from this object
    )
    training = Training(
        chain=chain,
        optimizer=optimizer,
        freezeout=freezeout,
        source=plan.source.to(plan.device),
        clock=device_clock(plan.device),
        device=plan.device,
        seed=config.seed,
        batch_size=config.batch_size,
        augment=config.augment.kind,
        views=plan.views,
        label_smoothing=config.label_smoothing,
        bf16=plan.precision == "bf16",
        channels_last=plan.channels_last,
        fold=plan.fold,
        run_ahead=plan.run_ahead,
        graphs=CudaGraphs(plan.device) if plan.capture else None,
    )
    if plan.remember:
        training.use(make_cache(plan, training, plan.remember))
    if machine.compile:
        began = time.perf_counter()
        images = torch.zeros(config.batch_size, 3, *plan.outline.image, dtype=torch.uint8, device=plan.device)
        compile_stages(training.body, training.images(images), ahead=training.run_ahead)
        training.compile_seconds = time.perf_counter() - began
    return training


def make_cache(plan: Plan, training: Training, views: Views) -> PrefixCache:
    """The cache of the frozen prefix's outputs in a training, for images in these views."""
    machine, body = plan.config.machine, training.body
    shape = (training.batch_size, 3, *plan.outline.image)

    def run_stages(x: Tensor, first: int, last: int | None) -> Tensor:
        with body.autocast():
            return training.prefix(x, first, last)

    def sample() -> Tensor:
        pixels = torch.arange(math.prod(shape), device=plan.device).remainder(256)
        return training.images(pixels.to(torch.uint8).view(shape))

    shares = {"device": machine.cache_device, "host": machine.cache_host, "disk": machine.cache_disk}
    return PrefixCache(
        run_stages=run_stages,
        sample=sample,
        visits=Visits(-(-plan.steps // plan.steps_per_epoch), views.count),
        first_epoch=views.first_epoch,
        images=plan.outline.sizes["train"],
        room=Room(plan.device, shares, identity.folder(plan)),
        device=plan.device,
        measured=not machine.cache,
        lap=training.clock.lap,
    )


def configure_torch(plan: Plan) -> None:
    """Apply the machine's configuration to torch's settings, for the whole process."""
    machine = plan.config.machine
    torch.set_num_threads(plan.threads)
    if plan.device.type == "cpu":
        keep_pages()
    else:
        precision = "tf32" if plan.precision == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = precision
        torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = not machine.deterministic
        torch.cuda.reset_peak_memory_stats(plan.device)
    if machine.deterministic:
        # cuBLAS is not deterministic without it, and torch reads it only at the process's first matrix product.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(machine.deterministic)
