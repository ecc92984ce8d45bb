"""The shipped workflows in a real browser, from the template browser to the pictures, in both of its renderers.

With the frontend of the environment, and with each that KONTINUITY_FRONTENDS names: `static` folders of frontends,
separated as in PATH. One server for each frontend, one page for each renderer.
"""

import io
import json
import os
import shutil
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parent.parent.parent
SCREENSHOTS = ROOT / ".dev" / "screenshots"
WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
FRONTENDS = ["", *filter(None, os.environ.get("KONTINUITY_FRONTENDS", "").split(os.pathsep))]
PANELS = ("beach", "forest", "snow", "kitchen")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
READY = "() => window.app && app.graph && app.extensionManager && document.querySelector('canvas')"
# The pictures that a node of a type shows; where Nodes 2.0 shows one of several, `of` is how many there are.
PICTURES = """(type, vue) => {
    const node = app.graph.nodes.find(node => node.type === type);
    const element = document.querySelector(`[data-node-id="${node.id}"]`);
    const images = vue ? [...element?.querySelectorAll('img') ?? []]
                       : (node.imgs ?? []).filter((_, i) => [null, undefined, i].includes(node.imageIndex));
    const dots = vue ? element?.querySelectorAll('button[aria-label^="View image"]').length : 0;
    return {sources: images.map(image => image.src), of: dots || images.length,
            loaded: images.every(image => image.complete && image.naturalWidth)};
}"""
SHOWN = f"""vue => {{
    const pictures = {PICTURES};
    const [panels, sheet] = [pictures('Kontinuity_RenderStoryboard', vue), pictures('SaveImage', vue)];
    return panels.of === 4 && panels.loaded && sheet.of === 1 && sheet.loaded;
}}"""
BYTES = """async source => [...new Uint8Array(await (await fetch(source)).arrayBuffer())]"""
# Zooms until all is in sight, since Nodes 2.0 draws no more.
FIT = """() => {
    const boxes = [...app.graph.nodes, ...app.graph.groups];
    const edge = (choose, side, end) => choose(...boxes.map(box => box.pos[side] + (end ? box.size[side] : 0)));
    const [left, top] = [edge(Math.min, 0), edge(Math.min, 1) - 40];
    const scale = Math.min(1, 1450 / (edge(Math.max, 0, true) - left), 760 / (edge(Math.max, 1, true) - top));
    app.canvas.ds.scale = scale;
    app.canvas.ds.offset = [80 / scale - left, 100 / scale - top];
    app.canvas.setDirty(true, true);
}"""
# [name, left, top, right, bottom] of every node, with its title bar, and of every group, as they are drawn.
BOXES = """vue => {
    const scale = app.canvas.ds.scale;
    const nodes = app.graph.nodes.map(node => {
        const drawn = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect();
        const [x, y, width, height] = node.boundingRect;
        return [`${node.id} ${node.type}`, x, y, x + Math.max(width, (drawn?.width ?? 0) / scale),
                y + Math.max(height, (drawn?.height ?? 0) / scale), !vue || Boolean(drawn?.height)];
    });
    const groups = app.graph.groups.map(({title, pos, size}) =>
        [title, pos[0], pos[1], pos[0] + size[0], pos[1] + size[1]]);
    return {nodes, groups};
}"""


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    chromium = os.environ.get("KONTINUITY_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(chromium).is_file():
        pytest.skip(f"no Chromium at {chromium}; install it, or set KONTINUITY_CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


def frontend_name(static: str) -> str:
    return Path(static).parents[1].name if static else "own"


@pytest.fixture(scope="module", params=FRONTENDS, ids=frontend_name)
def site(request, browser):
    """A server with one of the frontends; its name is `site.frontend`."""
    if not request.param:
        server = request.getfixturevalue("server")
        yield SimpleNamespace(url=server.url, base=server.base, frontend=frontend_name(""))
        return
    folder = request.getfixturevalue("tmp_path_factory").mktemp("frontend")
    base = request.getfixturevalue("make_base")(folder / "base")
    start = request.getfixturevalue("make_server")
    with start(base, folder / "server.log", "--front-end-root", request.param) as server:
        yield SimpleNamespace(url=server.url, base=base, frontend=frontend_name(request.param))


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "Nodes 2.0"])
def page(request, browser, site):
    """A page that reaches nothing but the server; `page.vue` says whether nodes are drawn by Nodes 2.0."""
    settings = {"Comfy.VueNodes.Enabled": request.param,
                "Comfy.TutorialCompleted": True}  # else the templates dialog opens by itself
    for name, value in settings.items():
        urllib.request.urlopen(urllib.request.Request(
            f"{site.url}/settings/{name}", json.dumps(value).encode(), {"Content-Type": "application/json"}),
            timeout=10).close()
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.set_default_timeout(120_000)  # two busy cores need their time
    page.route("**/*", lambda route: route.continue_()
               if route.request.url.startswith((site.url, "data:", "blob:")) else route.abort())
    page.goto(site.url, wait_until="commit")
    page.wait_for_function(READY)
    page.vue = request.param
    yield page
    page.close()


