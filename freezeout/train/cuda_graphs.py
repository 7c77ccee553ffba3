"""torch's CUDA graphs, captured without the pauses that `torch.cuda.graph` makes, and put right after a refusal.

`torch.cuda.graph` synchronises, collects garbage and empties the allocator's cache before each capture, and where the
end of a capture fails it leaves its stream current. A run captures once for each prefix, so both count.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

BRANCHES = 4  # streams on which small calls run side by side


class CudaGraphs:
    """Captures in one stream and one memory pool; only the graph that was captured last may be replayed.

    Steps are warmed up in the stream that captures, so that what libraries set up for each stream exists by then. A
    new graph is captured into the memory of the one before, which stays until the new one is there: a pool lives for
    as long as a graph of its own. So a switch of graphs neither frees memory nor asks for new.

    Args:
        device: Whose steps are captured.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None  # keeps the pool alive
        self._pool: Any = None
        self._branches = [torch.cuda.Stream(device) for _ in range(BRANCHES)]

    def warm(self, body: Callable[[], None]) -> None:
        """Run `body` now, in the stream in which it will be captured."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            body()
        here.wait_stream(self._stream)

    def side_by_side(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run calls that do not depend on each other, at the same time where the device has room."""
        here = torch.cuda.current_stream(self._device)
        for branch in self._branches:
            branch.wait_stream(here)
        for i, call in enumerate(calls):
            with torch.cuda.stream(self._branches[i % BRANCHES]):
                call()
        for branch in self._branches:
            here.wait_stream(branch)

    def capture(self, body: Callable[[], None]) -> Callable[[], None]:
        """Record the operations of `body` without running them.

        Args:
            body: A step; its tensors outlive the graph.

        Returns:
            Runs them once; not to be called after a later capture.

        Raises:
            RuntimeError: The step cannot be captured; torch.OutOfMemoryError where it is memory that lacks, also
                after the cache was emptied. The stream, the allocator and the random generator are fit for eager steps.
        """
        if self._pool is None:
            torch.cuda.empty_cache()  # what eager steps left there would be a second step's memory, unused
        try:
            return self._capture(body)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        return self._capture(body)

    def _capture(self, body: Callable[[], None]) -> Callable[[], None]:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        try:
            with torch.cuda.stream(self._stream), no_collection():
                self._record(graph, body)
        except BaseException:
            self._put_right()
            raise
        here.wait_stream(self._stream)
        self._graph = graph  # and the one before goes
        return graph.replay

    def _record(self, graph: torch.cuda.CUDAGraph, body: Callable[[], None]) -> None:
        # Thread-local: what another thread does (a data loader that pins memory) is no part of this capture.
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            body()
        except BaseException:
            # The capture has to end too. That fails for the same cause, in general words.
            with contextlib.suppress(RuntimeError):
                graph.capture_end()
            raise
        graph.capture_end()

    def _put_right(self) -> None:
        """Forget what a failed capture left: up to torch 2.11 a pool that is never freed and a generator that captures.

        The generator goes on from another state. Nobody minds: it is seeded before every step.
        """
        self._graph = self._pool = None
        torch.cuda.synchronize(self._device)
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection: it may free another graph, or anything else of CUDA's, which ends a capture."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
