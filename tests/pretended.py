"""A GPU that is none: tensors that say they lie on cuda:0, and whose numbers a CPU computes.

It refuses what CUDA refuses: operations on tensors of two devices, and in a capture whatever waits for the device or
has to do with the host. A graph is a tape of operations, which are recorded and undone, and redone by each replay. It
knows nothing of kernels, of streams and of memory.
"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import torch
from tape import Tape
from torch import Tensor
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

CUDA = torch.device("cuda", 0)
WAITS = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"}
CROSSES = {"_to_copy", "copy_"}
INDEXES = {"index", "index_put", "index_put_", "_index_put_impl_"}


def convolution_relu(x, weight, bias, stride, padding, dilation, groups):
    return torch.convolution(x, weight, bias, stride, padding, dilation, False, [0, 0], groups).relu_()


KERNELS = {"cudnn_convolution_relu": convolution_relu}  # that a CPU has not


class There(Tensor):
    """A tensor on the device that is pretended. For torch's C++ it lies on the CPU, and so runs without CUDA."""

    host: Tensor
    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, host: Tensor):
        made = Tensor._make_wrapper_subclass(
            cls, host.size(), strides=host.stride(), storage_offset=host.storage_offset(), dtype=host.dtype
        )
        made.host = host
        return made

    def __init__(self, host: Tensor) -> None:
        pass

    def __tensor_flatten__(self):
        return ["host"], None  # so that Module.to puts such a tensor in a parameter's place

    @staticmethod
    def __tensor_unflatten__(inner, *_):
        return There(inner["host"])

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            made = There(self.host.clone())
            memo[id(self)] = torch.nn.Parameter(made, self.requires_grad) if self._is_parameter() else made
        return memo[id(self)]

    def _is_parameter(self) -> bool:
        return isinstance(self, torch.nn.Parameter)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            if func is Tensor.cpu:
                return Pretence.now.fetched(args[0])
            if func is Tensor.tolist:
                return Pretence.now.fetched(args[0]).tolist()
            if func is Tensor.to:
                return moved(*args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return Pretence.now.run(func, args, kwargs or {})


def moved(x: Tensor, *given: Any, device=None, dtype=None, copy=False, memory_format=None, **_: Any) -> Tensor:
    """Tensor.to, as x or the tensor that it is to be like is There."""
    for word in given:
        if isinstance(word, Tensor):
            device, dtype = word.device, word.dtype
        elif isinstance(word, torch.dtype):
            dtype = word
        elif isinstance(word, str | torch.device):
            device = torch.device(word)
    if device is not None and torch.device(device).type == "cpu":
        x = Pretence.now.fetched(x)
    elif not isinstance(x, There):
        x = x.to(CUDA)
    how = {"dtype": dtype, "memory_format": memory_format, "copy": copy}
    how = {key: value for key, value in how.items() if value}
    return Tensor.to(x, **how) if how else x


class Names(TorchFunctionMode):
    """A device without a number is the first; memory is pinned."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        named = dict(kwargs or {})
        args = tuple(CUDA if isinstance(a, torch.device) and a.type == "cuda" else a for a in args)
        if named.get("device") is not None and torch.device(named["device"]).type == "cuda":
            named["device"] = CUDA
        pinned = named.pop("pin_memory", False)
        out = func(*args, **named)
        if pinned:
            Pretence.now.pinned[id(out)] = out
        return out


class Pretence(TorchDispatchMode):
    """Within, there is a GPU. `pretend` makes one.

    Attributes:
        forbids: Whether to refuse what waits for the device, outside of captures too.
        captures: How many there were.
        pinned: Tensors in pinned memory, by their ids.
    """

    now: Pretence

    def __init__(self) -> None:
        super().__init__()
        self.forbids = self.capturing = False
        self.captures = 0
        self.pinned: dict[int, Tensor] = {}
        self.tape: list[tuple] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.run(func, args, kwargs or {})

    def fetched(self, x: Tensor) -> Tensor:
        self.wait("a copy to the host")
        return x.detach().host.clone()

    def wait(self, what: object) -> None:
        if self.forbids or self.capturing:
            raise RuntimeError(f"{what} waits for the device")

    def run(self, func, args, kwargs):
        name, tensors = func._schema.name.partition("::")[2], [t for t in tree_leaves((args, kwargs)) if is_tensor(t)]
        there, here = ([t for t in tensors if isinstance(t, There) == on] for on in (True, False))
        self._check(func, name, args, kwargs, there, [t for t in here if t.numel()])
        device = kwargs.get("device")
        if name == "copy_":
            there = isinstance(args[0], There)
        # Of tensors that lie there, C++ takes its own word for their device: the CPU.
        stays = not there and (device is None or device.type != "cuda")
        own = {key: value for key, value in kwargs.items() if key != "device" and value is not None}
        args, own = tree_map_only(There, lambda t: t.host, (args, own))
        if self.capturing:
            self._keep(func, args)
        func = KERNELS.get(name, func)
        out = func(*args, **own)
        if self.capturing:
            self.tape.append((func, args, own, out))
        known = {id(t.host): t for t in tensors if isinstance(t, There)}  # what is written in place is what was given

        def there_too(t: Tensor) -> Tensor:
            return known[id(t)] if id(t) in known else There(t)

        return out if stays else tree_map_only(Tensor, there_too, out)

    def _check(self, func, name: str, args, kwargs, there, here) -> None:
        new = kwargs.get("device") is not None and kwargs["device"].type == "cuda"
        if there and here and name not in CROSSES | INDEXES and any(t.dim() for t in here):
            raise RuntimeError(f"{func}: expected all tensors to be on the same device")
        if name in WAITS and there:
            self.wait(func)
        crosses = name in CROSSES and here and (there or new)
        if crosses and not (all(id(t) in self.pinned for t in here) and (kwargs.get("non_blocking") or args[2:])):
            self.wait(func)
        if (
            name in INDEXES
            and there
            and (here or any(t.dtype == torch.bool for t in tree_leaves(args[1]) if t is not None))
        ):
            self.wait(func)
        if self.capturing and here:
            raise RuntimeError(f"{func}: a tensor of the host in a capture")

    def _keep(self, func, args) -> None:
        """Note what is about to be written: a capture runs nothing. Of running statistics no schema says so."""
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.name.startswith("running_") or (argument.alias_info and argument.alias_info.is_write):
                for t in filter(is_tensor, tree_leaves(value)):
                    self.before.setdefault(id(t), (t, t.clone()))


def is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


class Graph:
    """torch.cuda.CUDAGraph."""

    def capture_begin(self, pool, capture_error_mode) -> None:
        now = Pretence.now
        now.capturing, now.tape, now.before = True, [], {}
        self._random = torch.default_generator.get_state()

    def capture_end(self) -> None:
        now = Pretence.now
        now.capturing, now.captures = False, now.captures + 1
        self.replay = Tape(now.tape).replay
        torch.default_generator.set_state(self._random)
        for t, before in now.before.values():
            t.copy_(before)


class Stream:
    """torch.cuda.Stream, and what is recorded in one: all is done at once."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def wait_stream(self, other: Stream) -> None:
        pass

    wait_event = wait_stream

    def record_event(self) -> Stream:
        return self

    def record(self) -> None:
        if Pretence.now.capturing:
            raise RuntimeError("an event of the clock in a capture")

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, other: Stream) -> float:
        return 1.0


