"""The report in a real browser: it asks for nothing, complains of nothing, fits a phone, and its controls work."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import BASELINE, freezeout, make_run, shortened, write_manifest
from made_traces import BASE, traced
from made_verdicts import curve

from analysis.report.page import write_report

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = [
    *(name for name, path in (("chromium", BROWSER), ("chromedriver", DRIVER)) if path is None),
    *(name for name in ("selenium", "altair", "vl_convert", "jinja2") if importlib.util.find_spec(name) is None),
]
if not MISSING:
    from selenium.webdriver.support.ui import Select, WebDriverWait
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]
DESKTOP, PHONE = 1280, 360
LAYERS = {"name": "layer_freezing", "epochs": 20, "freeze_start": 0.5, "freeze_level": 1.0, "bn": "train"}
ARMS = ((freezeout(0.5), 0.25, 0.05), (freezeout(0.8), 0.12, -0.05), (freezeout(0.5, "linear", False), 0.2, 0.0))
WIDE, VGG = {"name": "wide_resnet", "depth": 10, "widen": 1, "dropout": 0.0}, {"name": "vgg_small"}
PANELS = ((WIDE, "cifar10"), (WIDE, "digits"), (VGG, "cifar10"))  # only the first has layer_freezing


def make_panel(root: Path, i: int, model: dict[str, Any], data: str) -> list[dict[str, Any]]:
    arms = [(BASELINE if b == 1.0 else shortened(b), 1 - b, 0.0) for b in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)]
    arms += [*ARMS, *([(LAYERS, 0.15, 0.02)] if i == 0 else [])]
    rng, entries = np.random.default_rng(i), []
    for seed in range(3):
        for strategy, saving, effect in arms:
            is_curve = strategy["name"] in ("baseline", "shortened")
            steps = round(560 * (1 - saving)) if is_curve else 560
            keys = traced(BASELINE if is_curve else strategy, steps=steps)
            keys |= {
                "setting_id": f"panel{i}",
                "steps": steps,
                "error": float(np.exp(curve(1 - saving) + effect + rng.normal(0, 0.004))),
                "config": {
                    "seed": seed,
                    "epochs": 20,
                    "model": model,
                    "dataset": {"name": data},
                    "strategy": strategy,
                    "optimizer": {"name": "sgd", "lr": BASE},
                },
                "data": {"name": data, "fingerprint": "f", "validation": 0, "test": 10_000, "synthetic": False},
                "seconds": {"train": 5.6 * (1 - saving), "total": 7.0},
                "saving": {"estimated": None, "predicted": 0.0 if is_curve else saving, "profiled": None},
                "wandb": {"id": f"log-{i}-{seed}" if i < 2 else "<b>log</b>"},
            }
            entries.append(make_run(root, strategy, seed, **keys))
    return entries


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("report")
    write_manifest(
        root / "runs", [run for i, panel in enumerate(PANELS) for run in make_panel(root / "runs", i, *panel)]
    )
    return write_report(root / "runs", root, tolerance=0.03)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page in the browser, as a user sees it."""

    def __init__(self, driver: Any, path: Path, width: int = DESKTOP, scheme: str = "light") -> None:
        self.driver = driver
        self.logs()  # what a page before it left
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.get(path.as_uri())
        self.run("window.dispatchEvent(new Event('beforeprint'))")  # draws all of it
        self.settled()

    def run(self, script: str, *words: Any) -> Any:
        return self.driver.execute_script(script, *words)

    def logs(self) -> tuple[list[str], list[str]]:
        """Complaints of the console and addresses that were asked for, since the last call."""
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return said, [url for url in sent if not url.startswith(("file:", "data:"))]

    def settled(self) -> None:
        """Wait until every chart that is wanted is drawn."""
        WebDriverWait(self.driver, 30).until(lambda _: self.run("return document.body.dataset.busy === '0'"))

    def marks(self, panel: int, name: str) -> list[Any]:
        """The marks of one layer of a panel's charts."""
        found = self.driver.find_elements("css selector", f"#panel-{panel} .{name}_marks > *")
        return [mark for mark in found if mark.tag_name in ("path", "text", "line")]

    def labels(self, panel: int, name: str) -> list[str]:
        return [mark.get_attribute("aria-label") or mark.text for mark in self.marks(panel, name)]

    def choose(self, selector: str, value: str) -> None:
        Select(self.driver.find_element("css selector", selector)).select_by_visible_text(value)
        self.settled()

    def panels(self) -> list[int]:
        shown = self.driver.find_elements("css selector", ".panel")
        return [i for i, panel in enumerate(shown) if panel.is_displayed()]

    def hover(self, mark: Any) -> str:
        """What the tooltip says over a mark."""
        self.run("arguments[0].scrollIntoView({block: 'center'})", mark)
        box = self.run(
            "const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]", mark
        )
        for dx in (-3, 0):
            where = {"type": "mouseMoved", "x": box[0] + dx, "y": box[1]}
            self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", where)
        tip = WebDriverWait(self.driver, 5).until(
            lambda driver: driver.find_elements("css selector", "#vg-tooltip-element.visible")
        )
        return tip[0].text


