"""`dev.py environments` and `dev.py lock`: the packages people have, and those we develop with. Standard library only.

An environment is made as a user's ComfyUI has it, the pack is installed into it in each way the README names, and what
was there before is compared with what is there then.
"""

import datetime
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dev_install import (  # dev.py has loaded them by path
    BUILD,
    DEV,
    FRONTEND_LOCK,
    HOST_NEEDS,
    INSTALL,
    LOCK,
    LOGS,
    ROOT,
    TOOLS,
    TORCH,
    Environment,
    Host,
    Progress,
    newer_frontend,
    requirements,
)
from dev_server import Failure, Server, clean_environment, prepare_base

TOLERANCE = 2  # of 255: how far a panel's values may be from those that the locked environment makes
_APART = re.compile(r"(torch|torchvision|torchaudio|triton|nvidia-.*|cuda-.*)==")  # not in the lock
_SHARED = re.compile(r"(torch|torchvision|torchaudio|triton|torchgen|functorch|nvidia|cuda)(?![a-z])")


@dataclass(frozen=True)
class Case:
    """Packages that a user's ComfyUI has.

    Attributes:
        when: what it stands for.
        packages: beside those of ComfyUI's requirements.
        torch: "shared" (linked from `.venv`, which saves 6 GB each) or "newest".
        tests: pytest's arguments, run after everything else; None: no tests.
        needed: whether it is one of the environments that must be left as they were in every way of installing.
    """

    when: str
    packages: tuple[str, ...] = ()
    torch: str = "shared"
    tests: tuple[str, ...] | None = None
    needed: bool = True


_WITH_TRANSFORMERS = tuple(f"tests/{name}.py" for name in (  # what meets transformers and needs no diffusers
    "kontext/test_tokenizers", "kontext/test_identity", "demo_model/test_identity_files",
    "storyboard/test_prompt_reading", "storyboard/test_prompt_translation"))

ENVIRONMENTS = {
    "transformers-4.50": Case("March 2025", ("transformers==4.50.3", "huggingface_hub==0.30.2", "numpy==2.2.4"),
                              tests=_WITH_TRANSFORMERS),
    "transformers-4.57": Case("most installations of the last year",
                              ("transformers==4.57.6", "huggingface_hub==0.36.0", "numpy==2.3.5"),
                              tests=_WITH_TRANSFORMERS),
    "transformers-5.0": Case("January 2026", ("transformers==5.0.0", "huggingface_hub==1.3.7"),
                             tests=_WITH_TRANSFORMERS),
    "newest": Case("the newest of everything, PyTorch too", torch="newest", tests=()),
    "lowest": Case("the lowest bounds of requirements.txt, there already",
                   ("transformers==4.50.3", "huggingface_hub==0.30.2", "numpy==1.26.4",
                    "opencv-python-headless==4.8.0.76"),
                   tests=(*_WITH_TRANSFORMERS, "tests/flow", "tests/demo_model/test_toonworld.py")),
    "numpy-1": Case("numpy 1, no OpenCV", ("transformers==4.57.6", "huggingface_hub==0.36.0", "numpy==1.26.4"),
                    needed=False),
    "other-opencv": Case("another pack's OpenCV", ("transformers==4.57.6", "huggingface_hub==0.36.0", "numpy==1.26.4",
                                                   "opencv-contrib-python==4.10.0.84"), needed=False),
}


# One environment ---------------------------------------------------------------------------------------------------


def run_all(host: Host, names: list[str], *, tests: bool) -> dict:
    """Make the environments of these names (all, without any) and try them.

    Raises:
        Failure: an unknown name, or an environment that cannot be made at all.
    """
    unknown = [name for name in names if name not in ENVIRONMENTS]
    if unknown:
        raise Failure(f"no environment {unknown[0]!r}; there are: {', '.join(ENVIRONMENTS)}")
    reference = DEV / "environments" / "locked"
    made = _demo(host, host.environment, reference / "pictures")
    if "error" in made:
        raise Failure(f"the demo does not run in .venv itself: {made['error']}")
    rows = [_run(name, ENVIRONMENTS[name], host, reference, tests) for name in names or ENVIRONMENTS]
    return {"benchmark": "environments", "tolerance": TOLERANCE, "locked": _versions(host.environment), "rows": rows,
            "goals": goals_of(rows)}


