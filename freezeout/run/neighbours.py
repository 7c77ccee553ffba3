"""Whether a run has its device to itself: the seconds of runs that share one say nothing about their strategies.

Nor do those of a run that stood still for a while, when the device was idle or used by something unknown.

Runs of this program inform each other. Each keeps a file in a folder of the computer, locked while it trains, and a
starting run writes a line into the files of runs on the same device, so no run needs to poll. Other programs show in
how long a thread of this process waited for a core (by the kernel) and in the users of the GPU (by NVIDIA's driver).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch

from freezeout.holder import myself
from freezeout.run.standstill import Standstill

FOLDER = Path(tempfile.gettempdir()) / f"freezeout-{os.getuid()}"
LONGEST_WAIT = 0.02  # largest share of its time that a thread of a timed run may wait for a core or stand still
LOOK = 60.0  # seconds between two checks of who uses a GPU


@dataclass(frozen=True)
class Place:
    """What a run trains on.

    Attributes:
        boot: Identifies the computer and its current boot.
        gpu: The GPU's uuid; None on a CPU.
        cores: Numbers of the CPU cores that the process may use.
    """

    boot: str | None
    gpu: str | None
    cores: list[int]

    def overlaps(self, other: Place) -> bool:
        """Whether two runs train on one device: the same GPU, or CPUs with a core in common."""
        if (self.boot, self.gpu) != (other.boot, other.gpu):
            return False
        return self.gpu is not None or not set(self.cores).isdisjoint(other.cores)


def place_of(device: torch.device) -> Place:
    """Where this process trains."""
    gpu = str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else None
    return Place(myself().boot, gpu, sorted(os.sched_getaffinity(0)))


class Neighbours:
    """Watches what else uses the device, from construction to `leave`.

    Args:
        place: Where this process trains.
        folder: Where runs inform each other; FOLDER by default.
    """

    def __init__(self, place: Place, folder: Path | None = None) -> None:
        self._place, self._met = place, False
        self._began, self._waits = time.perf_counter(), waits()
        self._looked, self._on_gpu = -LOOK, (None if place.gpu else False)
        self._file: int | None = None
        self._standstill = Standstill()
        with contextlib.suppress(OSError):  # without the folder, other runs are not known
            self._join(folder or FOLDER)

    @property
    def shared(self) -> bool | None:
        """Whether anything else has used the device so far, or may have; None if that cannot be known."""
        found = [self._is_met(), self._has_waited(), self._is_on_gpu(), self._standstill.share > LONGEST_WAIT]
        return True if True in found else None if None in found else False

    def leave(self) -> None:
        """Stop watching: the process no longer trains."""
        self._standstill.leave()
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def _join(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / myself().token
        self._file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.write(self._file, _line(self._place))
        for path in folder.iterdir():  # after creating its own file: of two that start together, one sees the other
            if path != self._path and (other := _living(path)) is not None and self._place.overlaps(other):
                self._met = True
                with path.open("ab") as file:
                    file.write(_line(self._place))

    def _is_met(self) -> bool | None:
        """Whether another run of this program has trained on this device meanwhile."""
        if self._file is None:
            return None
        return self._met or os.pread(self._file, 2**20, 0).count(b"\n") > 1

    def _has_waited(self) -> bool | None:
        """Whether a thread of this process waited too long for a core for its seconds to count."""
        now, seconds = waits(), time.perf_counter() - self._began
        if now is None or self._waits is None:
            return None
        return max(wait - self._waits.get(thread, 0.0) for thread, wait in now.items()) > LONGEST_WAIT * seconds

    def _is_on_gpu(self) -> bool | None:
        """Whether another process was seen on the GPU; checked at intervals, first after one interval."""
        if self._place.gpu and not self._on_gpu and time.perf_counter() - self._looked >= LOOK:
            self._looked, self._on_gpu = time.perf_counter(), is_crowded(self._place.gpu)
        return self._on_gpu


def waits() -> dict[str, float] | None:
    """Seconds that each thread of this process has waited for a core; None if the kernel does not count them."""
    found = {}
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # the thread has just ended, or the kernel has no such count
            found[thread] = int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[1]) / 1e9
    return found or None


def is_crowded(gpu: str) -> bool | None:
    """Whether several processes compute on a GPU, by NVIDIA's driver; None if it does not say.

    Called from a process that uses the GPU: if none is listed, as in most containers, the driver hides them.

    Args:
        gpu: Its uuid, as torch or as NVIDIA writes it.
    """
    query = ["nvidia-smi", "--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    owners = [line.partition(",")[0].strip().removeprefix("GPU-") for line in listed.splitlines()]
    count = owners.count(gpu.removeprefix("GPU-"))
    return count > 1 if count else None


def _living(path: Path) -> Place | None:
    """The place in the file of a run that is still training; the file of a dead process is removed."""
    with contextlib.suppress(OSError), path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(file.readline())
        if path.stat().st_size:  # an empty file belongs to a run that is just starting
            path.unlink()
    return None


def _read(line: bytes) -> Place | None:
    try:
        return Place(**json.loads(line))
    except (ValueError, TypeError):  # not written yet (then that run will see this one), or of another version
        return None


def _line(place: Place) -> bytes:
    return f"{json.dumps(asdict(place))}\n".encode()
