"""Captures, told from what they ask of torch: without a GPU its parts are stand-ins that keep a log."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from freezeout.train.cuda_graphs import BRANCHES, CudaGraphs

DEVICE = torch.device("cuda", 0)


class Graph:
    """Refuses to end a capture where `torch.cuda` is told so, as the real one does after a forbidden operation."""

    def __init__(self, cuda) -> None:
        self.cuda, self.pool = cuda, None
        cuda.graphs.append(weakref.ref(self))

    def capture_begin(self, pool, capture_error_mode) -> None:
        assert self.cuda.current.name == "capture"
        assert capture_error_mode == "thread_local"
        self.pool = pool
        self.cuda.log.append("begin")

    def capture_end(self) -> None:
        self.cuda.log.append("end")
        if self.cuda.broken:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    def replay(self) -> None:
        self.cuda.log.append(f"replay {self.pool}")


class Stream:
    def __init__(self, cuda, name: str) -> None:
        self.cuda, self.name = cuda, name

    def wait_stream(self, other: Stream) -> None:
        self.cuda.log.append(f"{self.name} waits for {other.name}")


class Within:
    """torch.cuda.stream: left only where it is left, as no garbage collector would do it."""

    def __init__(self, cuda, stream: Stream) -> None:
        self.cuda, self.stream = cuda, stream

    def __enter__(self) -> None:
        self.before, self.cuda.current = self.cuda.current, self.stream

    def __exit__(self, *_) -> None:
        self.cuda.current = self.before


class Generator:
    def __init__(self, state: object = None) -> None:
        self.state = state or object()

    def graphsafe_get_state(self) -> object:
        return self.state

    def graphsafe_set_state(self, state: object) -> None:
        self.state = state


class Cuda:
    """torch.cuda, as far as captures need it."""

    def __init__(self, monkeypatch) -> None:
        self.log: list[str] = []
        self.graphs: list[weakref.ref[Graph]] = []
        self.broken = False
        self.pools = self.streams = 0
        self.current = Stream(self, "default")
        self.generator = Generator()
        monkeypatch.setattr(torch.cuda, "Stream", self.stream_of)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Graph(self))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self.current)
        monkeypatch.setattr(torch.cuda, "stream", self.stream)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", self.pool)
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: self.log.append("empty"))
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: self.log.append("synchronise"))
        monkeypatch.setattr(torch.cuda, "default_generators", (self.generator,))
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch, "Generator", lambda device: Generator("fresh"))

    def stream_of(self, device) -> Stream:
        self.streams += 1
        return Stream(self, "capture" if self.streams == 1 else f"branch {self.streams - 2}")

    def stream(self, stream: Stream) -> Within:
        return Within(self, stream)

    def pool(self) -> int:
        self.pools += 1
        return self.pools


@pytest.fixture
def cuda(monkeypatch) -> Cuda:
    return Cuda(monkeypatch)


def nothing() -> None:
    pass


def test_a_new_graph_takes_the_memory_of_the_one_before_which_stays_until_then(cuda) -> None:
    graphs = CudaGraphs(DEVICE)
    first = graphs.capture(nothing)
    first()
    assert cuda.log == ["empty", "capture waits for default", "begin", "end", "default waits for capture", "replay 1"]
    del first
    alive = []
    second = graphs.capture(lambda: alive.append(cuda.graphs[0]() is not None))
    assert alive == [True], "its pool would be freed with it"
    gc.collect()
    assert cuda.graphs[0]() is None
    cuda.log.clear()
    second()
    assert cuda.log == ["replay 1"], "the same pool"


def test_a_later_capture_neither_waits_nor_empties_the_cache(cuda) -> None:
    graphs = CudaGraphs(DEVICE)
    graphs.capture(nothing)
    cuda.log.clear()
    graphs.capture(nothing)
    assert not {"empty", "synchronise"} & set(cuda.log)


def forbidden() -> None:
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize(
    ("body", "broken", "reason"),
    [
        (forbidden, False, "operation not permitted"),
        (forbidden, True, "operation not permitted"),  # and not the general one with which the capture ends
        (nothing, True, "due to a previous error"),
    ],
)
def test_a_refused_capture_leaves_a_clean_eager_loop(cuda, body, broken, reason) -> None:
    graphs = CudaGraphs(DEVICE)
    graphs.capture(nothing)
    here, cuda.broken = cuda.current, broken
    with pytest.raises(RuntimeError, match=reason):
        graphs.capture(body)
    assert cuda.current is here, "the stream is left"
    assert cuda.log.count("begin") == cuda.log.count("end"), "the capture is ended"
    assert cuda.log[-1] == "synchronise"
    assert cuda.generator.state == "fresh", "the generator captures no more"
    assert gc.isenabled()
    cuda.broken = False
    cuda.log.clear()
    graphs.capture(nothing)()
    assert cuda.log[-1] == "replay 2", "a pool of its own"


def test_where_memory_lacks_the_cache_is_emptied_and_the_capture_tried_once_more(cuda) -> None:
    graphs = CudaGraphs(DEVICE)
    graphs.capture(nothing)
    cuda.log.clear()
    tries = []

    def short_at_first() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    graphs.capture(short_at_first)()
    assert len(tries) == 2
    assert cuda.log.index("synchronise") < cuda.log.index("empty")
    assert cuda.log[-1] == "replay 2"

    def always_short() -> None:
        tries.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory")

    tries.clear()
    with pytest.raises(torch.OutOfMemoryError):
        graphs.capture(always_short)
    assert len(tries) == 2


@pytest.mark.parametrize("was_on", [True, False])
def test_no_garbage_is_collected_during_a_capture(cuda, was_on) -> None:
    seen = []
    if not was_on:
        gc.disable()
    try:
        CudaGraphs(DEVICE).capture(lambda: seen.append(gc.isenabled()))
        assert gc.isenabled() == was_on
    finally:
        gc.enable()
    assert seen == [False]


def test_calls_side_by_side_begin_after_what_was_before_and_end_before_what_comes(cuda) -> None:
    graphs = CudaGraphs(DEVICE)
    streams = []
    graphs.side_by_side([lambda: streams.append(cuda.current.name)] * (BRANCHES + 1))
    assert streams == [*(f"branch {i}" for i in range(BRANCHES)), "branch 0"]
    forks = [f"branch {i} waits for default" for i in range(BRANCHES)]
    assert cuda.log == [*forks, *(f"default waits for branch {i}" for i in range(BRANCHES))]


def test_a_warm_up_is_run_in_the_stream_that_captures(cuda) -> None:
    streams = []
    CudaGraphs(DEVICE).warm(lambda: streams.append(cuda.current.name))
    assert streams == ["capture"]
    assert cuda.log == ["capture waits for default", "default waits for capture"]