def with_earlier(results: dict, root: Path) -> dict:
    """These results and, for environments that are not among them, the rows of benchmarks/results/environments.json."""
    path = _result_file(root)
    earlier = json.loads(path.read_text("utf-8"))["rows"] if path.is_file() else []
    rows = {row["name"]: row for row in [*earlier, *results["rows"]]}
    together = [rows[name] for name in ENVIRONMENTS if name in rows]
    return results | {"rows": together, "goals": goals_of(together)}


def _run(name: str, case: Case, host: Host, reference: Path, tests: bool) -> dict:
    folder = DEV / "environments" / name
    shutil.rmtree(folder, ignore_errors=True)
    environment = Environment(folder / "venv")
    folder.mkdir(parents=True)
    environment.make()
    if case.torch == "shared":
        _share_torch(host.environment, environment, folder / "torch")
    newest = ("torch", "torchvision") if case.torch == "newest" else ()
    environment.pip(f"environment-{name}", f"{name}: a ComfyUI of {case.when}", *INSTALL, *newest, *HOST_NEEDS,
                    *case.packages, "-r", str(host.tree / "requirements.txt"), expected_mb=400)
    row = {"name": name, "when": case.when, "date": datetime.date.today().isoformat(), "needed": case.needed,
           "versions": _versions(environment)}
    row["readme"] = _installed(environment, name, _as_readme_says)
    row["demo"] = _demo(host, environment, folder / "pictures")
    if "error" not in row["demo"]:
        row["demo"]["largest_difference"] = _largest_difference(host.environment, reference / "pictures",
                                                                folder / "pictures")
    added = row["readme"]["added"]
    if added:
        environment.pip(f"environment-{name}", f"{name}: taking it out again", "uninstall", "-y", *added)
    row["lines"] = _installed(environment, name, _line_by_line)
    if tests and case.tests is not None:
        row["tests"] = _tests(environment, host, name, case)
    return row


def _share_torch(source: Environment, target: Environment, links: Path) -> None:
    """Let `target` find the PyTorch of `source`: pip, too, takes it for installed."""
    links.mkdir()
    for path in source.site_packages.iterdir():
        if _SHARED.match(path.name.lower()):
            (links / path.name).symlink_to(path)
    (target.site_packages / "shared_torch.pth").write_text(f"{links}\n", "utf-8")


def _packages(environment: Environment) -> dict[str, str]:
    listed = environment.run("-m", "pip", "list", "--format=json", "--disable-pip-version-check").stdout
    return {package["name"]: package["version"] for package in json.loads(listed)}


def _versions(environment: Environment) -> dict[str, str]:
    wanted = ("torch", "transformers", "huggingface_hub", "tokenizers", "numpy", "pillow", "PyYAML")
    return {name: version for name, version in _packages(environment).items()
            if name in wanted or name.replace("-", "_") in wanted or name.startswith("opencv")}


def _opencv(environment: Environment) -> str:
    """The version that `import cv2` gives, whatever package it is from; empty without one."""
    return environment.run("-c", "import cv2; print(cv2.__version__)").stdout.strip()


def _as_readme_says(environment: Environment, name: str) -> None:
    if _opencv(environment):
        return
    installed = DEV / "environments" / name / "installed.txt"
    installed.write_text(environment.run("-m", "pip", "list", "--format=freeze").stdout, "utf-8")
    environment.pip(f"environment-{name}", f"{name}: as the README says", "install", "-r",
                    str(ROOT / "requirements.txt"), "-c", str(installed))


def _line_by_line(environment: Environment, name: str) -> None:
    """As ComfyUI-Manager does it."""
    for line in requirements(ROOT / "requirements.txt"):
        environment.pip(f"environment-{name}", f"{name}: {line} by itself", "install", line)


def _installed(environment: Environment, name: str, install) -> dict:
    before, opencv, complaints = _packages(environment), _opencv(environment), _complaints(environment)
    install(environment, name)
    after = _packages(environment)
    changed = {package: [version, after.get(package)] for package, version in before.items()
               if after.get(package) != version}
    if opencv and _opencv(environment) != opencv:
        changed["what `import cv2` gives"] = [opencv, _opencv(environment)]
    return {
        "changed": changed,
        "added": {package: version for package, version in after.items() if package not in before},
        "import_transformers": environment.run("-c", "import transformers").returncode == 0,
        "new_complaints": sorted(_complaints(environment) - complaints),
    }


