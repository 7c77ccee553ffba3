"""Each framework's own way of freezing is measured beside the plug-in, on the same stages, and resumed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.frameworks import __main__ as command
from benchmarks.frameworks.protocol import AT, EPOCHS, STEPS, AtEpochs, Watch, network
from freezeout.layers import leaves
from freezeout.schedule import linear_depth


def test_composers_own_schedule_has_frozen_the_same_stages_in_the_epochs_that_are_compared() -> None:
    chain = network()
    schedule = AtEpochs().schedule(len(chain))
    layers = len(list(leaves(chain)))
    for k, epoch in enumerate(AT, 1):
        assert schedule.prefix(STEPS * epoch, STEPS * EPOCHS) == k == schedule.prefix(STEPS * epoch - 1, 72) + 1
        ours = sum(len(list(leaves(stage))) for stage in list(chain)[:k])
        assert ours == linear_depth(layers, epoch / EPOCHS, 0.0, 1.0)[0]


def test_a_watch_counts_layers_times_steps_and_sees_what_moves(monkeypatch) -> None:
    watch = Watch(network())
    clock = iter(range(1000))
    monkeypatch.setattr("time.process_time", lambda: next(clock) ** 2)  # each step takes longer than the one before
    for step in range(STEPS * EPOCHS):
        watch.begin()
        for k, epoch in enumerate(AT):
            if step == STEPS * epoch:
                watch.network[k].requires_grad_(False)
        watch.end()
    assert watch.layers[:: 3 * STEPS] == [0, 6, 12]
    assert watch.shares() == [pytest.approx((4 * STEPS * e + 19) / 19) for e in AT]
    assert watch.moved() == []
    with torch.no_grad():
        watch.network(torch.randn(2, 3, 8, 8))
    assert watch.moved() == ["bn.running_mean", "bn.running_var", "bn.num_batches_tracked"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["composr"], "frameworks: composr: unknown; did you mean composer?"),
        (["lightning", "--rounds", "0"], "frameworks: --rounds 0: must be at least 1"),
        (["lightning", "--round", "3"], "frameworks: --round: unknown; did you mean --rounds?"),
    ],
)
def test_a_wrong_request_is_one_line(words, line, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(words)
    said = capsys.readouterr().err.strip()
    assert stop.value.code == 2
    assert said.startswith(line)
    assert len(said.splitlines()) == 1


def test_a_framework_that_is_not_there_is_asked_for(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "composer", None)
    monkeypatch.delitem(sys.modules, "benchmarks.frameworks.composer", raising=False)
    with pytest.raises(SystemExit):
        command.main(["composer"])
    assert capsys.readouterr().err.strip().endswith(": make composer-env")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "module", "moved", "resumed"),
    [
        ("composer", "composer", "bn.running_mean, bn.running_var, bn.num_batches_tracked", "saves: KeyError: "),
        ("lightning", "lightning", "bn.weight, bn.bias, bn.running_mean", "another run: weights differ by up to "),
        ("huggingface", "accelerate", "bn.running_mean, bn.running_var", "another run: weights differ by up to "),
    ],
)
def test_ours_stands_still_and_resumes_and_theirs_does_not(framework, module, moved, resumed) -> None:
    pytest.importorskip(module)
    words = [sys.executable, "-m", "benchmarks.frameworks", framework, "--rounds", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stderr
    rows = [[field.strip() for field in line.split("|")[1:4]] for line in done.stdout.splitlines() if "|" in line]
    fields = {title: both for title, *both in rows}
    assert fields["layers frozen, by epoch"][0] == "0 2 2 6 6 6 12 12 12"
    ours, theirs = fields["of the first stage, frozen, has moved"]
    assert (ours, theirs[: len(moved)]) == ("nothing", moved)
    ours, theirs = fields["resumed"]
    assert (ours, theirs[: len(resumed)]) == ("bitwise the run that was never stopped", resumed)
