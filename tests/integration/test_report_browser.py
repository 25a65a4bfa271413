"""report.html in a real browser: headless Chromium opens it without an error and lays it out as it should.

The page itself holds no script. A second page loads it in a frame of a given width and writes down what it
finds there; Chromium's --dump-dom prints that.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fcnship.reports.html import html_text

DATA = Path(__file__).parents[1] / "data" / "report"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for path in map(shutil.which, BROWSERS) if path), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --hide-scrollbars"
)
LONG = "<script>alert(1)</script>" + "x" * 300

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

PROBE = """<!doctype html><meta charset="utf-8">
<iframe id="frame" style="width:WIDTHpx;height:900px;border:0" srcdoc="PAGE"></iframe><pre id="found"></pre>
<script>
const frame = document.getElementById("frame");
const light = color => {
  const part = color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * part[0] + .7152 * part[1] + .0722 * part[2];
};
frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
  const style = node => view.getComputedStyle(node);
  page.querySelectorAll("details").forEach(node => { node.open = true; });
  const shown = name =>
    [...page.querySelectorAll(".plot." + name)].filter(node => style(node).display != "none").length;
  const behind = node => {
    for (; node; node = node.parentElement) {
      const color = style(node).backgroundColor;
      if (!color.endsWith(", 0)") && color != "transparent") return color;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = node => {
    const both = [light(style(node)[node.ownerSVGElement ? "fill" : "color"]), light(behind(node))];
    return (Math.max(...both) + .05) / (Math.min(...both) + .05);
  };
  const texts = [...page.body.querySelectorAll(":not(title)")].filter(
    node => [...node.childNodes].some(child => child.nodeType == 3 && child.data.trim()));
  const visible = [...page.querySelectorAll(".column")].find(node => node.getBoundingClientRect().width > 0);
  const tip = visible && visible.querySelector(".tip");
  const before = tip && style(tip).visibility;
  if (visible) visible.focus();
  const notes = [...page.querySelectorAll(".column")].filter(node => node.getBoundingClientRect().width > 0);
  const misdrawn = notes.map(node => {
    node.focus();
    const tip = node.querySelector(".tip"), box = tip.querySelector("rect").getBoundingClientRect();
    const texts = [...tip.querySelectorAll("text")].map(text => text.getBoundingClientRect());
    const svg = node.ownerSVGElement.getBoundingClientRect();
    const inside = box.left >= svg.left - 1 && box.right <= svg.right + 1 && box.top >= svg.top - 1;
    const fits = texts.every(text => text.left >= box.left && text.right <= box.right);
    const seen = style(tip).visibility == "visible" && node.getAttribute("aria-label");
    return inside && fits && seen ? null : tip.textContent;
  }).filter(text => text);
  if (visible) visible.focus();
  const boxes = tip ? [...tip.querySelectorAll("rect, text")].map(node => node.getBoundingClientRect()) : [];
  document.getElementById("found").textContent = JSON.stringify({
    title: page.title,
    verdict: page.querySelector(".verdict").innerText.trim(),
    sections: [...page.querySelectorAll("h2")].map(node => node.innerText),
    page: [root.scrollWidth, root.clientWidth],
    wide: shown("wide"), narrow: shown("narrow"),
    dark: light(behind(page.body)) < .1,
    before, after: tip && style(tip).visibility, note: tip && tip.textContent,
    notes: notes.length, misdrawn,
    heat: [...page.querySelectorAll(".heatmap")].map(node => node.querySelectorAll(".column").length),
    crosses: page.querySelectorAll(".heatmap .fails").length,
    noteFits: boxes.every(box => box.left >= 0 && box.right <= root.clientWidth),
    scripts: page.scripts.length, images: page.images.length,
    requests: view.performance.getEntriesByType("resource").length,
    faint: texts.filter(node => contrast(node) < 4.5).map(node => [node.textContent, contrast(node)]),
    unheaded: [...page.querySelectorAll("table")].filter(node => !node.querySelector("th[scope=col]")).length,
  });
};
</script>"""


def sample(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((DATA / f"{name}.in.json").read_text(encoding="utf-8"))
    return report


def long_report() -> dict[str, Any]:
    """A report with names that are long, cannot be broken and look like a script."""
    report = sample("fail")
    report["name"] = report["model"]["name"] = report["environment"]["cpu"] = LONG
    report["reasons"].append({"code": 4, "text": LONG})
    report["stages"][0]["artifacts"][0]["path"] = report["stages"][1]["reason"] = LONG
    report["variants"][0] |= {"status": "not run", "reason": LONG}
    for table in ("variants", "parity", "accuracy", "latency"):
        for row in report[table]:
            row["variant"] += LONG * (row["variant"] == "onnx-int8")
    return report


REPORTS = {"pass": lambda: sample("pass"), "fail": lambda: sample("fail"), "long": long_report}


def chromium(page: Path, profile: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM
    command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={profile}", "--window-size=1300,1000", *flags]
    return subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )


def look_at(text: str, width: int, folder: Path, *flags: str) -> dict[str, Any]:
    """What the probe finds on the page at a width."""
    probe = folder / "probe.html"
    page = html.escape(text)
    probe.write_text(PROBE.replace("WIDTH", str(width)).replace("PAGE", page), encoding="utf-8")
    ran = chromium(probe, folder / "profile", "--virtual-time-budget=5000", *flags)
    assert "CONSOLE" not in ran.stderr
    found = re.search(r'<pre id="found">(.+?)</pre>', ran.stdout, re.DOTALL)
    assert found, "the page did not load"
    result: dict[str, Any] = json.loads(html.unescape(found[1]))
    return result


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_and_can_be_read(name: str, width: int, tmp_path: Path) -> None:
    found = look_at(html_text(REPORTS[name]()), width, tmp_path)
    assert found["page"][0] <= found["page"][1] == width, "the page scrolls sideways"
    assert found["verdict"] == ("Pass" if name == "pass" else "Fail")
    assert found["sections"][0] == ("Before you ship" if name == "pass" else "Where not to use it")
    assert (found["wide"], found["narrow"]) == ((0, 3) if width == 390 else (3, 0))
    assert (found["scripts"], found["images"], found["requests"], found["unheaded"]) == (0, 0, 0, 0)
    assert not found["faint"] and not found["dark"]
    assert (found["before"], found["after"]) == ("hidden", "visible")
    assert found["noteFits"]
    assert found["notes"] > 20
    assert not found["misdrawn"], "a note is hidden, cut off or wider than its box"


def test_the_note_shows_every_variant_at_that_size(tmp_path: Path) -> None:
    found = look_at(html_text(sample("pass")), 390, tmp_path)
    assert found["note"] == "28keras: 98.06 %savedmodel: 98.06 %onnx-fp32: 98.06 %"


@pytest.mark.parametrize("width", [390, 1200])
def test_the_map_over_height_and_width_can_be_pointed_at(width: int, tmp_path: Path) -> None:
    found = look_at(html_text(sample("fail")), width, tmp_path)
    assert found["heat"] == [9, 9, 9], "a map each: keras, onnx-fp16 and onnx-int8 differ"
    assert found["crosses"] == 2 + 2 + 3
    assert look_at(html_text(sample("pass")), width, tmp_path)["heat"] == []


@pytest.mark.parametrize("name", ["pass", "fail"])
def test_dark_is_dark_and_can_be_read(name: str, tmp_path: Path) -> None:
    found = look_at(html_text(REPORTS[name]()), 1200, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert found["dark"] and not found["faint"]


def test_the_file_opens_without_a_console_error(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    text = html_text(long_report())
    page.write_text(text, encoding="utf-8")
    ran = chromium(page, tmp_path / "profile")
    assert "What is wrong, and what to do" in ran.stdout and "CONSOLE" not in ran.stderr
    page.write_text(text.replace("</main>", "<script>1</script></main>"), encoding="utf-8")
    assert "CONSOLE" in chromium(page, tmp_path / "profile").stderr, "errors would not have been seen"
