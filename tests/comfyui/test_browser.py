"""The shipped workflow in a real browser, from the template browser to the pictures."""

import json
import os
import shutil
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCREENSHOT = ROOT / ".dev" / "screenshots" / "storyboard.png"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
READY = "() => window.app && app.graph && app.extensionManager && document.querySelector('canvas')"
SHOWN = """() => {
    const pictures = type => app.graph.nodes.find(node => node.type === type).imgs ?? [];
    const shown = type => pictures(type).filter(image => image.naturalWidth).length;
    return shown('Kontinuity_RenderStoryboard') === 4 && shown('SaveImage') === 1;
}"""


@pytest.fixture
def page(server):
    """A fresh browser's page that reaches nothing but the server."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    chromium = os.environ.get("KONTINUITY_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(chromium).is_file():
        pytest.skip(f"no Chromium at {chromium}; install it, or set KONTINUITY_CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.set_default_timeout(120_000)  # two busy cores need their time
        page.route("**/*", lambda route: route.continue_()
                   if route.request.url.startswith((server.url, "data:", "blob:")) else route.abort())
        yield page
        browser.close()


def setting(server, name: str, value) -> None:
    request = urllib.request.Request(f"{server.url}/settings/{name}", json.dumps(value).encode(),
                                     {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


@pytest.mark.browser
def test_the_storyboard_template_runs_and_shows_its_pictures(server, page):
    setting(server, "Comfy.TutorialCompleted", True)  # else the templates dialog opens by itself
    page.goto(server.url, wait_until="commit")
    page.wait_for_function(READY)
    page.locator(".templates-tab-button").click()
    page.get_by_role("dialog").get_by_text("kontinuity", exact=True).click()
    card = page.get_by_test_id("template-workflow-storyboard")
    thumbnail = card.locator("img").first
    thumbnail.wait_for()
    assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    card.click()
    page.wait_for_function("() => app.graph.nodes.some(node => node.type === 'Kontinuity_RenderStoryboard')")
    assert page.evaluate("() => app.graph.nodes.filter(node => node.has_errors).length") == 0
    # Near enough that the nodes' texts are drawn, not only their shapes.
    page.evaluate("() => { app.canvas.ds.scale = 0.66; app.canvas.ds.offset = [110, 220] }")

    page.get_by_role("button", name="Run", exact=True).click()
    try:
        page.wait_for_function(SHOWN, timeout=150_000)
    finally:
        page.wait_for_timeout(500)
        SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOT)
    assert page.evaluate("() => app.graph.nodes.find(n => n.type === 'Kontinuity_RenderStoryboard').imageIndex") is None
    assert page.get_by_role("dialog").count() == 0, page.get_by_role("dialog").first.inner_text()
    saved = {path.stem.split("_")[2] for path in (server.base / "output" / "kontinuity").glob("board_*.png")}
    assert saved == {"beach", "forest", "snow", "kitchen"}


@pytest.mark.browser
def test_a_report_is_shown_on_its_node_and_is_no_input(server, page):
    graph = {"1": {"class_type": "Kontinuity_LoadModel", "inputs": {"model": "demo model (built in)"}},
             "2": {"class_type": "Kontinuity_CheckPrompts", "inputs": {"model": ["1", 0], "text": "Put him there."}}}
    setting(server, "Comfy.TutorialCompleted", True)
    page.goto(server.url, wait_until="commit")
    page.wait_for_function(READY)
    page.evaluate("graph => app.loadApiJson(graph, 'check')", graph)
    node = "app.graph.nodes.find(node => node.type === 'Kontinuity_CheckPrompts')"
    shown = f"{node}.widgets.filter(widget => widget.name === 'kontinuity_text').map(widget => widget.value)"
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function(f"() => {shown}.join().includes('pronoun')")
    assert page.evaluate(f"() => {node}.serialize().widgets_values") == ["Put him there."]
    assert page.evaluate("async () => Object.keys((await app.graphToPrompt()).output['2'].inputs).sort()") == [
        "model", "text"]
    page.evaluate(f"() => {{ {node}.widgets.find(widget => widget.name === 'text').value = 'A red hat.'; }}")
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function(f"() => {shown}.join() === '1 prompt checked: nothing found'")
