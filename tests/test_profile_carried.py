"""Profiled seconds as the time axis, from the profiles that the records carry themselves."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from configurations import plan_of, start
from made_profiles import run
from made_records import BASELINE, freezeout, shortened, write_manifest

from analysis.__main__ import main
from analysis.comparisons import panels
from analysis.estimates import points
from analysis.judging import judged_panel
from analysis.load import load
from analysis.plots import draw
from analysis.profiles import saving_of
from freezeout.run import expected, identity
from freezeout.savings.caching import Frozen, Tier
from freezeout.savings.profile import Profile


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def carried(root: Path, *, missing: str | None = None) -> None:
    """A sweep whose records have a profiled saving of their own, and one that lacks it where `missing` says so."""
    savings = {"baseline": 0.0, "shortened": 0.0, "freezeout": 0.25}  # against a baseline of as many steps
    entries = []
    for seed in (0, 1):
        for strategy in (BASELINE, shortened(0.5), freezeout(0.5)):
            name = strategy["name"]
            own = None if missing == name and seed == 1 else savings[name]
            clock = {"train": {"baseline": 10.0, "shortened": 5.2, "freezeout": 7.9}[name] + 0.1 * seed}
            saving = {"estimated": None, "predicted": savings[name], "profiled": own}
            entries.append(run(root, strategy, seed, saving=saving, seconds=clock))
    write_manifest(root, entries)


def axes_of(root: Path, out: Path):
    kept: list = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", kept.append)
        draw(judged_panel(panels(load(root))[0]), "saving", out, {})
    plt.close("all")
    return kept[0].axes[0]


def test_profiled_savings_are_the_axis_where_every_run_has_one_with_the_clocks_beside_them(root, tmp_path):
    carried(root)
    axes = axes_of(root, tmp_path)
    assert axes.get_xlabel().endswith("\nprofiled on Xeon 8480, 2 seeds")
    drawn = {tuple(xy.round(6)) for line in axes.lines for xy in line.get_xydata()}
    assert (25.0, 3.0) in drawn
    checks = [line for line in axes.lines if line.get_marker() == "|"]
    assert [line.get_label() for line in checks][:1] == ["the same, measured by the runs' clocks"]
    assert sorted(round(float(line.get_xdata()[0]), 1) for line in checks) == [0.0, 20.9, 47.8]


@pytest.mark.parametrize("missing", ["baseline", "freezeout"])
def test_measured_savings_are_the_axis_where_one_run_lacks_a_profiled_one(root, tmp_path, missing):
    carried(root, missing=missing)
    axes = axes_of(root, tmp_path)
    assert axes.get_xlabel().endswith("\nmeasured on Xeon 8480, 2 seeds")
    assert not [line for line in axes.lines if str(line.get_label()).startswith("the same, measured")]


def test_the_verdict_sets_runs_beside_the_curve_at_the_saving_that_is_drawn(root):
    carried(root)
    # A clock that puts the run outside the curve: by profiled savings it still lies on it.
    for seed in (0, 1):
        run(root, freezeout(0.5), seed, seconds={"train": 1.0}, saving={"profiled": 0.25})
    (panel,) = panels(load(root))
    by_clock = points(panel.runs).set_index("strategy")
    assert by_clock.loc["freezeout", "verdict"] == "outside the curve"
    assert panel.points.set_index("strategy").loc["freezeout", "verdict"] == "under 3 seeds"


def test_of_several_lengths_profiled_savings_are_against_the_longest_as_measured_ones(root):
    profiled = {"estimated": None, "predicted": None, "profiled": 0.2}
    zero = profiled | {"profiled": 0.0}
    short = {"saving": profiled, "epochs": 10, "seconds": {"train": 4.0}}
    write_manifest(root, [run(root, BASELINE, saving=zero), run(root, freezeout(0.5), **short)])
    table = load(root).set_index("strategy")
    assert table.loc["freezeout", ["profiled_saving", "measured_saving"]].tolist() == pytest.approx([0.6, 0.6])


def test_the_table_prints_profiled_savings_beside_measured_ones(root, capsys):
    carried(root)
    assert main(["table", "--runs", str(root)]) == 0
    said = capsys.readouterr().out
    (row,) = [line for line in said.splitlines() if line.startswith("FreezeOut cubic")]
    assert row.split()[-7:] == ["20.9", "25.0", "25.0", "under", "3", "seeds", "+0.00"]
    assert "prof.: from step times on Xeon 8480" in " ".join(said.split())


@pytest.mark.parametrize("bn", ["eval", "reestimate"])
@pytest.mark.parametrize("views", [1, 2])
def test_what_a_run_remembers_is_subtracted_as_it_was_when_it_was_planned(views: int, bn: str) -> None:
    config = start("strategy", "freezeout") | {"epochs": 10, "augment": {"name": "augment", "views": views}}
    config["strategy"]["bn"] = bn
    plan = plan_of(config)
    frozen = Frozen(forward=(2e-4, 1e-4, 1e-4, 1e-4), bytes=(1000, 1000, 500, 100))
    profile = Profile((0.1, 0.08, 0.06, 0.05, 0.04), (0.0,) * 5, frozen, Tier(read=1e-9, write=1e-9))
    segments = plan.schedule.segments(plan.steps)
    record = {
        "config": plan.config_dict,
        "effective": identity.effective(plan),
        "data": plan.outline.sizes,
        "freeze_times": list(plan.schedule.freeze),
        "freeze_steps": plan.schedule.freeze_steps(plan.steps),
        "steps": plan.steps,
        "steps_per_epoch": plan.steps_per_epoch,
        "prefixes": [{"prefix": k, "step_from": a, "step_to": b} for k, a, b in segments],
    }
    expected_saving = expected.saving(plan, plan.steps, profile)["profiled"]
    assert saving_of(record, profile) == pytest.approx(expected_saving)
    without = record | {"effective": record["effective"] | {"cache": None}}
    assert saving_of(record, profile) > saving_of(without, profile) + 0.02


def test_a_profile_of_before_there_was_a_cache_does_not_fit_a_run_with_one() -> None:
    plan = plan_of(start("strategy", "freezeout") | {"epochs": 10, "augment": {"name": "augment", "views": 1}})
    assert expected.saving(plan, plan.steps, Profile((0.1,) * 5))["profiled"] is None
