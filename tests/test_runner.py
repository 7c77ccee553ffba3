"""One run: what it leaves, and that a stopped one goes on to the end it would have had."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from freezeout import records
from freezeout.run import progress_bar, runner
from freezeout.run.signals import Stop

ROOT = Path(__file__).parent.parent
WORDS = [
    "model=wide_resnet",
    "model.depth=10",
    "model.widen=1",
    "model.dropout=0.3",
    "t_0=0.3",
    "strategy.how_scale=linear",
    "strategy.scale_lr=false",
    "epochs=5",
    "machine=cpu",
    "machine.threads=1",
    "tracker=none",
]
# What differs by nature between two attempts at the same run: times, host, commit and W&B.
BY_NATURE = {"started", "segments", "seconds", "repeated_seconds", "host", "cores", "commit", "dirty", "wandb", "sweep"}


def command(out: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "freezeout", *WORDS, f"out={out}", *words]


def launch(out: Path, *words: str) -> subprocess.Popen:
    out.mkdir(parents=True, exist_ok=True)
    # This checkout, whichever one is installed.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(out, *words), cwd=out, env=environment, **streams)


def only_run(out: Path) -> Path:
    (folder,) = [p for p in out.glob("*/*") if p.parent.name != "sweeps"]
    return folder


def wait_for_epochs(out: Path, n: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        metrics = list(out.glob("*/*/metrics.jsonl"))
        if metrics and len(records.read_lines(metrics[0])) >= n:
            return
        time.sleep(0.01)
    raise AssertionError("the run made no progress")


def comparable(record: dict) -> dict:
    """The record without what differs by nature."""
    kept = copy.deepcopy({k: v for k, v in record.items() if k not in BY_NATURE})
    kept["config"].pop("out")
    for block in kept["prefixes"]:
        for part in block.keys() - {"prefix", "step_from", "step_to"}:
            block.pop(part)
    for epoch in kept["epochs"]:
        epoch.pop("seconds")
        epoch.pop("step_seconds")
    return kept


@pytest.fixture(scope="module")
def through(tmp_path_factory) -> Path:
    """The folder of a run that was never stopped."""
    out = tmp_path_factory.mktemp("through")
    process = launch(out)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return only_run(out)


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
        assert "the same command goes on" in err
        assert "Traceback" not in err
        record = records.read_record(folder)
        assert record["status"] == "interrupted"
        assert record["error"] is None
        assert name in record["reason"]
    again = freezeout(*WORDS, f"out={tmp_path}")
    assert again.code == 0, again.err
    assert f"goes on from step {step} of 140" in again.err
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


@pytest.mark.parametrize("after", [3, 64, 87])
def test_a_run_stopped_inside_a_window_goes_on_to_the_same_bits(freezeout, tmp_path, monkeypatch, after: int) -> None:
    words = [*WORDS, "machine.run_ahead=10", "epochs=4"]
    assert freezeout(*words, "out=whole").code == 0

    class Impatient(Stop):
        """As if Ctrl-C came in step `after`."""

        steps = 0

        @property
        def asked(self) -> bool:
            Impatient.steps += 1
            self.signal = signal.SIGINT if Impatient.steps >= after else None
            return super().asked

    with monkeypatch.context() as patched:
        patched.setattr(runner, "Stop", Impatient)
        with pytest.raises(Stop):
            freezeout(*words, "out=parts")
    folders = [only_run(tmp_path / out) for out in ("whole", "parts")]
    stopped = records.read_record(folders[1])["segments"][-1]["step_to"]
    whole = records.read_record(folders[0])
    assert stopped % 10
    assert stopped not in whole["freeze_steps"]
    assert freezeout(*words, "out=parts").code == 0
    assert comparable(records.read_record(folders[1])) == comparable(whole)
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True)["model"] for f in folders)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_the_record_has_every_key_that_others_rely_on(through: Path) -> None:
    record = records.read_record(through)
    keys = (
        "schema_version status reason run_id seed sweep config commit dirty host device versions data stages started "
    )
    keys += (
        "seconds prefixes steps epochs error test_error train_error freeze_times freeze_steps peak_memory flops saving "
    )
    keys += "shared_device segments wandb"
    assert set(keys.split()) <= set(record)
    assert record["peak_memory"] is None, "null on a CPU"
    assert set(record["seconds"]) == {"train", "compile", "evaluation", "checkpoint", "total"}
    assert record["seconds"]["total"] > record["seconds"]["train"] > 0
    assert record["seconds"]["train"] == pytest.approx(sum(b["seconds"] for b in record["prefixes"]))
    assert sum(b["step_to"] - b["step_from"] for b in record["prefixes"]) == record["steps"] == 5 * 28
    assert [s["freeze_step"] for s in record["stages"]] == record["freeze_steps"]
    assert record["freeze_steps"][-1] is None
    assert record["error"] == record["epochs"][-1]["error"], "the last epoch's error, never the best"
    assert record["epochs"] == records.read_lines(through / "metrics.jsonl")
    assert 0 < record["saving"]["predicted"] < 1
    assert record["saving"]["estimated"] is None, "the paper's formula is for DenseNets"


def test_blocks_say_which_prefix_was_frozen_when(through: Path) -> None:
    record = records.read_record(through)
    for block in record["prefixes"]:
        for step in range(block["step_from"], block["step_to"]):
            assert block["prefix"] == sum(step / record["steps"] >= t for t in record["freeze_times"])


def test_blocks_say_what_their_seconds_went_to(through: Path) -> None:
    blocks = records.read_record(through)["prefixes"]
    parts = ["input", "forward", "backward", "optimizer"]
    switched = {block["prefix"]: "switch" in block for block in reversed(blocks)}
    assert switched == {prefix: prefix > 0 for prefix in switched}, "in the first block of each prefix but 0"
    for block in blocks:
        known = [block.get(part, 0.0) for part in (*parts, "switch", "prefix_forward")]
        assert min(block[part] for part in parts) > 0
        assert ("prefix_forward" in block) == (block["prefix"] > 0)
        assert 0.5 * block["seconds"] < sum(known) <= block["seconds"]


def test_the_predictions_give_the_error(through: Path) -> None:
    from freezeout.data import DATASETS, load

    source = load("digits", DATASETS["digits"]())
    ((_, labels),) = source.batches("test", [torch.arange(source.sizes["test"])])
    with np.load(through / "predictions.npz") as arrays:
        wrong = 100 * (arrays["test_class"] != labels.numpy()).mean()
    assert wrong == pytest.approx(records.read_record(through)["error"])


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
    record = records.read_record(only_run(tmp_path / "runs"))
    assert record["status"] == "failed"
    assert "training loss became" in record["reason"]
    assert record["error"] is None
    json.dumps(record, allow_nan=False)


def test_a_full_disk_keeps_what_was_written_and_the_same_command_goes_on(freezeout, tmp_path, monkeypatch) -> None:
    from freezeout.train import checkpoint

    real, calls = checkpoint.save, []

    def full(path, state):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(path, state)

    monkeypatch.setattr(checkpoint, "save", full)
    said = freezeout("strategy=baseline", "epochs=3")
    assert said.code == 1
    assert "disk full (No space left on device)" in said.err
    folder = only_run(tmp_path / "runs")
    assert records.read_record(folder)["status"] == "failed"
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["freezeout"]["step"] == 28
    assert freezeout("strategy=baseline", "epochs=3").code == 0
    assert records.read_record(folder)["status"] == "done"
    assert len(records.read_lines(folder / "metrics.jsonl")) == 3


def test_a_disk_too_full_for_the_record_is_one_line(freezeout, tmp_path, monkeypatch) -> None:
    def full(path, document):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records, "write_json_atomic", full)
    said = freezeout("strategy=baseline", "epochs=1")
    assert said.code == 2
    assert "disk full (No space left on device); the same command goes on" in said.err
    assert "Traceback" not in said.err


def test_a_damaged_line_of_metrics_is_named(freezeout, tmp_path) -> None:
    freezeout("strategy=baseline", "epochs=1")
    folder = only_run(tmp_path / "runs")
    (folder / "record.json").unlink()
    (folder / "metrics.jsonl").write_text("nonsense\n")
    assert "metrics.jsonl: line 1 is no JSON; delete" in freezeout("strategy=baseline", "epochs=1").err


@pytest.mark.parametrize("seconds", [0.3, 1.5, 3.0])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_at_any_time_gets_one_line(tmp_path, name: str, seconds: float) -> None:
    process = launch(tmp_path, "epochs=500")
    time.sleep(seconds)
    process.send_signal(signal.Signals[name])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.Signals[name], err
    assert "Traceback" not in err
    assert "the same command goes on" in err


EVALUATED = """
import sys, types
from freezeout import __main__, cli
command = types.ModuleType("freezeout.cli.command")
command.main = lambda: exec("import os, signal; os.kill(os.getpid(), signal.SIGTERM); [0 for _ in range(10**7)]")
sys.modules["freezeout.cli.command"] = cli.command = command
__main__.main()
"""


def test_a_signal_that_meets_python_evaluating_a_string_keeps_its_exit_code(tmp_path) -> None:
    """As dataclasses and named tuples do while they are imported: a plain KeyboardInterrupt there ends Python by -2."""
    (tmp_path / "probe.py").write_text(EVALUATED)
    words = [sys.executable, "-m", "probe"]  # the way of `python -m` is the one that dies
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert "the same command goes on" in done.stderr


def test_the_bar_says_first_what_changes(freezeout, monkeypatch) -> None:
    shown = []
    real = progress_bar.tqdm

    def bar(**options):
        made = real(**{**options, "disable": False, "file": io.StringIO(), "ncols": 80, "dynamic_ncols": False})
        close = made.close

        def closing():
            shown.append(str(made))
            close()

        made.close = closing
        return made

    monkeypatch.setattr(progress_bar, "tqdm", bar)
    freezeout("t_0=0.5", "epochs=3", "strategy.scale_lr=false")
    (line,) = set(shown)
    assert re.match(r"epoch 3/3, error \d+\.\d %, 4 of 5 frozen \|.{12}\| 00:00 left, freez", line), line
    assert len(line) <= 80


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler warns of its own doings
def test_compiling_is_charged_to_itself(freezeout, tmp_path) -> None:
    said = freezeout("strategy=freezeout", "t_0=0.5", "epochs=2", "machine.compile=true")
    assert said.code == 0, said.err
    record = records.read_record(only_run(tmp_path / "runs"))
    seconds = record["seconds"]
    assert seconds["compile"] > 5 * seconds["train"] > 0
    assert sum(part for name, part in seconds.items() if name != "total") <= seconds["total"] + 0.1
    freezeout("strategy=freezeout", "t_0=0.5", "epochs=2", "out=eager")
    assert records.read_record(only_run(tmp_path / "eager"))["seconds"]["compile"] is None


def test_a_scaled_rate_on_a_short_lived_stage_is_warned_of(freezeout) -> None:
    said = freezeout("t_0=0.3", "epochs=1")
    assert "lives for 1 of 28 steps and its scaled rate starts at 3.7" in said.err
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


def test_const_time_trains_for_more_steps_until_the_predicted_time_is_the_baselines(freezeout, tmp_path) -> None:
    freezeout("t_0=0.5", "strategy.const_time=true", "strategy.scale_lr=false", "epochs=2")
    record = records.read_record(only_run(tmp_path / "runs"))
    assert record["steps"] > 56
    assert record["flops"]["run"] == pytest.approx(56 * record["flops"]["step"], rel=0.02)
    assert len(record["epochs"]) == -(-record["steps"] // 28)


def test_a_synthetic_set_is_marked_and_a_validation_split_leaves_the_test_set_for_the_end(freezeout, tmp_path) -> None:
    size = ["dataset.size=8", "dataset.train=200", "dataset.test=100"]
    freezeout("dataset=synthetic", *size, "strategy=baseline", "epochs=1")
    assert records.read_record(only_run(tmp_path / "runs"))["data"]["synthetic"] is True
    rng = np.random.default_rng(0)
    arrays = {"x": rng.integers(0, 255, (300, 8, 8, 3), dtype=np.uint8), "y": np.arange(300) % 3}
    np.savez(tmp_path / "a.npz", **arrays)
    words = ["dataset=npz", "dataset.train=[a.npz]", "dataset.test=[a.npz]", "dataset.validation=60", "out=held"]
    assert freezeout(*words, "strategy=baseline", "epochs=1").code == 0
    record = records.read_record(only_run(tmp_path / "held"))
    assert record["data"]["validation"] == 60
    assert record["split"] == "validation"
    assert record["test_error"] is not None


def test_what_two_askers_share_is_the_runs_own_and_each_is_told_its_own_saving(freezeout, tmp_path: Path) -> None:
    """A baseline shortened to half of two epochs is the baseline of one epoch: one run, whoever asked for it first."""
    first = freezeout("strategy=shortened", "strategy.budget=0.5", "epochs=2")
    assert "50.0 % saving predicted" in first.out
    folder = only_run(tmp_path / "runs")
    record = records.read_record(folder)
    second = freezeout("strategy=baseline", "epochs=1")
    assert "0.0 % saving predicted" in second.out
    assert second.out.startswith("done before: baseline")
    assert records.read_record(folder) == record
    assert (record["config"]["strategy"], record["config"]["epochs"]) == ({"name": "baseline"}, 1)
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert (written["strategy"], written["epochs"]) == ({"name": "baseline"}, 1)
    assert record["saving"]["predicted"] == 0.0, "against a baseline of as many steps"
    assert record["flops"]["run"] == record["flops"]["step"] * record["steps"]
    assert "full_steps" not in record, "how long the plain recipe is, is the asker's"


def test_a_record_says_what_names_it_and_how_to_make_it_again(freezeout, tmp_path: Path) -> None:
    freezeout(*WORDS, "epochs=1", "label_smoothing=0.1")
    record = records.read_record(only_run(tmp_path / "runs"))
    assert records.digest(record["effective"]) == record["run_id"].rpartition("-")[0]
    words = shlex.split(record["command"])
    assert words[:3] == ["python", "-m", "freezeout"]
    again = freezeout(*words[3:], "out=again", "tracker=none", quick=False)
    assert again.code == 0, again.err
    assert records.read_record(only_run(tmp_path / "again"))["run_id"] == record["run_id"]


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


def test_a_full_disk_is_called_that_whatever_torch_calls_it(tmp_path, monkeypatch) -> None:
    from freezeout.train import checkpoint

    def enforce(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 0")

    monkeypatch.setattr(torch, "save", enforce)
    with pytest.raises(OSError, match="No space left on device") as full:
        checkpoint.save(tmp_path / "checkpoint.pt", {})
    assert runner.os_reason(full.value).startswith("disk full (No space left on device): ")


def test_a_log_file_gets_a_line_an_epoch_with_the_time_left(freezeout) -> None:
    said = freezeout("strategy=baseline", "epochs=3")
    lines = [line for line in said.err.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2, "the end is the last line of the run itself"
    for n, line in enumerate(lines, 1):
        assert re.fullmatch(rf"epoch {n}/3, error \d+\.\d %, 0 of 5 frozen; less than a minute left", line), line


def test_a_checkpoint_of_before_is_still_taken_up(freezeout, tmp_path, monkeypatch) -> None:
    """Checkpoints were written with a `step` of their own, and `told` for `clean`."""

    class Impatient(Stop):
        @property
        def asked(self) -> bool:
            self.signal = signal.SIGINT
            return True

    with monkeypatch.context() as patched:
        patched.setattr(runner, "Stop", Impatient)
        with pytest.raises(Stop):
            freezeout("strategy=baseline", "epochs=2")
    folder = only_run(tmp_path / "runs")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    state |= {"told": state.pop("clean"), "step": 1}
    torch.save(state, folder / "checkpoint.pt")
    said = freezeout("strategy=baseline", "epochs=2")
    assert "goes on from step 1 of 56" in said.err
    assert records.read_record(folder)["repeated_seconds"] == 0.0


def test_the_record_has_the_keys_of_the_table_and_no_others(through: Path) -> None:
    assert set(records.read_record(through)) == set(records.KEYS)
