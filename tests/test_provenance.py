"""Where a result came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from freezeout.run import provenance

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_commit_is_that_of_the_checkout_that_the_package_lies_in(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    provenance.commit.cache_clear()
    assert provenance.commit() == (head, bool(status))