@contextlib.contextmanager
def pretend(monkeypatch):
    """A Pretence in which torch.cuda is as far there as training asks of it."""
    Pretence.now = made = Pretence()
    properties = SimpleNamespace(total_memory=80 << 30, major=9, minor=0, uuid="0", name="Pretended")
    found = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "default_generators": (torch.default_generator,),
        "Stream": Stream,
        "Event": Stream,
        "stream": lambda stream: contextlib.nullcontext(),
        "current_stream": Stream,
        "CUDAGraph": Graph,
        "graph_pool_handle": lambda: 0,
        "synchronize": lambda *_: made.wait("synchronize") if made.capturing else None,
        "empty_cache": lambda: None,
        "manual_seed_all": lambda seed: None,
        "reset_peak_memory_stats": lambda device: None,
        "mem_get_info": lambda device: (1 << 30, 1 << 31),
        "get_device_properties": lambda device=None: properties,
        "get_device_capability": lambda device=None: (9, 0),
        "get_device_name": lambda device=None: properties.name,
        "is_current_stream_capturing": lambda: made.capturing,
    }
    for name, value in found.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: None)
    now = SimpleNamespace(is_capturing=lambda: made.capturing)
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda *_: now)
    # For C++ the tensors lie on the CPU: an optimizer that asks it for their device is told, and autocast is the CPU's.
    grouped = Optimizer._group_tensors_by_device_and_dtype

    def grouped_there(tensors, **how):
        return {(tensors[0][0].device, dtype): found for (_, dtype), found in grouped(tensors, **how).items()}

    monkeypatch.setattr(Optimizer, "_group_tensors_by_device_and_dtype", grouped_there)
    autocast, enabled, dtype = torch.autocast, torch.is_autocast_enabled, torch.get_autocast_dtype
    monkeypatch.setattr(torch, "autocast", lambda device, **how: autocast("cpu", **how))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device="cpu": enabled("cpu"))
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: dtype("cpu"))
    lifts = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(values, device=...) then copies by an operation of its own
    try:
        with Names(), made:
            yield made
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts)
