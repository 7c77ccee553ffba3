"""RESULTS.md: each figure is what the kept records give, and each command is one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from freezeout.naming import options
from freezeout.savings.profile import profiled_saving, read
from freezeout.strategies import FreezeOut

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "RESULTS.md").read_text()
README = (ROOT / "README.md").read_text()
FIGURES = re.findall(r"\(docs/(verdicts_[\w.+-]+)\.png\)", TEXT)


def test_there_is_something_to_redraw() -> None:
    assert FIGURES


def agree(found: pd.DataFrame, kept: pd.DataFrame) -> None:
    assert [*found.columns] == [*kept.columns]
    for column in kept:
        if kept[column].dtype.kind == "f":
            np.testing.assert_allclose(found[column], kept[column], rtol=1e-3, atol=1e-4, err_msg=column)
        else:
            assert found[column].astype(str).tolist() == kept[column].astype(str).tolist(), column


def redrawn(words: str, name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    assert main([*words.split()[:-1], str(tmp_path)]) == 0
    agree(*(pd.read_csv(folder / f"{name}.csv") for folder in (tmp_path, ROOT / "docs")))
    assert (ROOT / "docs" / f"{name}.png").exists()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_from_the_kept_records(name: str, tmp_path: Path, monkeypatch) -> None:
    commands = re.findall(r"`python -m analysis (verdicts .* --sweep (\w+) --out docs)`", TEXT)
    # A sweep's file, or that of one of its panels: the name of another sweep may begin as this one's does.
    words, _ = max(
        (found for found in commands if name.startswith(f"verdicts_{found[1]}")), key=lambda one: len(one[1])
    )
    redrawn(words, name, tmp_path, monkeypatch)


def test_so_are_the_readmes_first_figure_and_table(tmp_path: Path, monkeypatch) -> None:
    (words,) = re.findall(r"`python -m analysis (overview .* --out docs)`", README)
    redrawn(words, "overview", tmp_path, monkeypatch)
    assert README.splitlines()[0].endswith("(docs/overview.png)")
    rows = pd.read_csv(ROOT / "docs/overview.csv")
    known = {
        f"{100 * row.saving:.1f} % | [{row.difference_low:+.1f}, {row.difference_high:+.1f}] | {row.verdict}"
        for row in rows.itertuples()
    }
    pattern = r"^\| .* \| ([\d.]+ %) \| [\d.]+ \| [+-][\d.]+ (\[.*?\]) \| \*(.*)\* \|$"
    said = [" | ".join(found) for found in re.findall(pattern, README, re.M)]
    assert len(said) == 26
    assert {*said} <= known


def test_so_is_what_can_be_saved(monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    text = " ".join(README.split())
    (words, other) = re.findall(r"`python -m analysis (recommend .* --sweep) (?=cpu_\w+`; or `(cpu_\w+)`)", text)[0]
    pattern = r"(\d+) % of the time on the (\S+), by `(\w+)`"
    said = {network: (saved, way) for saved, network, way in re.findall(pattern, text)}
    for sweep, network in (("cpu_families_resnet", "ResNet-8"), (other, "WRN-10-1")):
        assert main([*words.split(), sweep]) == 0
        way, saved = re.findall(r"\): (\w+) .*? saves (\d+) % of the training time", capsys.readouterr().out)[0]
        assert said.pop(network) == (saved, way)
    assert not said


def test_so_are_the_placebos(monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    text = " ".join(TEXT.split())
    (words,) = re.findall(
        r"`python -m analysis (verdicts [^`]*)`, and with each sweep by itself; the line \*placebos", text
    )
    (said,) = re.findall(r"With 30 seeds they lie at (.*? significant)", text)
    assert main(words.split()) == 0
    assert f"the other budgets: {said}" in " ".join(capsys.readouterr().out.split())


def test_every_sweep_that_is_named_is_there() -> None:
    named = set(re.findall(r"sweeps=(\w+)", TEXT)) | set(re.findall(r"`((?:cpu|figure)\w+)`", TEXT))
    assert named
    assert named <= {*options("sweeps")}


def test_so_is_the_table_of_batch_statistics() -> None:
    networks = {"WRN-10-1": ("wide_resnet", 10), "WRN-16-1": ("wide_resnet", 16), "ResNet-8": ("resnet_cifar", 8)}
    networks |= {"DenseNet-BC-22-8": ("densenet_bc", 22), "VGG small": ("vgg", None)}
    (processor,) = re.findall(r"of an otherwise idle `(.*?)`", TEXT)
    found = {}
    for path in (ROOT / "analysis/records/profiles").glob("*.json"):
        profile = read(path)
        model, bn = profile.conditions["model"], profile.conditions["bn"]
        if profile.device == processor:
            schedule = FreezeOut(t_0=0.8, how_scale="cubic", scale_lr=True).schedule(len(profile.seconds))
            saving = profiled_saving(profile, schedule, 4000)
            share = profile.seconds[-1] / profile.seconds[0]
            found[model["name"], model.get("depth"), bn] = f"{100 * saving:.1f} %", f"{100 * share:.0f} %"
    said = re.findall(r"^  \| (\S.*?) \| ([\d.]+ %) \| ([\d.]+ %) \| (\d+ %) \| (\d+ %) \|$", TEXT, re.M)
    assert [network for network, *_ in said] == [*networks]
    for network, *numbers in said:
        (frozen, step), (training, training_step) = (found[*networks[network], bn] for bn in ("eval", "train"))
        assert numbers == [frozen, training, step, training_step], network
