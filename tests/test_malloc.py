"""Pages that training keeps: no page faults once the first steps have run."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

LOOP = """
import resource, torch
from freezeout.train.malloc import keep_pages
kept = {keep} and keep_pages()
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        [torch.ones(10_000_000) for _ in range(3)]  # 40 MB each, above what glibc ever keeps
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(20)
print(kept, faults(10))
"""


def run(keep: bool) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", LOOP.format(keep=keep)], capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_what_is_freed_and_taken_again_is_not_faulted_in_again() -> None:
    kept, faults = run(keep=True)
    assert kept == "True"
    assert faults < 100
    assert run(keep=False)[1] > 1000, "or there is nothing to gain here any more"