def _complaints(environment: Environment) -> set[str]:
    """What `pip check` says."""
    check = environment.run("-m", "pip", "check", "--disable-pip-version-check")
    return set(check.stdout.splitlines()) if check.returncode else set()


def _demo(host: Host, environment: Environment, pictures: Path) -> dict:
    """Queue the demo storyboard in a ComfyUI that runs in this environment; the client runs in the host's."""
    base, output = pictures.parent / "base", pictures.parent / "output"
    for folder in (pictures, output):  # the names of what is saved there count on
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    prepare_base(base, ROOT)
    log = LOGS / f"environment-{pictures.parent.name}.log"
    try:
        with Progress(f"{pictures.parent.name}: the demo storyboard") as progress, Server(
                host.tree, environment.python, base, log=log, output=output,
                tick=progress.update) as server:
            workflow = ROOT / "workflows" / "api" / "storyboard.json"
            done = subprocess.run(
                [host.environment.python, "-m", "kontinuity.batch", workflow, "--server", server.url,
                 "--out", pictures], capture_output=True, text=True, env=clean_environment(), cwd=DEV, check=False)
    except Failure as failure:
        return {"error": str(failure)}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    return {"pictures": len(list(pictures.iterdir()))}


def _largest_difference(environment: Environment, a: Path, b: Path) -> int:
    """Of any value of any picture, of 255. Pictures of other names or sizes count as 255."""
    code = """
import sys, pathlib, numpy, PIL.Image
a, b = (sorted(pathlib.Path(folder).iterdir()) for folder in sys.argv[1:])
def values(path): return numpy.asarray(PIL.Image.open(path).convert("RGB")).astype(int)
same = [x.name for x in a] == [y.name for y in b]
pairs = [(values(x), values(y)) for x, y in zip(a, b)]
print(max(abs(x - y).max() if x.shape == y.shape else 255 for x, y in pairs) if same and pairs else 255)
"""
    return int(environment.run("-c", code, a, b).stdout)


def _tests(environment: Environment, host: Host, name: str, case: Case) -> str:
    """Pytest's last line."""
    # not diffusers, where it is not wanted: it moves huggingface_hub
    tools = TOOLS if case.torch == "newest" else ("pytest", "hypothesis", "jsonschema")
    environment.pip(f"environment-{name}", f"{name}: the tests' tools", *INSTALL, *BUILD, *tools)
    environment.pip(f"environment-{name}", f"{name}: the pack itself", *INSTALL, "--no-deps", "--no-build-isolation",
                    "-e", str(ROOT))
    more = {"KONTINUITY_COMFYUI": str(host.tree)}
    browser = os.environ.get("KONTINUITY_CHROMIUM") or shutil.which("chromium")
    if browser:
        more |= {"KONTINUITY_CHROMIUM": browser, "KONTINUITY_FRONTENDS": str(newer_frontend(environment))}
    log = LOGS / f"environment-{name}-tests.log"
    with open(log, "w", encoding="utf-8") as output, Progress(f"{name}: tests (log: {log})"):
        subprocess.run([environment.python, "-m", "pytest", "-q", *(case.tests or ())], stdout=output,
                       stderr=subprocess.STDOUT, env=clean_environment(**more), cwd=ROOT, check=False)
    return log.read_text("utf-8", "replace").strip().splitlines()[-1].strip("= ")


# Results -----------------------------------------------------------------------------------------------------------


