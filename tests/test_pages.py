"""The pages of docs/: their links lead somewhere, and the sweep file that they show is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for folder in (".", "docs", "examples") for path in (ROOT / folder).glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]*)\)", page.read_text())
    for link in links:
        path, _, part = link.partition("#")
        if not path.startswith("https://"):
            target = page.parent / path if path else page
            assert target.exists(), link
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M) if part else []
            assert not part or part in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, link


def test_every_page_is_found_from_the_first_one() -> None:
    linked = set(re.findall(r"\]\((docs/\w+\.md)\)", (ROOT / "README.md").read_text()))
    assert {str(path.relative_to(ROOT)) for path in PAGES if path.parent.name == "docs"} == linked


def test_the_sweep_file_shown_is_one(freezeout, tmp_path, monkeypatch) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/sweeps.md").read_text(), re.DOTALL)
    path = tmp_path / "own/sweeps/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    made: list = []
    monkeypatch.setattr(
        "freezeout.cli.sweeper.Arms.sweep", lambda self, arguments: made.extend(self.expand(arguments)[0])
    )
    said = freezeout("-m", f"--config-dir={tmp_path / 'own'}", "sweeps=mine", quick=False)
    assert said.code == 0, said.err
    assert len(made) == 8 * 3
