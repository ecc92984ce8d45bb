#!/usr/bin/env python3
"""One command from a fresh checkout to a storyboard, a test run, a server or a benchmark.

    python3 dev.py demo                      four panels and a contact sheet, drawn by a real ComfyUI
    python3 dev.py test [pytest arguments]   the tests
    python3 dev.py lint [ruff arguments]     ruff, pyright, import-linter and ESLint
    python3 dev.py comfyui [--port N] [-- arguments of ComfyUI]
    python3 dev.py bench NAME [--out FILE] [arguments]
    python3 dev.py environments [NAME ...]   installs the pack into ComfyUIs of several years, and looks what it breaks
    python3 dev.py lock                      the exact versions of all of the above, taken anew from the registry

Standard library only. What it makes lies in `.venv` (Python packages, those of dev_lock.txt) and `.dev` (ComfyUI, its
base directory, logs) beside this file; a second run installs nothing and needs no network.
"""

import argparse
import datetime
import errno
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# Before anything that an old Python cannot read at run time; the file itself parses on 3.6, so that this line is seen.
if not (3, 10) <= sys.version_info[:2] <= (3, 14):  # noqa: UP036
    sys.exit(f"error: Python {platform.python_version()} cannot run Kontinuity, because PyTorch offers 3.10 to 3.14; "
             "name one of these, such as python3.11 dev.py demo")

ROOT = Path(__file__).resolve().parent


def load_beside(name: str):
    """A module beside this file, by path: the checkout must not be on sys.path (ComfyUI, too, has a `nodes`)."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


_server, _install, _lint, _environments = map(load_beside, ("dev_server", "dev_install", "dev_lint",
                                                            "dev_environments"))
Failure, prepare_base = _server.Failure, _server.prepare_base
clean_environment, has_cuda, last_line = _server.clean_environment, _server.has_cuda, _server.last_line
Progress, check_tree, prepare = _install.Progress, _install.check_tree, _install.prepare
newer_frontend, tree_version = _install.newer_frontend, _install.tree_version
if TYPE_CHECKING:
    from dev_install import Host
    from dev_server import Server
else:
    Host, Server = _install.Host, _server.Server

BASE = _install.DEV / "base"
LOGS = _install.LOGS
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def start_server(host: Host, log: str, **options) -> Server:
    """A running server with the pack in it; the caller stops it."""
    prepare_base(BASE, ROOT)
    with Progress(f"Starting ComfyUI {tree_version(host.tree)}") as progress:
        server = Server(host.tree, host.environment.python, BASE, log=LOGS / log, tick=progress.update, **options)
        server.start()
    return server


def calm_cpu(python: Path) -> None:
    """One thread for small models on a CPU: more only wait for each other, and results stay the same everywhere."""
    if not has_cuda(python):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def demo(options) -> int:
    """Four panels and a contact sheet, through the server's HTTP API."""
    host, output = prepare(options.comfyui), ROOT / "demo_output"
    calm_cpu(host.environment.python)
    output.mkdir(exist_ok=True)
    server = start_server(host, "server-demo.log")
    try:
        done = subprocess.run([host.environment.python, "-m", "kontinuity.batch",
                               ROOT / "workflows" / "api" / "storyboard.json", "--server", server.url, "--out", output],
                              stdout=subprocess.PIPE, env=clean_environment(), cwd=BASE, check=False)
    finally:
        server.stop()
    paths = done.stdout.decode("utf-8", "replace").split("\n")
    if done.returncode != 0:
        print(f"The demo did not finish (the server's log: {server.log})", file=sys.stderr)
        return done.returncode
    print("The panels and the contact sheet:")
    print("\n".join(f"  {path}" for path in paths if path.strip()))
    return 0


def test(options) -> int:
    """Pytest; tests that want the real server or a browser learn from the environment where they are.

    Without arguments it runs in two processes: ComfyUI's tests in the one, the others meanwhile (tests/layers.py).
    """
    host = prepare(options.comfyui)
    python = host.environment.python
    calm_cpu(python)
    more = {"KONTINUITY_COMFYUI": str(host.tree), "KONTINUITY_NODE": str(_lint.node(host.environment))}
    browser = os.environ.get("KONTINUITY_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser:
        more["KONTINUITY_CHROMIUM"] = browser
        more["KONTINUITY_FRONTENDS"] = os.environ.get("KONTINUITY_FRONTENDS") or str(newer_frontend(host.environment))
    arguments = list(options.rest) or ["-n", str(min(2, os.cpu_count() or 1))]
    if options.coverage:
        arguments += ["--cov", "--cov-report=term:skip-covered", f"--cov-report=html:{_install.DEV / 'coverage'}"]
    return subprocess.run([python, "-m", "pytest", *arguments], env=clean_environment(**more), cwd=ROOT,
                          check=False).returncode


def lint(options) -> int:
    """Ruff, pyright, import-linter and ESLint."""
    return 0 if _lint.lint(prepare().environment, options.rest) else 1


def comfyui(options) -> int:
    """A server in the foreground, with its log on the terminal, until Ctrl-C."""
    server = start_server(prepare(options.comfyui), "server.log", port=options.port, extra=options.rest)
    print(f"ComfyUI with Kontinuity runs at {server.url} (Ctrl-C stops it)", flush=True)
    try:
        with open(server.log, encoding="utf-8", errors="replace") as log:
            while server.process and server.process.poll() is None:
                print(log.read(), end="", flush=True)
                time.sleep(0.25)
    except KeyboardInterrupt:
        print("\nstopped")
        return 0
    finally:
        server.stop()
    raise Failure(f"ComfyUI ended by itself: {last_line(server.log)} (log: {server.log})")


def machine() -> dict:
    """What a benchmark ran on."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.M)
        cpu = found.group(1) if found else cpu
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    gpu = ""
    if shutil.which(query[0]):
        gpu = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    return {"cpu": cpu, "cores": os.cpu_count(), "gpu": gpu or None, "system": platform.platform()}


def versions(host: Host) -> dict:
    """What a benchmark ran with."""
    code = ("import importlib.metadata as m, json, platform\n"
            "names = ('torch', 'diffusers', 'transformers')\n"
            "print(json.dumps({'python': platform.python_version(), **{n: m.version(n) for n in names}}))")
    return {**json.loads(host.environment.run("-c", code).stdout), "comfyui": tree_version(host.tree)}


def benchmark_names() -> list[str]:
    """What `bench` can run."""
    return sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if not path.stem.startswith("_"))


def parse_result(name: str, line: str) -> dict:
    """The JSON object on a benchmark's last line."""
    try:
        result = json.loads(line)
    except ValueError:
        result = None
    if not isinstance(result, dict):
        raise Failure(f"benchmark {name}: its last line is no JSON object ({line[:80]!r}); see benchmarks/{name}.py")
    return result


def bench(options) -> int:
    """Run one benchmark; its last line, a JSON object, is printed with the machine, versions, date and command."""
    name = options.name
    if name not in benchmark_names():
        raise Failure(f"no benchmark {name!r}; there are: {', '.join(benchmark_names()) or 'none yet'}")
    host = prepare(options.comfyui)
    process = subprocess.Popen([host.environment.python, "-m", f"kontinuity.benchmarks.{name}", *options.rest],
                               text=True, encoding="utf-8", stdout=subprocess.PIPE,
                               env=clean_environment(KONTINUITY_COMFYUI=str(host.tree)))
    last = ""
    assert process.stdout
    try:
        for line in process.stdout:  # one line late: the last one is not to be printed as it is
            if line.strip():
                print(last, end="", flush=True)
                last = line
    except BaseException:
        process.kill()
        raise
    if process.wait() != 0:
        print(last, end="", flush=True)
        raise Failure(f"benchmark {name} failed (exit code {process.returncode}); what it printed is above")
    result = {**parse_result(name, last), "machine": machine(), "versions": versions(host),
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "command": shlex.join(["python3", "dev.py", *options.command_line])}
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result))
    return 0


def environments(options) -> int:
    """Install the pack into ComfyUIs as people have them: is everything that was there as it was, does all run?"""
    host = prepare()
    calm_cpu(host.environment.python)
    results = _environments.run_all(host, options.names, tests=options.tests)
    results |= {"machine": machine(), "command": shlex.join(["python3", "dev.py", *options.command_line]),
                "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
    print(_environments.table(results))
    _environments.write(_environments.with_earlier(results, ROOT), ROOT)
    return 0 if all(goal["met"] for goal in results["goals"]) else 1


def lock(options) -> int:
    """Take the newest versions that go together from the registry into dev_lock.txt and dev_lock_frontend.txt."""
    _environments.lock(prepare(), keep=options.keep)
    return 0


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line. What is not ours (for pytest, ruff, a benchmark, ComfyUI after `--`) is in `rest`."""
    argv = list(argv)
    at = argv.index("--") if "--" in argv else len(argv)
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="dev.py", description=summary, epilog=rest, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for run in (demo, test, lint, comfyui, bench, environments, lock):
        command = commands.add_parser(run.__name__, help=(run.__doc__ or "").split("\n")[0], allow_abbrev=False)
        command.set_defaults(run=run)
        command.set_defaults(comfyui=None)
        if run in (demo, test, comfyui, bench):
            command.add_argument("--comfyui", type=Path, metavar="PATH", help="a ComfyUI you have; it is only read")
        if run is comfyui:
            command.add_argument("--port", type=int, default=0, help="where to listen (default: a free port)")
        if run is bench:
            command.add_argument("name", metavar="NAME", help=", ".join(benchmark_names()))
            command.add_argument("--out", type=Path, metavar="FILE", help="also write the result to this file")
        if run is environments:
            command.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_environments.ENVIRONMENTS))
            command.add_argument("--no-tests", dest="tests", action="store_false",
                                 help="leave the tests out")
        if run is test:
            command.add_argument("--coverage", action="store_true",
                                 help="also report which lines no test runs (servers and other processes not counted)")
        if run is lock:
            command.add_argument("--keep", action="store_true", help="add what is missing, change nothing else")
    options, unknown = parser.parse_known_args(argv[:at])
    if unknown and options.run in (demo, comfyui, environments, lock):
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    options.rest, options.command_line = unknown + argv[at + 1:], argv
    return options


def main(argv: Sequence[str]) -> int:
    """Run one command; what a person can mend is said in one line, without a traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a server is stopped on the way out
    options = parse_arguments(argv)
    try:
        if options.comfyui:
            options.comfyui = check_tree(options.comfyui)
        return options.run(options)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            print(f"error: disk full while writing {error.filename or 'a file'}; make room and run the command again",
                  file=sys.stderr)
        else:
            print(f"error: {error}; check this path and its permissions", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
