"""What the tracker costs is measured around real training, paired with none."""

from __future__ import annotations

import json

import pytest

from benchmarks import tracker


@pytest.mark.slow
def test_the_tracker_is_timed_beside_training_and_none_is_free(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    words = ["model=wrn_10_1", "strategy=baseline", "seed=0", "epochs=1", "machine=cpu", "machine.threads=1"]
    assert tracker.main(["--rounds", "1", *words]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    taken = json.loads(first)
    assert taken["none"]["tracker"]["clock"] < 0.1 < taken["wandb"]["tracker"]["clock"]
    assert taken["none"]["train"]["clock"] > 0.1
    assert [line.partition(":")[0] for line in rest] == [
        "by the clock",
        "of the processor",
        "training, with over without",
    ]
    share = taken["wandb"]["tracker"]["clock"] / taken["wandb"]["train"]["clock"]
    assert f"by the clock: {share:.4f} [" in rest[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "0"], "tracker: --rounds 0: must be at least 1"),
        (["--round", "1"], "tracker: --round: unknown; did you mean --rounds?"),
        (["--rounds", "1", "modle=resnet8"], "tracker: freezeout: modle"),
    ],
)
def test_a_wrong_request_is_one_line(capsys, words, said):
    with pytest.raises(SystemExit) as stop:
        tracker.main(words)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)
