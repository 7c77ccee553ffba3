"""torch's CUDA graphs, captured without the pauses of `torch.cuda.graph` and with recovery after a failed capture.

`torch.cuda.graph` synchronises, collects garbage and empties the allocator's cache before each capture, and if ending
a capture fails, its stream stays current. A run captures once per prefix, so both matter.
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

    Steps are warmed up in the capturing stream, so that everything that libraries set up per stream exists by then. A
    new graph is captured into the memory of the previous one, which is kept until then, because a pool exists only as
    long as one of its graphs. So replacing a graph neither frees nor allocates memory.

    Args:
        device: The device whose steps are captured.
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
        """Run calls that do not depend on each other, concurrently if the device has capacity."""
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
            body: A step; its tensors must outlive the graph.

        Returns:
            A function that runs the operations once; it must not be called after a later capture.

        Raises:
            RuntimeError: The step cannot be captured; torch.OutOfMemoryError if memory is insufficient even after the
                cache was emptied. Stream, allocator and random generator can still be used for eager steps.
        """
        if self._pool is None:
            torch.cuda.empty_cache()  # memory cached by eager steps would stay unused beside the graph's own
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
        self._graph = graph  # releases the previous graph
        return graph.replay

    def _record(self, graph: torch.cuda.CUDAGraph, body: Callable[[], None]) -> None:
        # Thread-local: operations of other threads (a data loader that pins memory) do not affect this capture.
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            body()
        except BaseException:
            # The capture must be ended too. That fails for the same cause, with a less specific message.
            with contextlib.suppress(RuntimeError):
                graph.capture_end()
            raise
        graph.capture_end()

    def _put_right(self) -> None:
        """Clean up after a failed capture: up to torch 2.11, it leaves an unfreed pool and a generator in capture mode.

        The generator continues from another state, which does not matter: it is seeded before every step.
        """
        self._graph = self._pool = None
        torch.cuda.synchronize(self._device)
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """A context without garbage collection, which may free CUDA resources and thereby invalidate a capture."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