@pytest.fixture
def open_page(browser, page):
    def opened(**options: Any) -> Page:
        return Page(browser, page, **options)

    return opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_it_asks_for_nothing_complains_of_nothing_and_fits(open_page, width, scheme):
    shown = open_page(width=width, scheme=scheme)
    assert shown.run("return document.documentElement.scrollWidth") <= width
    wide = shown.run(
        "return [...document.querySelectorAll('body *')].filter((e) => !e.closest('.scroll, #vg-tooltip-element') && "
        "e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert wide == []
    fonts = shown.run(
        "return [...document.querySelectorAll('.chart svg text')]"
        ".map((e) => [e.getAttribute('font-family'), getComputedStyle(e).fontFamily])"
    )
    assert fonts
    assert all(measured == drawn for measured, drawn in fonts), "labels need more room than was measured"
    assert shown.run("return document.querySelectorAll('.chart svg').length") == 6 * len(PANELS)
    assert shown.logs() == ([], [])


def test_a_request_and_an_error_would_be_seen(browser, page, tmp_path):
    """What the test above rests on; the page's own policy blocks the request."""
    text = page.read_text(encoding="utf-8").replace("</body>", "<script>fetch('http://127.0.0.1:9/x')</script></body>")
    (tmp_path / "bad.html").write_text(text, encoding="utf-8")
    said, _ = Page(browser, tmp_path / "bad.html").logs()
    assert any("Content Security Policy" in line for line in said)
    free = text.replace('http-equiv="Content-Security-Policy"', "")
    (tmp_path / "worse.html").write_text(free, encoding="utf-8")
    _, sent = Page(browser, tmp_path / "worse.html").logs()
    assert sent == ["http://127.0.0.1:9/x"]


def test_the_words_change_their_colour_with_the_scheme(open_page):
    def colours(scheme: str) -> set[str]:
        script = "return [...document.querySelectorAll('.chart svg text')].map((e) => getComputedStyle(e).fill)"
        return {*open_page(scheme=scheme).run(script)}

    light, dark = colours("light"), colours("dark")
    assert light
    assert not light & dark


def test_network_and_data_choose_the_panels(open_page):
    shown = open_page()
    assert shown.panels() == [0, 1, 2]
    shown.choose("#model", "vgg_small")
    assert shown.panels() == [2]
    shown.choose("#model", "all")
    shown.choose("#dataset", "digits")
    assert shown.panels() == [1]
    assert not shown.driver.find_element("id", "nothing").is_displayed()
    shown.choose("#model", "vgg_small")
    assert shown.panels() == []
    assert shown.driver.find_element("id", "nothing").is_displayed()


def test_the_strategy_leaves_its_own_marks_and_the_curve(open_page):
    shown = open_page()
    assert (len(shown.marks(0, "means")), len(shown.marks(0, "differences"))) == (10, 4)
    shown.choose("#strategy", "layer_freezing")
    assert shown.panels() == [0]
    assert (len(shown.marks(0, "means")), len(shown.marks(0, "differences"))) == (7, 1)
    assert len(shown.marks(0, "curve")) == 1
    options = shown.run("return [...document.querySelectorAll('#panel-0 .run option')].map((e) => e.text)")
    assert {text.split(" ")[0].strip(",") for text in options} == {"baseline", "shortened", "layer_freezing"}
    shown.choose("#strategy", "all")
    assert (len(shown.marks(0, "means")), shown.panels()) == (10, [0, 1, 2])


def test_the_legend_switches_a_series_off_and_on_in_its_panel_only(open_page):
    shown = open_page()
    (button,) = [
        b
        for b in shown.driver.find_elements("css selector", "#panel-1 .legend button")
        if b.text == "FreezeOut cubic scaled"
    ]
    button.click()
    shown.settled()
    assert button.get_attribute("aria-pressed") == "false"
    assert [len(shown.marks(i, "means")) for i in (0, 1, 2)] == [10, 7, 9]
    assert len(shown.marks(1, "differences")) == 1
    button.click()
    shown.settled()
    assert len(shown.marks(1, "means")) == 9


def test_with_every_series_off_it_is_said(open_page):
    shown = open_page()
    for button in shown.driver.find_elements("css selector", "#panel-1 .legend button"):
        button.click()
    shown.settled()
    note = shown.driver.find_element("css selector", "#panel-1 [data-chart=pareto] .empty")
    assert note.text == "All of its series are switched off."


def test_the_chosen_run_gives_rates_timeline_and_savings(open_page):
    shown = open_page()
    trace = shown.driver.find_element("css selector", "#panel-0 .trace")
    assert "freezing saved" in trace.text
    assert len(shown.marks(0, "frozen")) == 4
    before = [mark.get_attribute("d") for mark in shown.marks(0, "lines")]
    shown.choose("#panel-0 .run", "FreezeOut cubic scaled t_0=0.8, seed 1")
    after = [mark.get_attribute("d") for mark in shown.marks(0, "lines")]
    assert len(after) == 5
    assert before != after
    assert "log-0-1" in trace.text
    shown.choose("#panel-0 .run", "baseline, seed 0")
    assert (len(shown.marks(0, "frozen")), len(shown.marks(0, "active"))) == (0, 5)
    assert "froze nothing" in shown.driver.find_element("css selector", "#panel-0 [data-chart=savings] .empty").text
    shown.choose("#panel-0 .run", "layer_freezing freeze_start=0.5, seed 2")
    assert len(shown.marks(0, "savings")) > 0
    assert shown.logs() == ([], [])


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_hovering_tells_what_a_mark_is(open_page, width):
    shown = open_page(width=width)
    points = shown.marks(0, "means")
    tips = [shown.hover(point) for point in points[-4:]]
    for words in ("configuration", "3 (0, 1, 2)", "error [95 %]", "s by the runs' clocks", "log-0-0, log-0-1, log-0-2"):
        assert all(words in tip for tip in tips)
    assert any("layer_freezing" in tip for tip in tips)
    assert "seeds needed to tell" in shown.hover(shown.marks(0, "differences")[0])
    assert "ms [" in shown.hover(shown.marks(0, "times")[1])
    assert "frozen from t = " in shown.hover(shown.marks(0, "frozen")[0])
    assert "→" in shown.hover(shown.marks(0, "savings")[0])
    assert "learning rate" in shown.hover(shown.marks(0, "targets")[3])
    box = shown.run(
        "const b = document.getElementById('vg-tooltip-element').getBoundingClientRect(); return [b.x, b.right]"
    )
    assert 0 <= box[0] < box[1] <= width


def test_the_numbers_are_there_without_the_charts(open_page):
    shown = open_page()
    summary = shown.driver.find_element("css selector", "#panel-0 .numbers summary")
    summary.click()
    table = shown.driver.find_element("css selector", "#panel-0 .numbers table")
    assert table.is_displayed()
    assert len(table.find_elements("css selector", "tbody tr")) == 4


def test_a_chart_is_drawn_when_it_comes_near_the_screen(browser, page):
    def drawn() -> int:
        return browser.execute_script("return document.querySelectorAll('.chart svg').length")

    browser.get(page.as_uri())
    WebDriverWait(browser, 30).until(lambda _: drawn() > 0)
    assert drawn() < 6 * len(PANELS)
    browser.execute_script("document.querySelector('#panel-2 [data-chart=timeline]').scrollIntoView()")
    find = "return document.querySelectorAll('#panel-2 [data-chart=timeline] svg').length"
    WebDriverWait(browser, 30).until(lambda _: browser.execute_script(find) == 1)