def test_the_storyboard_template_runs_and_shows_its_pictures(site, page):
    page.locator(".templates-tab-button").click()
    page.get_by_role("dialog").get_by_text("kontinuity", exact=True).click()
    card = page.get_by_test_id("template-workflow-storyboard")
    shown = page.locator('[data-testid^="template-workflow-"]')
    shown.first.wait_for()
    for _ in range(20):  # more are loaded as one scrolls down
        if card.count():
            break
        shown.last.scroll_into_view_if_needed()
        page.wait_for_timeout(250)
    card.scroll_into_view_if_needed()
    thumbnail = card.locator("img").first
    thumbnail.wait_for()
    assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    card.click()
    page.wait_for_function("() => app.graph.nodes.some(node => node.type === 'Kontinuity_RenderStoryboard')")
    assert page.evaluate("() => app.graph.nodes.filter(node => node.has_errors).length") == 0
    page.evaluate(FIT)
    page.evaluate("""() => { app.graph.nodes.find(node => node.type === 'Kontinuity_RenderStoryboard').widgets.find(
        widget => widget.name === 'steps').value = 4; }""")

    page.get_by_test_id("queue-button").first.click()
    try:
        page.wait_for_function(SHOWN, arg=page.vue, timeout=150_000)
    finally:
        page.wait_for_timeout(1000)  # for what still comes
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"storyboard {site.frontend} {'Nodes 2.0' if page.vue else 'canvas'}.png")
    assert page.get_by_role("dialog").count() == 0, page.get_by_role("dialog").first.inner_text()
    saved = {path.stem.split("_")[2]: picture(path) for path in (site.base / "output/kontinuity").glob("board_*.png")}
    shown = page.evaluate(f"vue => ({PICTURES})('Kontinuity_RenderStoryboard', vue)", page.vue)
    assert not [source for source in shown["sources"] if source.startswith("blob:")], "a preview is left"
    assert shown["sources"] and shown["of"] == len(PANELS)
    for name, source in zip(PANELS, shown["sources"], strict=False):  # of a gallery, the first
        seen = picture(io.BytesIO(bytes(page.evaluate(BYTES, source))))
        assert np.abs(seen - saved[name]).mean() < 5, f"{name} is another picture"  # a lossy copy may be shown
    check_boxes(page)  # with the pictures


def picture(file) -> np.ndarray:
    with Image.open(file) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def check_boxes(page) -> None:
    """Every node is in one group, and overlaps no other node; groups overlap no other group."""
    page.evaluate(FIT)
    page.wait_for_function(f"vue => ({BOXES})(vue).nodes.every(node => node[5])", arg=page.vue)
    page.wait_for_timeout(500)  # Nodes 2.0 measures the nodes after it has drawn them
    boxes = page.evaluate(BOXES, page.vue)

    def outside(box, other) -> bool:
        (_, left, top, right, bottom, *_), (_, *far) = box, other
        return right <= far[0] or far[2] <= left or bottom <= far[1] or far[3] <= top

    def within(box, group) -> bool:
        (_, left, top, right, bottom, *_), (_, *far) = box, group
        return far[0] <= left and far[1] <= top and right <= far[2] and bottom <= far[3]

    for kind in ("nodes", "groups"):
        for i, box in enumerate(boxes[kind]):
            for other in boxes[kind][:i]:
                assert outside(box, other), f"{box} overlaps {other}"
    for box in boxes["nodes"]:
        assert sum(within(box, group) for group in boxes["groups"]) == 1, f"{box} is in none of {boxes['groups']}"


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_groups_hold_their_nodes(page, workflow):
    graph = json.loads((ROOT / "workflows" / f"{workflow}.json").read_text("utf-8"))
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    check_boxes(page)


def test_a_report_is_shown_on_its_node_and_is_no_input(page):
    graph = {"1": {"class_type": "Kontinuity_LoadModel", "inputs": {"model": "demo model (built in)"}},
             "2": {"class_type": "Kontinuity_CheckPrompts", "inputs": {"model": ["1", 0], "text": "Put him there."}}}
    node = "app.graph.nodes.find(node => node.type === 'Kontinuity_CheckPrompts')"
    page.evaluate('''async graph => {
        await app.loadApiJson(graph, 'check');
        await app.loadGraphData(app.graph.serialize()); // else Nodes 2.0 of 0.3.75 show no widget that comes later
    }''', graph)
    page.evaluate(FIT)
    page.evaluate("() => app.queuePrompt(0)")
    report = page.get_by_label("report", exact=True)
    report.wait_for()
    assert "pronoun" in report.input_value() and not report.is_editable()
    assert page.evaluate(f"() => {node}.serialize().widgets_values") == ["Put him there."]
    assert page.evaluate("async () => Object.keys((await app.graphToPrompt()).output['2'].inputs).sort()") == [
        "model", "text"]
    page.evaluate(f"() => {{ {node}.widgets.find(widget => widget.name === 'text').value = 'A red hat.'; }}")
    page.evaluate("() => app.queuePrompt(0)")
    value = f"() => {node}.widgets.find(widget => widget.name === 'report').value"
    page.wait_for_function(f"{value} === '1 prompt checked: nothing found'")
    if not page.vue:  # Nodes 2.0 of 0.3.75, a first version, go on showing the earlier text
        assert report.input_value() == "1 prompt checked: nothing found" and not report.is_editable()
