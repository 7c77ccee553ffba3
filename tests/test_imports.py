"""A user's function is found and called, or refused in one line that names the key, the target and the user's line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from freezeout.imports import blame, call, find_function, find_module, imported_beside

FUNCTIONS = """
def add(a, b=2):
    return a + b

def anything(**rest):
    return rest

def missing_key():
    return {}["x"]

def two_lines():
    raise RuntimeError("first line\\nsecond line")

def silent():
    raise RuntimeError

def leave():
    raise SystemExit(2)

def lazily():
    import no_such_package

def broken_below():
    return int("three")

_private = len
number = 3
"""

# Files that cannot be imported, and what importing them raises.
BROKEN = {
    "SyntaxError: expected ':' (broken.py, line 1)": "def build(classes)\n    return None\n",
    "ZeroDivisionError: division by zero (in its line 3)": "\n\nratio = 1 / 0\n",
    "SystemExit: 3 (in its line 2)": "import sys\nsys.exit(3)\n",
}


@pytest.fixture(autouse=True)
def _working_directory(tmp_path, monkeypatch):
    """An empty working directory with a module `functions` in it, which sys.path does not have yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    Path("functions.py").write_text(FUNCTIONS)
    yield
    for name in ("functions", "broken"):
        sys.modules.pop(name, None)


def refusal(target: str, **arguments) -> str:
    with pytest.raises(ValueError, match=r"\S") as refused:
        call("model.target", target, arguments)
    said = str(refused.value)
    assert "\n" not in said
    assert said.startswith(f"model.target={target}: ")
    return said.removeprefix(f"model.target={target}: ")


def test_a_function_beside_the_user_is_called_with_the_arguments():
    assert call("model.target", "functions:add", {"a": 1}) == 3
    assert call("model.target", "functions:add", {"a": 1, "b": 1}) == 2
    assert find_function("model.target", "functions:add")(1) == 3
    assert find_module("model.target", "functions:add").number == 3


def test_an_argument_may_have_any_name():
    names = {"key": 1, "target": 2, "arguments": 3}
    assert call("model.target", "functions:anything", names) == names


def test_what_is_installed_wins_over_a_file_of_the_same_name(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    Path("colorsys.py").write_text("raise RuntimeError")
    assert find_function("model.target", "colorsys:rgb_to_hls")


def test_a_module_that_is_not_there_is_named_with_a_remedy():
    said = refusal("no_such_module:build")
    assert said == ("cannot import no_such_module (No module named 'no_such_module'): install it or run in its folder")


@pytest.mark.parametrize("reason", BROKEN)
def test_a_module_that_cannot_be_imported_is_named_with_its_error_and_line(reason):
    Path("broken.py").write_text(BROKEN[reason])
    assert refusal("broken:build") == f"importing broken raised {reason}"


def test_a_wrong_function_name_is_answered_with_the_most_similar_and_with_all_public_ones():
    said = refusal("functions:ad")
    assert said.startswith("functions has no function ad; did you mean add? Available: add, anything, ")
    assert "_private" not in said
    assert refusal("functions:number").startswith("functions has no function number. Available: add, ")


@pytest.mark.parametrize(
    ("target", "arguments", "said"),
    [
        ("functions:add", {}, "called with no arguments: missing a required argument: 'a'; its arguments: a, b"),
        (
            "functions:add",
            {"a": 1, "c": 3},
            "called with a, c: got an unexpected keyword argument 'c'; its arguments: a, b",
        ),
        ("functions:leave", {"a": 1}, "called with a: got an unexpected keyword argument 'a'; its arguments: none"),
        ("builtins:max", {"a": 1}, "called with a: no signature found for builtin <built-in function max>"),
    ],
)
def test_arguments_that_do_not_fit_are_named_beside_those_that_would(target, arguments, said):
    assert refusal(target, **arguments) == f"cannot be {said}"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("missing_key", "KeyError: 'x' (in its line 9)"),
        ("two_lines", "RuntimeError: first line (in its line 12)"),
        ("silent", "RuntimeError (in its line 15)"),
        ("leave", "SystemExit: 2 (in its line 18)"),
        ("lazily", "ModuleNotFoundError: No module named 'no_such_package' (in its line 21)"),
        ("broken_below", "ValueError: invalid literal for int() with base 10: 'three' (in its line 24)"),
    ],
)
def test_whatever_a_function_raises_is_one_line_with_the_users_line(function, said):
    assert refusal(f"functions:{function}") == f"raised {said}"


def test_the_original_error_is_kept_as_the_cause():
    with pytest.raises(ValueError, match="raised KeyError") as refused:
        call("model.target", "functions:missing_key", {})
    assert isinstance(refused.value.__cause__, KeyError)


def test_an_interrupt_is_not_taken_for_the_users_error():
    Path("broken.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        find_module("model.target", "broken:build")


def test_an_error_from_elsewhere_has_no_line_of_the_users():
    assert blame(KeyError("x"), "functions") == "KeyError: 'x'"


def test_the_files_that_a_users_module_imports_beside_it_are_found_and_nothing_else(tmp_path):
    """They are part of the network: a run that was made before one of them was edited is another run."""
    files = {
        "net.py": "import torch, freezeout\nfrom layers import Block\nimport nested.deep\ndef build(): import late",
        "layers.py": "from kinds import *",
        "kinds.py": "import net",
        "late.py": "def (",
        "nested/deep.py": "",
        "other.py": "",
        "freezeout.py": "",
        "package/__init__.py": "",
        "package/net.py": "from . import one\nfrom .two import x",
        "package/one.py": "",
        "package/two.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def beside(name: str, module: str) -> list[str]:
        return [str(path.relative_to(tmp_path)) for path in imported_beside(tmp_path / name, module)]

    assert beside("net.py", "net") == ["kinds.py", "late.py", "layers.py", "nested/deep.py"]
    assert beside("package/net.py", "package.net") == ["package/__init__.py", "package/one.py", "package/two.py"]
    assert beside("other.py", "other") == []
