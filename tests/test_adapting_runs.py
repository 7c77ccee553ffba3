"""Runs of adaptive strategies: stopped and resumed, recorded, and refused where freeze steps must be known."""

from __future__ import annotations

import math
import signal

import pytest
import torch
from configurations import plan_of, start
from launched import comparable, impatient, only_run
from made_adapting import every
from made_records import find_records

from analysis.__main__ import main
from freezeout import predict, records
from freezeout.adaptive import ADAPTIVE
from freezeout.run import expected, runner
from freezeout.run.assemble import assemble
from freezeout.savings.cost import predicted_saving
from freezeout.savings.profile import Profile, profiled_saving
from freezeout.schedule import Schedule

RUNS = {
    "autofreeze": ["strategy=autofreeze", "strategy.intervals=9"],
    "weight_delta": ["strategy=weight_delta", "strategy.intervals=9", "strategy.threshold=0.12"],
}


@every
@pytest.mark.parametrize(
    ("after", "machine"),
    [
        pytest.param(20, "machine.run_ahead=5", id="within an interval"),
        pytest.param(56, "machine.run_ahead=1", id="where an epoch ends", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    freezeout, tmp_path, monkeypatch, name: str, after: int, machine: str
) -> None:
    words = [*RUNS[name], machine, "epochs=4", "model=wide_resnet", "model.depth=10", "model.dropout=0.3"]
    assert freezeout(*words, "out=whole").code == 0
    with monkeypatch.context() as patched:
        patched.setattr(runner, "Stop", impatient(after))
        assert freezeout(*words, "out=parts").code == 128 + signal.SIGINT
    interrupted = records.read_record(only_run(tmp_path / "parts"))
    assert interrupted["flops"] is None
    assert {*interrupted["saving"].values()} == {None}, "not known before the end"
    assert freezeout(*words, "out=parts").code == 0
    folders = [only_run(tmp_path / out) for out in ("whole", "parts")]
    one, other = (records.read_record(folder) for folder in folders)
    assert one["freeze_steps"][0] is not None
    assert comparable(other) == comparable(one)
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True)["model"] for f in folders)
    assert all(torch.equal(a[key], b[key]) for key in a)


@every
def test_what_froze_when_is_in_the_record_and_gives_the_saving_afterwards(
    name: str, freezeout, tmp_path, capsys
) -> None:
    said = freezeout(*RUNS[name], "epochs=4")
    assert said.code == 0, said.err
    ((folder, record),) = find_records(tmp_path / "runs")
    steps = record["freeze_steps"]
    assert steps[0] is not None
    assert steps[-1] is None
    ends = {math.ceil(k * 112 / 9) for k in range(1, 9)}
    assert {step for step in steps if step is not None} <= ends
    assert [stage["freeze_step"] for stage in record["stages"]] == steps
    first = {block["prefix"]: block["step_from"] for block in reversed(record["prefixes"])}
    assert {*first.values()} == {0, *(step for step in steps if step is not None)}, "the blocks say the same"
    schedule = Schedule(freeze=tuple(record["freeze_times"]), anneal=(1.0,) * 5)
    plan = plan_of(record["config"] | {"epochs": 4})
    assert record["saving"]["predicted"] == pytest.approx(predicted_saving(plan.costs, schedule, 112))
    assert record["flops"]["run"] == (1 - record["saving"]["predicted"]) * 112 * record["flops"]["step"]
    assert f"{100 * record['saving']['predicted']:.1f} % saved by counted FLOPs" in said.out
    profile = Profile((0.1, 0.08, 0.06, 0.05, 0.04), (0.0,) * 5)
    assert expected.saving(plan, 112, profile, schedule)["profiled"] == profiled_saving(profile, schedule, 112)
    assert {*expected.saving(plan, 112, profile).values()} == {None}
    assert main(["timeline", str(folder), "--out", str(tmp_path / "figures")]) == 0
    rows = (tmp_path / "figures" / f"timeline_{record['run_id']}.csv").read_text().splitlines()
    assert [int(row.split(",")[0]) for row in rows[1:]] == sorted(first)


@every
def test_predict_says_in_one_line_that_it_depends_on_the_data(name: str, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["predict", f"strategy={name}", "model=wrn_10_1"])
    predict.main()
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.endswith("the freeze times, and so the saving, depend on the data; the run's record has them\n")


@every
def test_what_is_planned_by_freeze_steps_is_off_or_refused_in_one_line(name: str, freezeout) -> None:
    said = freezeout(f"strategy={name}", "augment.views=2")
    assert said.code == 2
    assert said.err.startswith(
        f"freezeout: augment.views=2: views begin at the first freeze, which for strategy {name} "
    )
    assert said.err.count("\n") == 1
    config = start("strategy", name)
    views = {"name": "augment", "views": 2, "views_from": 0.5}
    assert plan_of(config | {"augment": views}).remember is None
    cached = plan_of(config | {"augment": views, "machine": config["machine"] | {"cache": True}})
    training = assemble(cached)
    assert training.cache is None
    assert any("its freeze times depend on the data" in line for line in runner.notes(cached, training))


@every
def test_every_option_has_its_defaults_in_the_file_and_the_class(name: str) -> None:
    from freezeout.naming import option_of
    from freezeout.run.config import to_dict
    from freezeout.run.overrides import compose_all

    (config,) = compose_all([f"strategy={name}"])
    assert config.strategy == ADAPTIVE[name]()
    assert option_of("strategy", to_dict(config)) == (name, {})
