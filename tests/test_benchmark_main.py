"""The benchmark as a command: mistakes are one line before anything is timed, and --strict fails on a missed bound."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from made_benchmarks import made_results

from benchmarks.__main__ import main

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--networks wrn_10_2", "wrn_10_2"),
        ("--rounds 0", "--rounds 0: must be at least 1"),
        ("--run-steps 9", "--run-steps 9: must be at least 10"),
        ("--budget nan", "--budget nan: must be at least 0"),
        ("--rounds many", "--rounds: invalid int value: 'many'"),
        ("--frozen 0 1", "--frozen 1: must be at least 0 and less than 1"),
        ("--frozen nan", "--frozen nan: must be at least 0 and less than 1"),
        ("--precision tf32", "a CPU has no tf32"),
        ("--device gpu", "--device gpu: unknown; did you mean cpu? Available: cpu, cuda"),
        ("--bursts 3", "--bursts: unknown; did you mean --burst?"),
        (
            "--networks wrn_10_1 --compiled wrn_10_2",
            "--compiled wrn_10_2: not among the networks; did you mean wrn_10_1?",
        ),
        ("--cached resnet56", "--cached resnet56: not among the networks"),
        ("--cache-epoch 0", "--cache-epoch 0: must be at least 1"),
        ("--parts caches", "--parts caches: unknown; did you mean cache?"),
        ("--parts cache --networks wrn_16_4", "--parts cache: none of the networks is --cached"),
        ("--parts cache --run-rounds 0", "--run-rounds 0: --parts steps must be measured then"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_timed(tmp_path, capsys, words: str, said: str) -> None:
    try:
        code = main([*words.split(), "--out", str(tmp_path / "out")])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("benchmarks: ")
    assert said in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys) -> None:
    (tmp_path / "file").touch()
    assert main(["--networks", "wrn_10_1", "--out", str(tmp_path / "file" / "out")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_strict_fails_on_a_missed_bound(tmp_path, monkeypatch) -> None:
    results = made_results("cpu")
    monkeypatch.setattr("benchmarks.suite.run", lambda *_: results)
    for ok, code in ((True, 0), (False, 1)):
        results["bounds"] = [{"ok": ok}]
        assert main(["--strict", "--out", str(tmp_path)]) == code
    assert main(["--out", str(tmp_path)]) == 0


def test_what_was_given_takes_the_place_of_the_devices_settings(tmp_path, monkeypatch) -> None:
    asked = {}
    monkeypatch.setattr("benchmarks.suite.run", lambda *arguments: asked.update(given=arguments) or {"bounds": []})
    main(["--networks", "vgg_small", "--compiled", "--burst", "7", "--rounds", "2", "--out", str(tmp_path)])
    settings, out, command = asked["given"]
    assert (settings.networks, settings.compiled) == (("vgg_small",), ())
    assert (settings.burst, settings.rounds, settings.min_rounds, settings.batch) == (7, 2, 2, 50)
    assert out == tmp_path
    assert command[:5] == ["python", "-m", "benchmarks", "--networks", "vgg_small"]


def test_an_interrupted_benchmark_says_where_its_results_are(tmp_path, monkeypatch, capsys) -> None:
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.suite.run", interrupted)
    assert main(["--out", str(tmp_path)]) == 130
    assert str(tmp_path) in capsys.readouterr().err


def test_help_and_mistakes_in_flags_wait_for_no_torch() -> None:
    code = (
        "import sys\nfrom benchmarks.__main__ import main\n"
        "print(main(['--rounds', '0']), *{m.split('.')[0] for m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    status, *loaded = done.stdout.split()
    assert status == "2"
    assert not {"torch", "matplotlib", "pandas"} & set(loaded)
