"""Finds and calls the user's functions, named in a configuration as `package.module:function`, and reports whatever
they raise in one line. Standard library only."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from freezeout.checks import nearest


def find_module(key: str, target: str) -> ModuleType:
    """Imports the module of a target. The working directory counts as importable, after everything else.

    Args:
        key: Configuration key that names the target, for error messages: "model.target".
        target: `package.module:function`; the function is not looked for.

    Returns:
        The imported module.

    Raises:
        ValueError: It cannot be found, or importing it raises anything.
    """
    name = target.partition(":")[0]
    if os.getcwd() not in sys.path:  # `python -m` puts it there, a console script does not
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{key}={target}: cannot import {name} ({error}): install it or run in its folder") from error
    except (Exception, SystemExit) as error:  # the user's code may raise anything; a script may end the program
        raise ValueError(f"{key}={target}: importing {name} raised {blame(error, name)}") from error


def imported_beside(file: Path, module: str) -> list[Path]:
    """The files that a user's module imports, directly or through others, from the folder that it was imported from.

    The files are parsed, not run. Installed packages and this program are not included.

    Args:
        file: The module's file.
        module: Its name, `package.module`.

    Returns:
        The files other than `file`, sorted.
    """
    if {"site-packages", "dist-packages"} & set(file.parts):
        return []
    root = file.parents[module.count(".") + (file.name == "__init__.py")]
    found, todo = {file}, [file]
    while todo:
        one = todo.pop()
        names = _imported(one.read_bytes(), one.relative_to(root).parent.parts)
        places = (root.joinpath(*parts) for parts in names if parts[0] != "freezeout")
        files = {path for place in places for path in (place.with_suffix(".py"), place / "__init__.py")}
        new = {path for path in files - found if path.is_file()}
        found |= new
        todo += new
    return sorted(found - {file})


@lru_cache(maxsize=256)
def _imported(source: bytes, package: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """The names that a file of a package imports, and the packages that contain them; for `from a import b` also a.b.

    Cached, since every job of a sweep asks for the same files, and parsing a file takes much longer than reading it.
    """
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # importing it will say so
        return frozenset()
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = package[: len(package) - node.level + 1] if node.level else ()
            names += [".".join((*inside, *filter(None, [node.module]), alias.name)) for alias in node.names]
    split = [tuple(name.split(".")) for name in names]
    return frozenset(parts[:i] for parts in split for i in range(1, len(parts) + 1))


def find_function(key: str, target: str) -> Callable[..., Any]:
    """The function that a target names.

    Args:
        key: Configuration key that names the target, for error messages: "model.target".
        target: `package.module:function`.

    Returns:
        The function, or any other callable of that name.

    Raises:
        ValueError: Its module cannot be imported or has no such function.
    """
    module = find_module(key, target)
    name = target.partition(":")[2]
    function = getattr(module, name, None)
    if not callable(function):
        known = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        raise ValueError(f"{key}={target}: {module.__name__} has no function {name}{nearest(name, known)}")
    return function


def call(key: str, target: str, arguments: Mapping[str, Any]) -> Any:
    """Finds the function that a target names and calls it.

    Args:
        key: Configuration key that names the target, for error messages: "model.target".
        target: `package.module:function`.
        arguments: Its keyword arguments.

    Returns:
        What it returns.

    Raises:
        ValueError: It cannot be found, takes other arguments, or raises anything.
    """
    function = find_function(key, target)
    given = ", ".join(arguments) or "no arguments"
    try:
        signature = inspect.signature(function)
    except ValueError as error:  # some functions written in C do not have one
        raise ValueError(f"{key}={target}: cannot be called with {given}: {error}") from error
    try:
        signature.bind(**arguments)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "none"
        raise ValueError(f"{key}={target}: cannot be called with {given}: {error}; its arguments: {takes}") from error
    try:
        return function(**arguments)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{key}={target}: raised {blame(error, target.partition(':')[0])}") from error


def blame(error: BaseException, module: str) -> str:
    """One line about an error that the user's code raised.

    Args:
        error: What was raised.
        module: Name of the user's module.

    Returns:
        The error's type, the first line of its message and, where code of `module` was running, its last line that
        ran: "KeyError: 'x' (in its line 8)".
    """
    lines = [n for frame, n in traceback.walk_tb(error.__traceback__) if frame.f_globals.get("__name__") == module]
    what = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
    return f"{what} (in its line {lines[-1]})" if lines else what
