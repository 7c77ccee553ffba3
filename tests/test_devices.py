"""Which GPU a process takes, of machines that are pretended."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from freezeout.holder import myself
from freezeout.run import devices, worker


def claimed(folder, device: str, **changes: object) -> None:
    """As if another process had claimed the device; changes: what to make of who it is."""
    holder = replace(myself(), **changes)
    (folder / f"{holder.token}.json").write_text(json.dumps({"device": device, "holder": asdict(holder)}))


def test_the_first_takes_the_first_and_the_next_the_one_that_is_free(tmp_path) -> None:
    assert [devices.claim(["a", "b", "c"], tmp_path) for _ in range(7)] == ["a", "b", "c", "a", "b", "c", "a"]


def test_claims_of_other_sweeps_count_and_those_of_the_dead_do_not(tmp_path) -> None:
    claimed(tmp_path, "a")
    claimed(tmp_path, "b", began="1")
    claimed(tmp_path, "b", boot="another")
    (tmp_path / "cut.json").write_text('{"device": "b", "ho')
    assert devices.claim(["a", "b"], tmp_path) == "b"
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert devices.claim(["a", "b"], tmp_path) == "a"


def test_claims_that_are_made_at_the_same_moment_share_the_gpus_evenly(tmp_path) -> None:
    with ThreadPoolExecutor(12) as pool:  # the lock is one of files, and holds between threads too
        taken = list(pool.map(lambda _: devices.claim(["a", "b", "c"], tmp_path), range(12)))
    assert sorted(taken) == sorted(["a", "b", "c"] * 4)


def test_the_gpus_are_those_that_the_user_leaves_visible_else_the_emptiest_first(monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5")
    assert worker.visible(2) == ["3", "GPU-5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert worker.visible(0) == []
    monkeypatch.setattr(worker, "by_memory", lambda: ["GPU-b", "GPU-a"])
    assert worker.visible(2) == ["GPU-b", "GPU-a"]
    assert worker.visible(3) == ["0", "1", "2"], "where the two do not agree"


def test_what_nvidia_smi_says_is_read(monkeypatch, tmp_path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '4000, GPU-a'\necho '12, GPU-b'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert worker.by_memory() == ["GPU-b", "GPU-a"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert worker.by_memory() == []
    monkeypatch.setenv("PATH", "")
    assert worker.by_memory() == []
