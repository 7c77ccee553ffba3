"""One run: a stopped one goes on to the end it would have had, and what goes wrong is said and mended."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from launched import WORDS, comparable, impatient, launch, only_run, wait_for_epochs

from freezeout import holder, records
from freezeout.run import lease, runner
from freezeout.run.signals import Stop
from freezeout.train import checkpoint
from freezeout.train.loop import Training


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_the_same_command_goes_on_to_the_same_weights_and_record(
    through: Path, freezeout, tmp_path: Path, name: str
) -> None:
    process = launch(tmp_path)
    wait_for_epochs(tmp_path, 2, process)
    process.send_signal(signal.Signals[name])
    _, err = process.communicate(timeout=120)
    folder = only_run(tmp_path)
    step = torch.load(folder / "checkpoint.pt", weights_only=True)["freezeout"]["step"]
    if name == "SIGKILL":
        assert records.read_record(folder) is None
    else:
        assert process.returncode == 128 + signal.Signals[name]
        assert "the same command resumes" in err
        assert "Traceback" not in err
        record = records.read_record(folder)
        assert record["status"] == "interrupted"
        assert record["error"] is None
        assert name in record["reason"]
    again = freezeout(*WORDS, f"out={tmp_path}")
    assert again.code == 0, again.err
    assert f"resumes from step {step} of 140" in again.err
    resumed, whole = records.read_record(folder), records.read_record(through)
    assert comparable(resumed) == comparable(whole)
    assert len(resumed["segments"]) == 2
    assert resumed["segments"][0]["step_to"] == resumed["segments"][1]["step_from"] > 0
    assert (resumed["repeated_seconds"] > 0) == (name == "SIGKILL")
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (folder, through))
    assert a["model"].keys() == b["model"].keys()
    for key, value in a["model"].items():
        assert torch.equal(value, b["model"][key]), key
    with np.load(folder / "predictions.npz") as p, np.load(through / "predictions.npz") as q:
        assert all(np.array_equal(p[key], q[key]) for key in q.files)
    assert [e["epoch"] for e in records.read_lines(folder / "metrics.jsonl")] == [1, 2, 3, 4, 5]
    assert {path.name for path in folder.iterdir()} == {path.name for path in through.iterdir()}, "nothing is left over"


@pytest.mark.parametrize("after", [3, 64, 87])
def test_a_run_stopped_inside_a_window_goes_on_to_the_same_bits(freezeout, tmp_path, monkeypatch, after: int) -> None:
    words = [*WORDS, "machine.run_ahead=10", "epochs=4"]
    assert freezeout(*words, "out=whole").code == 0
    with monkeypatch.context() as patched:
        patched.setattr(runner, "Stop", impatient(after))
        assert freezeout(*words, "out=parts").code == 128 + signal.SIGINT
    folders = [only_run(tmp_path / out) for out in ("whole", "parts")]
    stopped = records.read_record(folders[1])["segments"][-1]["step_to"]
    whole = records.read_record(folders[0])
    assert stopped % 10
    assert stopped not in whole["freeze_steps"]
    assert freezeout(*words, "out=parts").code == 0
    assert comparable(records.read_record(folders[1])) == comparable(whole)
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True)["model"] for f in folders)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_in_use_is_refused(freezeout, tmp_path: Path) -> None:
    process = launch(tmp_path / "runs", "epochs=200")
    try:
        wait_for_epochs(tmp_path / "runs", 1, process)
        said = freezeout(*WORDS, "epochs=200")
        assert said.code == 2
        assert "another process is training this run" in said.err
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("module", "name", "kept"),
    [
        (runner, "evaluate", {"metrics.jsonl": 1, "checkpoint.pt": 28}),
        (records, "append_line", {"metrics.jsonl": 2, "checkpoint.pt": 28}),
        (runner, "train", {"metrics.jsonl": 2, "checkpoint.pt": 56}),
        (runner, "conclude", {"metrics.jsonl": 2, "checkpoint.pt": 56, "predictions.npz": None}),
        (runner, "make_record", {"metrics.jsonl": 2, "checkpoint.pt": 56, "predictions.npz": None}),
    ],
)
def test_a_run_that_was_taken_over_writes_nothing_more(
    freezeout, tmp_path, monkeypatch, module, name: str, kept: dict[str, int | None]
) -> None:
    """As if the process slept in the middle of the second epoch, or later, and another one took the folder."""
    real, calls = getattr(module, name), []

    def sleep_in(*arguments, **keywords):
        calls.append(name)
        result = real(*arguments, **keywords)
        if len(calls) == 2 or name in ("train", "conclude", "make_record"):
            folder = only_run(tmp_path / "runs")
            taker = dataclasses.replace(holder.myself(), host="node7", boot="another", token="its")
            holder.path_of(folder, 2).write_bytes(holder.written(0, taker))
        return result

    monkeypatch.setattr(module, name, sleep_in)
    said = freezeout("strategy=baseline", "epochs=2")
    folder = only_run(tmp_path / "runs")
    line = f"freezeout: {folder.relative_to(tmp_path)}: another process took this run over (pid {os.getpid()} on node7)"
    assert (said.code, said.err.splitlines()[-1]) == (2, f"{line}; this one stops")
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "lease.2", *kept}
    assert len(records.read_lines(folder / "metrics.jsonl")) == kept["metrics.jsonl"]
    step = torch.load(folder / "checkpoint.pt", weights_only=True)["freezeout"]["step"]
    assert step == kept["checkpoint.pt"]


def test_a_run_that_is_seen_to_be_lost_stops_at_the_next_step(freezeout, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.01)
    begun = []

    def slow_batch(self, *arguments):
        begun.append(self)
        if len(begun) == 3:
            taker = dataclasses.replace(holder.myself(), host="node7", boot="another", token="its")
            holder.path_of(only_run(tmp_path / "runs"), 2).write_bytes(holder.written(0, taker))
            time.sleep(0.5)
        return real(self, *arguments)

    real = Training._begin_step
    monkeypatch.setattr(Training, "_begin_step", slow_batch)
    said = freezeout("strategy=baseline", "epochs=2")
    assert "another process took this run over" in said.err
    assert len(begun) < 28
    assert not (only_run(tmp_path / "runs") / "checkpoint.pt").exists()


def test_a_run_that_another_process_finished_while_this_one_waited_is_not_trained_again(
    freezeout, tmp_path, monkeypatch
) -> None:
    freezeout("strategy=baseline", "epochs=1")
    path = only_run(tmp_path / "runs") / "record.json"
    done, take = path.read_text(), lease.take
    path.unlink()

    def late(folder):
        path.write_text(done)
        return take(folder)

    monkeypatch.setattr(lease, "take", late)
    assert freezeout("strategy=baseline", "epochs=1").out.startswith("done before: ")
    assert path.read_text() == done


def test_a_checkpoint_of_another_configuration_is_refused(freezeout, tmp_path: Path) -> None:
    freezeout("strategy=baseline", "epochs=1")
    folder = only_run(tmp_path / "runs")
    (folder / "record.json").unlink()
    path = folder / "checkpoint.pt"
    state = torch.load(path, weights_only=True) | {"run_id": "someone-else"}
    torch.save(state, path)
    said = freezeout("strategy=baseline", "epochs=1")
    assert said.code == 2
    assert "a checkpoint of another configuration (someone-else" in said.err
    path.write_bytes(b"not a checkpoint")
    assert "not a readable checkpoint" in freezeout("strategy=baseline", "epochs=1").err


def test_a_diverged_run_says_so_and_is_a_result(freezeout, tmp_path: Path) -> None:
    said = freezeout("strategy=baseline", "optimizer.lr=1e9")
    assert said.code == 1
    assert " baseline seed=0: diverged: the training loss became " in said.err
    record = records.read_record(only_run(tmp_path / "runs"))
    assert record["status"] == "failed"
    assert "training loss became" in record["reason"]
    assert record["error"] is None
    json.dumps(record, allow_nan=False)


def test_a_damaged_line_of_metrics_is_named(freezeout, tmp_path) -> None:
    freezeout("strategy=baseline", "epochs=1")
    folder = only_run(tmp_path / "runs")
    (folder / "record.json").unlink()
    for damage in (b"nonsense\n", b"\xff\xfe\n", b"[1]\n"):
        (folder / "metrics.jsonl").write_bytes(damage)
        assert "metrics.jsonl: line 1 is malformed" in freezeout("strategy=baseline", "epochs=1").err


@pytest.mark.parametrize("lost", [0, 1, None])
def test_epochs_that_the_metrics_have_lost_are_not_left_out_of_a_record(freezeout, tmp_path, lost) -> None:
    freezeout("strategy=baseline", "epochs=2")
    folder = only_run(tmp_path / "runs")
    (folder / "record.json").unlink()
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    left = [line for number, line in enumerate(lines) if lost not in (number, None)]
    (folder / "metrics.jsonl").write_text("".join(left))
    said = freezeout("strategy=baseline", "epochs=2")
    assert said.code == 2
    assert "metrics.jsonl: does not begin with the checkpoint's 2 epochs; delete" in said.err
    assert not (folder / "record.json").exists()


def test_a_checkpoint_with_a_byte_changed_is_not_gone_on_with(freezeout, tmp_path) -> None:
    freezeout("strategy=baseline", "epochs=1")
    folder = only_run(tmp_path / "runs")
    (folder / "record.json").unlink()
    path = folder / "checkpoint.pt"
    content, weights = path.read_bytes(), torch.load(path, weights_only=True)["model"]
    tensor = next(weight for weight in weights.values() if weight.dim() == 2).numpy().tobytes()
    place = content.index(tensor) + len(tensor) // 2
    path.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
    assert "checkpoint.pt: not a readable checkpoint; delete" in freezeout("strategy=baseline", "epochs=1").err


def test_a_device_without_room_is_no_damage_of_the_checkpoint(tmp_path, monkeypatch) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"run_id": "a-0"})

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(torch.OutOfMemoryError):
        checkpoint.load(path, "a-0", torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler warns of its own doings
def test_compiling_is_charged_to_itself(freezeout, tmp_path) -> None:
    said = freezeout("strategy=freezeout", "t_0=0.5", "epochs=2", "machine.compile=true")
    assert said.code == 0, said.err
    record = records.read_record(only_run(tmp_path / "runs"))
    seconds = record["seconds"]
    # More than the training even where the compiler's cache on disk is warm: charged to it, this would be 0.
    assert seconds["compile"] > seconds["train"] > 0
    assert sum(part for name, part in seconds.items() if name != "total") <= seconds["total"] + 0.1
    freezeout("strategy=freezeout", "t_0=0.5", "epochs=2", "out=eager")
    assert records.read_record(only_run(tmp_path / "eager"))["seconds"]["compile"] is None


def test_a_scaled_rate_on_a_short_lived_stage_is_warned_of(freezeout) -> None:
    said = freezeout("t_0=0.3", "epochs=1")
    assert "trains for 1 of 28 steps and its scaled rate starts at 3.7" in said.err
    assert "warning" not in freezeout("t_0=0.3", "epochs=1", "strategy.scale_lr=false").err


def test_evaluation_is_outside_the_training_clock(freezeout, tmp_path, monkeypatch) -> None:
    real = runner.evaluate

    def slow(*arguments):
        time.sleep(0.5)
        return real(*arguments)

    monkeypatch.setattr(runner, "evaluate", slow)
    freezeout("strategy=baseline", "epochs=2")
    seconds = records.read_record(only_run(tmp_path / "runs"))["seconds"]
    assert seconds["evaluation"] > 2.0, "two epochs, the training set and the test set at the end"
    blocks = records.read_record(only_run(tmp_path / "runs"))["prefixes"]
    assert seconds["train"] == pytest.approx(sum(b["seconds"] for b in blocks))
    assert max(b["seconds"] for b in blocks) / 50 < 0.5


def test_a_failure_names_its_traceback_which_goes_when_a_retry_succeeds(freezeout, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(runner, "evaluate", lambda *_: 1 / 0)
        said = freezeout("strategy=baseline", "epochs=1")
    folder = only_run(tmp_path / "runs")
    path = folder / "error.txt"
    assert said.code == 1
    assert f"ZeroDivisionError: division by zero (traceback: {path.relative_to(tmp_path)})" in said.err
    assert "runner.py" in path.read_text()
    assert freezeout("strategy=baseline", "epochs=1").code == 0
    assert not path.exists()


def test_a_checkpoint_of_before_is_still_taken_up(freezeout, tmp_path, monkeypatch) -> None:
    """Checkpoints were written with a `step` of their own, and `told` for `clean`."""

    class Impatient(Stop):
        @property
        def asked(self) -> bool:
            self.signal = signal.SIGINT
            return True

    with monkeypatch.context() as patched:
        patched.setattr(runner, "Stop", Impatient)
        assert freezeout("strategy=baseline", "epochs=2").code == 128 + signal.SIGINT
    folder = only_run(tmp_path / "runs")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    state |= {"told": state.pop("clean"), "step": 1}
    torch.save(state, folder / "checkpoint.pt")
    said = freezeout("strategy=baseline", "epochs=2")
    assert "resumes from step 1 of 56" in said.err
    assert records.read_record(folder)["repeated_seconds"] == 0.0
