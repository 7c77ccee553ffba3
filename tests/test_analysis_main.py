"""`python -m analysis`: what is drawn, what is printed, what it answers to bad input."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from made_records import BASELINE, freezeout, make_run, make_sweep, write_manifest

from analysis.__main__ import main
from analysis.parser import parser
from analysis.text import PAPER

HOUSE = Path(__file__).parents[1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_sweep(tmp_path / "runs")
    return tmp_path / "runs"


def table(root: Path, *more: str) -> int:
    return main(["table", "--runs", str(root), *more])


def pareto(root: Path, *more: str) -> int:
    return main(["pareto", "--runs", str(root), "--out", str(root.parent / "figures"), *more])


def test_pareto_writes_both_figures_and_the_table_of_runs(root, capsys):
    assert pareto(root) == 0
    written = {path.name for path in (root.parent / "figures").iterdir()}
    figures = ("pareto_smoke_saving", "pareto_smoke_seconds", "verdicts_smoke", "savings_smoke")
    assert written == {f"{name}.{kind}" for name in figures for kind in ("png", "svg", "csv")} | {"runs.csv"}
    out = capsys.readouterr().out
    assert all(name in out for name in written)


def test_one_x_can_be_chosen(root):
    pareto(root, "--x", "seconds")
    assert not (root.parent / "figures" / "pareto_smoke_saving.png").exists()


def test_it_says_that_smoke_data_settles_nothing_and_how_far_one_run_may_err(root, capsys):
    table(root)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Smoke data"))
    assert "360 test images are too few" in line
    assert line.endswith("(standard error of one run at 3.2 %: 0.9 points).")


def test_a_large_evaluation_set_is_not_called_small(root, capsys):
    data = {"name": "cifar10", "validation": 5000, "test": 10000, "synthetic": False}
    make_sweep(root, data=data)
    table(root)
    assert "images are too few" not in capsys.readouterr().out


def test_the_table_has_one_row_per_configuration_in_at_most_100_columns(root, capsys):
    table(root)
    out = capsys.readouterr().out
    lines = out[: out.index("next:")].splitlines()
    assert max(map(len, lines)) <= PAPER
    (row,) = [line for line in lines if line.startswith("FreezeOut cubic scaled") and "t_0=0.5" in line]
    assert row.split()[3:5] == ["t_0=0.5", "3"]
    assert not (root.parent / "figures").exists()


def test_the_table_fits_the_terminal_with_every_configuration_in_it(root, capsys, monkeypatch):
    for columns in (60, 75, 130):
        monkeypatch.setenv("COLUMNS", str(columns))
        table(root)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines[: lines.index("next:")])) <= columns
        assert all(any(f"t_0={t_0}" in line for line in lines) for t_0 in (0.3, 0.5, 0.8))


def test_a_diverged_seed_stays_in_the_table_and_its_configuration_is_not_better(root, capsys):
    lost = [make_run(root, freezeout(0.9), s, status="failed", diverged=True, error=None) for s in (0, 1)]
    write_manifest(root, [*make_sweep(root), make_run(root, freezeout(0.9), 2, error=0.1), *lost])
    table(root)
    said = capsys.readouterr().out
    (row,) = [line for line in said.splitlines() if "t_0=0.9" in line]
    assert "1 of 3, 2" in row
    assert "better" not in row
    assert "left out: 2 runs, diverged" in said
    assert "a configuration with a diverged seed is never better" in " ".join(said.split())


def test_two_sweeps_are_compared_in_one_plot_and_its_csv_names_them(root, tmp_path):
    write_manifest(root, [make_run(root, BASELINE), make_run(root, freezeout(0.5), 7)], "later")
    assert pareto(root, "--sweep", "smoke", "--sweep", "later", "--x", "saving") == 0
    written = pd.read_csv(root.parent / "figures" / "pareto_smoke+later_saving.csv")
    assert {"FreezeOut cubic scaled (smoke)", "FreezeOut linear unscaled"} <= set(written["series"])
    assert written.set_index("series").loc["baseline", "sweep"] == "smoke+later"
    assert set(pd.read_csv(root.parent / "figures" / "runs.csv")["sweep"]) == {"smoke", "later", "smoke+later"}


def test_one_wrong_sweep_of_two_is_refused(root, capsys):
    for command in ("table", "status"):
        assert main([command, "--runs", str(root), "--sweep", "smoke", "--sweep", "smok"]) == 2
        assert "--sweep smok: no such sweep in the records; did you mean smoke?" in capsys.readouterr().err


def test_hints_name_the_program_as_it_was_started(root, capsys):
    table(root)
    assert f"python -m analysis status --runs {root}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "usage: python -m analysis " in capsys.readouterr().out


def test_what_it_offers_next_can_be_done_here(root, capsys):
    """Not a sweep on files that nobody has, not the one that is drawn, and no W&B log where there is none."""
    table(root)
    offered = capsys.readouterr().out.partition("next:")[2]
    assert {"sweeps=digits", "sweeps=does_it_pay"} < {*offered.split()}
    assert "sweeps=cpu_" not in offered
    assert "wandb" not in offered
    (root / "wandb").mkdir()
    make_sweep(root, sweep="digits-1f2e3d")
    table(root)
    offered = capsys.readouterr().out.partition("next:")[2]
    assert "sweeps=digits" not in offered
    assert f"wandb leet {root}/wandb" in offered


def test_where_no_run_has_seconds_of_its_own_it_says_what_draws_the_figures(tmp_path, capsys):
    make_sweep(tmp_path, shared_device=True)
    assert main(["pareto", "--runs", str(tmp_path), "--out", str(tmp_path / "figures")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "smoke: no figure of error over saving or seconds, since no run has a usable one" in said
    (command,) = re.findall(r"python -m (freezeout.predict --measure model=.*? strategy=baseline .*?) out=(\S+)", said)
    assert command[1] == str(tmp_path)


def test_long_names_are_wrapped_not_cut(root, capsys):
    entry = make_run(root, freezeout(0.5), setting_id="g")
    entry["label"]["a_long_key_of_the_users_own"] = "with a long value of its own, longer than a column"
    write_manifest(root, [entry], "long")
    table(root, "--sweep", "long")
    out = capsys.readouterr().out
    assert max(map(len, out[: out.index("next:")].splitlines())) <= PAPER
    assert "longer than a" in out


def test_what_is_left_out_is_counted_with_its_reason(root, capsys):
    entries = [make_run(root, freezeout(0.9), seed, status="failed", reason="the loss is NaN") for seed in (0, 1)]
    entries.append(make_run(root, freezeout(0.1), repeated_seconds=5.0))
    entries.append({"run_id": "ffff-0", "seed": 0, "label": {"strategy": BASELINE}})
    write_manifest(root, entries, "more")
    table(root)
    lines = capsys.readouterr().out.splitlines()
    assert "left out: 2 runs, failed" in lines
    assert "left out: 1 run, missing: not started, or still running" in lines
    assert "left out of savings only: 1 run, no finished baseline of its seed" in lines


def test_status_counts_and_gives_the_reason_of_each_failure(root, capsys):
    lost = make_run(root, freezeout(0.7), status="failed", reason="the loss is NaN", diverged=True, error=None)
    failed = make_run(root, freezeout(0.9), status="failed", reason="the loss is NaN in step 7")
    cut = make_run(root, freezeout(0.8, "linear"), status="interrupted", reason="SIGTERM")
    missing = {"run_id": "ffff-0", "seed": 0, "label": {"strategy": BASELINE}}
    write_manifest(root, [failed, lost, cut, missing], "more")
    assert main(["status", "--runs", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == "sweep runs done running failed diverged interrupted missing spent"
    more, smoke = (line.split() for line in lines[2:4])
    assert more == ["more", "4", "0", "0", "1", "1", "1", "1", "36", "s"]
    assert smoke[:8] == ["smoke", "30", "30", "0", "0", "0", "0", "0"]
    assert any(lost["run_id"] in line and line.endswith("diverged: the loss is NaN") for line in lines)
    assert any(failed["run_id"] in line and line.endswith("failed: the loss is NaN in step 7") for line in lines)


@pytest.mark.parametrize("command", ["pareto", "table", "status"])
def test_no_runs_is_one_line_on_stderr_and_exit_code_2(tmp_path, capsys, command):
    for folder in (tmp_path / "nowhere", tmp_path):
        assert main([command, "--runs", str(folder)]) == 2
        streams = capsys.readouterr()
        assert streams.err.count("\n") == 1
        assert str(folder) in streams.err
        assert "python -m freezeout -m sweeps=digits" in streams.err


@pytest.mark.parametrize("there", [False, True])
def test_where_there_are_no_runs_the_kept_records_are_offered_and_not_shown(tmp_path, capsys, monkeypatch, there):
    kept = tmp_path / "here" / "analysis" / "records"
    monkeypatch.setattr("analysis.load.RECORDS", kept)
    kept.parent.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    if there:
        make_sweep(kept)
    assert main(["verdicts"]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    first = "analysis: --runs runs: there is no such folder; `python -m freezeout -m sweeps=digits out=runs` makes one"
    more = "; --runs analysis/records shows the records that come with the program"
    assert streams.err == f"{first}{more if there else ''}\n"
    assert main(["verdicts", "--runs", str(kept)]) == (0 if there else 2)


def takes_runs() -> list[str]:
    """The commands that take a folder of records."""
    (commands,) = [action.choices for action in parser()._actions if action.dest == "command"]
    return [name for name, command in commands.items() if "--runs" in command.flags]


@pytest.mark.parametrize("command", takes_runs())
def test_a_file_instead_of_the_folder_of_records_is_called_one_and_its_folder_is_named(tmp_path, capsys, command):
    file = tmp_path / "kept" / "digits.jsonl"
    file.parent.mkdir()
    file.write_text("{}\n")
    with pytest.raises(SystemExit) as stop:
        main([command, "--runs", str(file)])
    said = f"analysis {command}: --runs: {file}: is a file; give its folder: --runs {file.parent}\n"
    assert (stop.value.code, capsys.readouterr().err) == (2, said)


def test_the_record_of_a_run_is_two_folders_below_the_folder_of_records(root, capsys, monkeypatch):
    folder = next(root.glob("*/0"))
    monkeypatch.chdir(folder)
    for file, runs in ((folder / "record.json", root), ("record.json", "../..")):
        with pytest.raises(SystemExit):
            main(["table", "--runs", str(file)])
        assert capsys.readouterr().err.endswith(f"give its folder: --runs {runs}\n")


def test_only_left_out_runs_are_counted_before_the_line_that_nothing_can_be_drawn(tmp_path, capsys):
    make_run(tmp_path, BASELINE, status="failed", reason="no memory")
    assert pareto(tmp_path) == 2
    streams = capsys.readouterr()
    assert "left out: 1 run, failed" in streams.out
    assert "the only run is left out" in streams.err


def test_an_unknown_sweep_is_answered_with_the_nearest_and_the_rest(root, capsys):
    assert pareto(root, "--sweep", "smok") == 2
    assert "did you mean smoke?" in capsys.readouterr().err


def test_a_full_disk_is_one_line_that_names_the_option_and_the_file(root, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    assert pareto(root) == 2
    path = root.parent / "figures/pareto_smoke_saving.csv"
    said = f"analysis: --out {path.parent}: cannot write {path} (No space left on device)\n"
    assert capsys.readouterr().err == said


def test_the_analysis_loads_no_torch_hydra_omegaconf_or_wandb(root):
    code = (
        "import sys; from analysis.__main__ import main\n"
        f"assert main(['pareto', '--runs', {str(root)!r}, '--out', {str(root.parent / 'figures')!r}]) == 0\n"
        "print(sorted({'torch', 'hydra', 'omegaconf', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_interrupted_it_is_one_line(root, monkeypatch, capsys):
    from analysis.commands import COMMANDS

    def stop(chosen):
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "table", stop)
    assert table(root) == 130
    assert capsys.readouterr().err == "analysis: interrupted; files that were written are whole\n"


@pytest.mark.parametrize("words", ["pareto", "verdicts", "report", "overview"])
def test_a_folder_that_cannot_be_one_is_refused_before_anything_is_read(words, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        main([words, "--runs", "nowhere", "--out", str(tmp_path / "file")])
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--out: {tmp_path / 'file'}: cannot write there ({tmp_path / 'file'} is not a folder)" in line


def test_where_no_run_errs_the_smallest_step_is_said(root, capsys):
    make_sweep(root, error=0.0)
    table(root)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Smoke data"))
    assert line.endswith("(one image is 0.3 points).")


def test_a_list_of_runs_that_cannot_be_read_is_named_and_is_no_run(root, capsys):
    (root / "sweeps" / "mine.json").write_text("{")
    table(root)
    out = capsys.readouterr().out
    assert (
        f"{root / 'sweeps' / 'mine.json'}: not a list of runs; the runs of this sweep are taken as runs of none" in out
    )
    assert "unreadable" not in out
