"""The GPU's half hour: parts that fail, are cut or wait; what the next call does; what the page says."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import archive, page, results, session, state
from benchmarks.gpu.parts import GPU, REHEARSAL, Part, parts
from benchmarks.gpu.results import findings, log_path
from benchmarks.gpu.session import Session
from freezeout.run import choosing, profiling

PASSED = "print('tests/test_a.py::test_one PASSED [ 50%]'); print('tests/test_a.py::test_two[a b] PASSED [100%]')"
FAILED = (
    "print('tests/test_a.py::test_one PASSED [ 50%]'); print('tests/test_a.py::test_two[a b] FAILED [100%]');"
    "print('FAILED tests/test_a.py::test_two[a b] - AssertionError: 3 is not 4'); raise SystemExit(1)"
)
COUNTED = "open({path!r}, 'a').write('x')"


def made(name: str, code: str, minutes: float = 0.01, *, kind: str = "tests", open_ended: bool = False) -> Part:
    return Part(name, kind, ("-c", code), minutes, open_ended)


def call(folder: Path, todo: list[Part], minutes: float = 5.0) -> tuple[list[str], state.State]:
    """One call, in the folder, with its archive beside it."""
    said: list[str] = []
    found = state.read(folder, rehearsal=False)
    deadline = time.monotonic() + session.LAST + 60 * minutes
    kept = folder.parent / "gpu.tar.gz"
    Session(todo, found, folder, kept, environment=os.environ, deadline=deadline, say=said.append).run()
    return said, found


def test_a_failing_part_is_one_line_and_the_next_goes_on(tmp_path) -> None:
    todo = [made("bad", "raise ValueError('no such thing')"), made("worse", FAILED), made("good", PASSED)]
    said, found = call(tmp_path / "out", todo)
    assert [o.status for o in found.parts.values()] == ["failed", "failed", "done"]
    (line,) = [line for line in said if line.startswith("bad: failed")]
    assert line.endswith("ValueError: no such thing")
    assert "Traceback" in (tmp_path / "out/logs/bad.log").read_text()
    text = (tmp_path / "out" / page.FILE).read_text()
    held, missed = text.partition("## Held")[2].split("## MISSED")
    missed, owed = missed.split("## Still owed")
    assert "good: 2 tests passed" in held
    assert "bad: ValueError: no such thing (logs/bad.log); it is tried again" in missed
    assert "worse: tests/test_a.py::test_two[a b]: AssertionError: 3 is not 4" in missed
    assert "Nothing." in owed


def test_what_a_file_of_tests_lacks_costs_that_file_alone_and_a_warning_on_import_nothing(tmp_path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "conftest.py").write_text("import warnings\n\nwarnings.warn('pynvml is deprecated', FutureWarning)\n")
    (tmp_path / "test_a.py").write_text("import no_such_package\n")
    (tmp_path / "test_b.py").write_text("def test_b() -> None:\n    pass\n")
    part = parts(dataclasses.replace(GPU, tests=("test_a.py", "test_b.py")), tmp_path)[0]
    log = log_path(tmp_path, part)
    log.parent.mkdir()
    with log.open("w") as file:
        subprocess.run([sys.executable, *part.words], cwd=tmp_path, stdout=file, stderr=file)
    found = findings(part, tmp_path)
    assert found.line == "1 passed, 1 failed, 0 skipped", log.read_text()
    assert found.missed == ["test_a.py: cannot be collected: see the log"]


def test_an_epoch_says_how_many_of_its_steps_no_graph_replayed() -> None:
    blocks = [{"step_from": 0, "step_to": 500, "graph": 2.0}, {"step_from": 500, "step_to": 512, "forward": 1.0}]
    record = {"steps": 512, "seconds": {"train": 3.0}, "peak_memory": 2**20, "prefixes": blocks}
    said = results._seconds({**record, "device": {"type": "cuda"}})
    assert said == "512 steps in 3.0 s, at most 1 MiB held, 12 of the steps at prefixes too short to be captured"
    assert "captured" not in results._seconds({**record, "device": {"type": "cpu"}})


def test_when_the_minutes_are_over_the_rest_is_owed_and_the_next_call_repeats_nothing(tmp_path) -> None:
    ran = {name: tmp_path / name for name in ("first", "long", "last")}
    code = {name: COUNTED.format(path=str(path)) for name, path in ran.items()}
    todo = [made("first", code["first"]), made("long", code["long"], 7, kind="epoch"), made("last", code["last"])]
    said, found = call(tmp_path / "out", todo, minutes=5)
    assert {name: path.exists() for name, path in ran.items()} == {"first": True, "long": False, "last": True}
    assert any(line.startswith("long: owed, it needs about 7.0 minutes and 5.0 are left") for line in said)
    assert "- long: about 7.0 minutes" in (tmp_path / "out" / page.FILE).read_text()
    _, found = call(tmp_path / "out", todo, minutes=100)
    assert {name: path.read_text() for name, path in ran.items()} == dict.fromkeys(ran, "x")
    assert {o.status for o in found.parts.values()} == {"done"}


def test_the_archive_alone_is_enough_to_go_on_in_an_empty_folder(tmp_path) -> None:
    ran = tmp_path / "ran"
    todo = [made("first", COUNTED.format(path=str(ran))), made("long", PASSED, minutes=50)]
    call(tmp_path / "out", todo)
    archive.unpack(tmp_path / "gpu.tar.gz", tmp_path / "elsewhere/out")
    _, found = call(tmp_path / "elsewhere/out", todo, minutes=100)
    assert ran.read_text() == "x"
    assert [o.status for o in found.parts.values()] == ["done", "done"]


def test_a_part_that_the_end_of_the_minutes_cuts_is_begun_again_when_there_is_more_time(tmp_path) -> None:
    todo = [made("slow", "import time; time.sleep(60)")]
    began = time.monotonic()
    _, found = call(tmp_path / "out", todo, minutes=1 / 60)
    assert time.monotonic() - began < 15
    assert (found.parts["slow"].status, found.parts["slow"].line) == ("cut", "the minutes were over")
    assert found.needed(todo[0], todo) == pytest.approx(1.5 * found.parts["slow"].minutes)
    said, _ = call(tmp_path / "out", todo, minutes=1 / 60)
    assert said[-1].startswith("slow: owed")


def test_a_part_that_hangs_is_stopped_and_the_next_goes_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(session, "PATIENCE", 0.005)
    todo = [made("hung", "import time; time.sleep(60)", minutes=0.001), made("good", PASSED)]
    _, found = call(tmp_path / "out", todo)
    assert [o.status for o in found.parts.values()] == ["failed", "done"]


def test_what_failed_is_tried_again_after_the_others_and_a_sweep_comes_last() -> None:
    todo = [made("sweep", "", open_ended=True), made("failed", ""), made("done", ""), made("new", "")]
    outcomes = {name: state.Outcome(name, "") for name in ("failed", "done")}
    found = state.State(rehearsal=False, parts=outcomes)
    assert [part.name for part in found.waiting(todo)] == ["new", "failed", "sweep"]


def test_what_a_part_should_take_is_mended_by_its_kind() -> None:
    todo = [made("a", "", 2.0), made("b", "", 4.0), made("c", "", 1.0, kind="epoch")]
    outcome = state.Outcome("done", "", minutes=3.0, expected=2.0)
    found = state.State(rehearsal=False, parts={"a": outcome})
    assert [found.needed(part, todo) for part in todo[1:]] == [6.0, 1.0]
    outcome.minutes = 0.1
    assert found.needed(todo[1], todo) == 2.0, "half at least"


@pytest.mark.parametrize("scale", [GPU, REHEARSAL])
def test_a_profile_is_not_taken_to_hang_within_the_time_it_gives_itself(scale) -> None:
    (part, *_) = [part for part in parts(scale, Path("/out")) if part.kind == "profile"]
    allowed = 60 * max(session.PATIENCE, session.HANGS * part.minutes)
    assert allowed >= 1.5 * (profiling.BUDGET + choosing.BUDGET)


def test_a_sweep_is_given_the_minutes_that_are_left(tmp_path) -> None:
    todo = [made("sweep", "import sys; print(sys.argv)", kind="sweep", open_ended=True)]
    call(tmp_path / "out", todo, minutes=8)
    (limit,) = [w for w in eval((tmp_path / "out/logs/sweep.log").read_text()) if w.startswith("limit=")]
    assert 480 - session.GRACE - 5 <= float(limit.removeprefix("limit=")) <= 480 - session.GRACE


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_call_leaves_a_state_that_is_gone_on_with(tmp_path, sent) -> None:
    (tmp_path / "driver.py").write_text(
        "import os, signal, sys, time\nfrom pathlib import Path\n"
        "from benchmarks.gpu import session, state\nfrom benchmarks.gpu.parts import Part\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        "code = \"open('begun', 'w').close(); import time; time.sleep(60)\".replace('begun', sys.argv[2])\n"
        "part = Part('slow', 'tests', ('-c', code), 0.01)\nout = Path(sys.argv[1])\n"
        "found = state.read(out, rehearsal=False)\n"
        "session.Session([part], found, out, out.parent / 'gpu.tar.gz', environment=os.environ,\n"
        "    deadline=time.monotonic() + 300).run()\n"
    )
    begun, out = tmp_path / "begun", tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": str(session.ROOT)}
    words = [sys.executable, str(tmp_path / "driver.py"), str(out), str(begun)]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if begun.exists():
            break
        time.sleep(0.05)
    process.send_signal(sent)
    assert process.wait(20) != 0
    found = state.read(out, rehearsal=False)
    assert (found.parts["slow"].status, found.parts["slow"].line) == ("cut", "interrupted")
    assert "interrupted" in (out / page.FILE).read_text()
    archive.unpack(tmp_path / "gpu.tar.gz", tmp_path / "again")
    assert state.read(tmp_path / "again", rehearsal=False) == found


def test_a_part_that_was_killed_with_its_call_counts_as_cut(tmp_path) -> None:
    state.State(rehearsal=False, parts={"a": state.Outcome("begun", "")}).write(tmp_path)
    assert state.read(tmp_path, rehearsal=False).parts["a"].status == "cut"


def test_results_of_a_rehearsal_are_not_gone_on_with_on_a_gpu(tmp_path) -> None:
    state.State(rehearsal=True).write(tmp_path)
    with pytest.raises(ValueError, match="a rehearsal's results"):
        state.read(tmp_path, rehearsal=False)
    (tmp_path / state.FILE).write_text("[")
    with pytest.raises(ValueError, match="not the state of a GPU session"):
        state.read(tmp_path, rehearsal=False)


def test_the_most_worth_comes_first() -> None:
    names = [part.name for part in parts(GPU, Path("/out"))]
    assert names[:3] == ["tests", "steps-densenet_bc_76_12", "steps-wrn_40_4"]
    kinds = [part.kind for part in parts(GPU, Path("/out"))]
    firsts = [kinds.index(kind) for kind in ("tests", "benchmark", "epoch", "profile", "sweep")]
    assert firsts == sorted(firsts)
    assert kinds[-1] == "sweep"
    assert len(set(names)) == len(names)


def test_every_test_that_needs_a_gpu_is_among_the_tests() -> None:
    marked = {path for path in (session.ROOT / "tests").rglob("test_*.py") if "pytest.mark.gpu" in path.read_text()}
    assert GPU.tests[2:] == GPU.slow_tests[2:]
    assert marked - {session.ROOT / word for word in GPU.tests[2:]} == {Path(__file__)}
