"""What the GPU's half hour trains in the minutes that are left: figure 4 and then the DenseNet, if it has images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_data import pictures, save
from test_gpu_session import call, made

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import page, state
from benchmarks.gpu.parts import OF_IMAGES, REHEARSAL, Part, parts
from freezeout.naming import folder

SLEEPS = "import time; time.sleep(60)"


def sweeps(*names: str, data: tuple[Path, ...] = (), out: Path = Path("/out"), scale=REHEARSAL) -> list[Part]:
    return [part for part in parts(scale, out, sweeps=names, data=data) if part.kind == "sweep"]


def test_the_sweeps_of_images_are_figure_4_and_then_that_of_the_densenet() -> None:
    networks = [(folder("sweeps") / f"{name}.yaml").read_text().partition("common: ")[2] for name in OF_IMAGES]
    assert [words.split(",")[0] for words in networks] == ["[model=wrn_40_4", "[model=densenet_bc_76_12"]
    assert all("dataset=cifar100" in words for words in networks)


@pytest.mark.parametrize(
    ("words", "on_disk", "trained"),
    [
        ("", None, "quick"),
        ("--data x.npz", None, "figure4-own-data figure2-own-data"),
        ("", "cifar-100-python", "figure4 figure2"),
        ("", "cifar-100-python.tar.gz", "figure4 figure2"),
        ("", "cifar-10-batches-py", "quick"),
        ("--sweep figure5", None, "figure5"),
        ("--sweep quick --data x.npz", None, "quick-own-data"),
        ("--rehearse", "cifar-100-python", "digits"),
        ("--rehearse --data x.npz", None, "figure4-own-data figure2-own-data"),
    ],
)
def test_what_is_trained_depends_on_the_images_that_there_are(
    tmp_path, monkeypatch, capsys, words: str, on_disk: str | None, trained: str
) -> None:
    given: list[Part] = []

    class Nothing:
        def __init__(self, todo: list[Part], found: state.State, out: Path, *rest: object, **more: object) -> None:
            given.extend(todo)
            out.mkdir(parents=True)
            (out / page.FILE).touch()

        def run(self) -> None:
            pass

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FREEZEOUT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(command, "Session", Nothing)
    monkeypatch.setattr(command, "machine_of", lambda device, environment: {})
    monkeypatch.setattr(command.signal, "signal", lambda *of: None)
    (tmp_path / "x.npz").touch()
    if on_disk:
        (tmp_path / "data" / on_disk).mkdir(parents=True)
    assert command.main(words.split()) == 0
    assert [part.name for part in given if part.kind == "sweep"] == [f"sweep-{name}" for name in trained.split()]
    lines = [line for line in capsys.readouterr().out.splitlines() if "DATA=" in line]
    assert len(lines) == (trained in ("quick", "digits") and "--sweep" not in words)
    assert all("figure4, then figure2" in line for line in lines)


def test_the_second_waits_until_the_first_leaves_it_minutes(tmp_path) -> None:
    first, second = (made(name, SLEEPS, kind="sweep", open_ended=True) for name in ("figure4", "figure2"))
    said, found = call(tmp_path / "out", [first, second], minutes=1 / 60)
    assert list(found.parts) == ["figure4"]
    assert said[-1].startswith("figure2: owed")
    owed = (tmp_path / "out" / page.FILE).read_text().partition("## Still owed")[2]
    assert "- figure4: as many minutes as are left, the minutes were over after" in owed
    assert "- figure2: as many minutes as are left\n" in owed
    quick = [made(part.name, "", kind="sweep", open_ended=True) for part in (first, second)]
    _, found = call(tmp_path / "out", quick)
    assert {name: outcome.status for name, outcome in found.parts.items()} == {"figure4": "done", "figure2": "done"}


def test_a_failed_run_of_the_first_does_not_put_the_second_before_it() -> None:
    todo = [made(name, "", open_ended=True) for name in ("figure4", "figure2")]
    found = state.State(rehearsal=False, parts={"figure4": state.Outcome("failed", "")})
    assert [part.name for part in found.waiting(todo)] == ["figure4", "figure2"]


@pytest.mark.slow
def test_both_rehearsed_on_images_of_ten_classes(tmp_path) -> None:
    """They name CIFAR-100; a second call does only what the first left."""
    out, images = tmp_path / "out", Path(save(str(tmp_path / "train.npz"), *pictures(80, side=8)))
    todo = sweeps(*OF_IMAGES, data=(images,), out=out)
    _, found = call(out, todo[:1])
    _, found = call(out, todo)
    text = (out / page.FILE).read_text()
    for part, runs in zip(todo, (3, 5), strict=True):
        assert found.parts[part.name].status == "done", text
        assert f"- {part.name}: {runs} of {runs} runs done" in text
    records = [json.loads(path.read_text()) for path in (out / "runs").glob("*/0/record.json")]
    assert {(record["data"]["name"], record["data"]["classes"]) for record in records} == {("npz", 10)}