def goals_of(rows: list[dict]) -> list[dict]:
    def goal(name: str, wanted: str, bad: list[str]) -> dict:
        return {"name": name, "goal": wanted, "measured": "; ".join(bad) or "as wanted", "met": not bad}

    def bad(way: str, field: str) -> list[str]:
        return [f"{row['name']}: {row[way][field]}" for row in rows if row["needed"] and row[way][field]]

    goals = []
    for way, words in (("readme", "as the README says"), ("lines", "each line of requirements.txt by itself")):
        goals += [
            goal(f"installed {words}: packages", "none that was there changes its version", bad(way, "changed")),
            goal(f"installed {words}: pip check", "no new complaint", bad(way, "new_complaints")),
            goal(f"installed {words}: import transformers", "works",
                 [row["name"] for row in rows if row["needed"] and not row[way]["import_transformers"]])]
    demo = [f"{row['name']}: {row['demo'].get('error', row['demo'].get('largest_difference'))}" for row in rows
            if row["demo"].get("largest_difference", 255) > TOLERANCE]
    tests = [f"{row['name']}: {row['tests']}" for row in rows
             if re.search(r"\d+ (failed|error)|no tests", row.get("tests", ""))]
    return [*goals, goal("demo storyboard", f"ComfyUI starts, every value within {TOLERANCE} of 255", demo),
            goal("tests", "none fails", tests)]


def table(results: dict) -> str:
    """The results as a Markdown table."""
    def changes(way: dict) -> str:
        moved = ", ".join(f"{name} {old} → {new}" for name, (old, new) in way["changed"].items()) or "nothing changed"
        broken = "" if way["import_transformers"] else "; **transformers cannot be imported**"
        return moved + broken + "".join(f"; {line}" for line in way["new_complaints"])

    heads = ("environment", "it has", "as the README says", "line by line (Manager)", "demo storyboard", "tests", "on")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in results["rows"]:
        has = ", ".join(f"{name} {version}" for name, version in sorted(row["versions"].items()))
        added = ", ".join(f"{name} {version}" for name, version in row["readme"]["added"].items()) or "nothing"
        demo = row["demo"].get("error") or f"largest difference {row['demo']['largest_difference']} of 255"
        lines.append(f"| {row['name']} ({row['when']}) | {has} | {changes(row['readme'])}; added: {added} | "
                     f"{changes(row['lines'])} | {demo} | {row.get('tests', '')} | {row['date']} |")
    return "\n".join(lines)


def write(results: dict, root: Path) -> None:
    """Into benchmarks/results/environments.json and the table of docs/environments.md."""
    _result_file(root).write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    page = root / "docs" / "environments.md"
    text = page.read_text("utf-8")
    start, end = "<!-- made by dev.py environments -->\n", "<!-- end -->"
    before, after = text[: text.index(start) + len(start)], text[text.index(end):]
    page.write_text(f"{before}\n{table(results)}\n\n{after}", "utf-8")


def _result_file(root: Path) -> Path:
    return root / "benchmarks" / "results" / "environments.json"


# The lock ----------------------------------------------------------------------------------------------------------


def lock(host: Host, *, keep: bool = False) -> None:
    """Write both lock files: exact versions and hashes for Python 3.10 to 3.14 and every system, torch apart.

    With `keep`, what is locked stays as it is, the frontend too, and only what is missing is added.
    """
    environment = Environment(DEV / "venv-lock")
    environment.make()
    environment.pip("lock", "Installing uv", "install", "--upgrade", "uv")
    wanted = [*TORCH, *BUILD, *HOST_NEEDS, *TOOLS, *requirements(host.tree / "requirements.txt"),
              *requirements(ROOT / "requirements.txt")]
    text = _compile(environment, wanted, *(("--constraint", LOCK) if keep else ()))
    blocks = [block for block in re.split(r"\n(?=\S)", text.strip()) if not _APART.match(block)]
    head = "# Made by `python3 dev.py lock`; do not edit. What dev.py installs beside PyTorch, whose versions are in " \
           "dev_install.py.\n"
    LOCK.write_text(head + "\n".join(blocks) + "\n", "utf-8")
    if keep:
        return
    newest = _compile(environment, ["comfyui-frontend-package"], "--no-deps")
    FRONTEND_LOCK.write_text(head.split(";")[0] + "; do not edit. The frontend that people get by updating.\n"
                             + newest.strip() + "\n", "utf-8")


def _compile(environment: Environment, wanted: list[str], *more: object) -> str:
    source = DEV / "lock.in"
    source.write_text("\n".join(wanted) + "\n", "utf-8")
    done = environment.run("-m", "uv", "pip", "compile", "--universal", "--python-version", "3.10",
                           "--generate-hashes", "--no-header", "--no-annotate", "--quiet", *more, source, cwd=DEV)
    if done.returncode != 0:
        raise Failure(f"uv finds no versions that go together: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout
