"""Where a result came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from freezeout.run import provenance

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_commit_is_that_of_the_checkout_that_the_package_lies_in(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    provenance.commit.cache_clear()
    assert provenance.commit() == (head, bool(status))


def cpuinfo(**facts: str) -> str:
    """Two processors of /proc/cpuinfo, whose second one is not asked."""
    lines = [f"{key.replace('_', ' ')}\t: {value}" for key, value in facts.items()]
    return "\n".join(["processor\t: 0", *lines, "", "processor\t: 1", "model name\t: another", ""])


@pytest.mark.parametrize(
    "name",
    [
        "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz",
        "Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz",
        "AMD EPYC 7B12",
        "AMD EPYC 9R14",
        "AMD Ryzen 9 5950X 16-Core Processor",
        "12th Gen Intel(R) Core(TM) i7-12700H",
    ],
)
def test_a_processor_is_called_by_its_product(name) -> None:
    assert provenance.processor(cpuinfo(model_name=name, cpu_family="6", model="85", stepping="7")) == name


@pytest.mark.parametrize(
    "name",
    [
        "AMD EPYC",
        "AMD EPYC-Rome Processor",
        "Intel(R) Xeon(R) CPU @ 2.20GHz",
        "Intel(R) Xeon(R) Processor @ 2.90GHz",
        "Intel Core Processor (Skylake, IBRS)",
        "QEMU Virtual CPU version 2.5+",
    ],
)
def test_processors_whose_product_a_virtual_machine_hides_are_told_apart_by_generation(name) -> None:
    older = provenance.processor(cpuinfo(cpu_family="25", model="1", model_name=name, stepping="1"))
    newer = provenance.processor(cpuinfo(cpu_family="26", model="2", model_name=name, stepping="1"))
    assert (older, newer) == (f"{name} (25.1.1)", f"{name} (26.2.1)")


def test_arms_processors_which_have_no_name_are_told_apart_by_maker_and_part(monkeypatch) -> None:
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    found = provenance.processor(
        cpuinfo(CPU_implementer="0x41", CPU_architecture="8", CPU_variant="0x3", CPU_part="0xd0c")
    )
    assert found == "aarch64 (0x41.0xd0c.0x3)"


def test_a_processor_that_tells_nothing_keeps_the_name_it_has(monkeypatch) -> None:
    monkeypatch.setattr("platform.processor", lambda: "riscv")
    assert provenance.processor("processor\t: 0\n") == "riscv"
