"""A ComfyUI server for `dev.py` and the tests: base directory, port, start, wait, stop. Standard library only."""

import functools
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path


class Failure(Exception):
    """What went wrong and the remedy, in one line for the person at the terminal."""


def clean_environment(**more: str) -> dict[str, str]:
    """The environment for everything that is started: without what would let other packages in.

    Nor without compiled files, as some machines are set up: each process would then compile PyTorch, transformers and
    ComfyUI anew, 20 seconds of work.
    """
    unwanted = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    env = {key: value for key, value in os.environ.items() if key not in unwanted}
    return {**env, "PYTHONIOENCODING": "utf-8", **more}


def prepare_base(base: Path, pack: Path) -> None:
    """A base directory for ComfyUI, with the pack linked (not copied) into its custom_nodes."""
    for name in ("custom_nodes", "models", "input", "output", "user"):
        (base / name).mkdir(parents=True, exist_ok=True)
    link = base / "custom_nodes" / "kontinuity"
    if os.path.lexists(link):
        if os.path.realpath(link) == os.path.realpath(pack):
            return
        try:
            link.unlink() if link.is_symlink() else link.rmdir()  # rmdir takes a junction, and no folder with files
        except OSError as error:
            raise Failure(f"{link} is in the way ({error.strerror}); move it elsewhere") from error
    if os.name == "nt":
        import _winapi  # a junction needs no administrator, a symbolic link does

        _winapi.CreateJunction(str(pack), str(link))
    else:
        link.symlink_to(pack, target_is_directory=True)


@functools.lru_cache
def has_cuda(python: Path) -> bool:
    """Is there a GPU that this environment's PyTorch can use? Importing torch takes seconds: ask the driver first."""
    code = "import torch; raise SystemExit(not torch.cuda.is_available())"
    return shutil.which("nvidia-smi") is not None and subprocess.run(
        [python, "-c", code], capture_output=True, env=clean_environment(), check=False).returncode == 0


def free_port(port: int) -> int:
    """`port` if nobody listens there, or any free one for 0; on the loopback interface."""
    with socket.socket() as probe:
        if os.name != "nt":  # there the option would mean sharing the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise Failure(f"port {port} cannot be used ({getattr(error, 'strerror', None) or error}); "
                          "choose another with --port, or leave it out to get a free one") from error
        return probe.getsockname()[1]


def last_line(log: Path) -> str:
    """The last line of a log that says something (of a traceback: the error itself)."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else "the log is empty"


def import_failure(log_text: str, base: Path) -> str:
    """Why a pack in `base` could not be imported, from ComfyUI's log; empty if all are well."""
    nodes = str(base / "custom_nodes")
    failed = [line for line in log_text.splitlines() if "(IMPORT FAILED)" in line and nodes in line]
    if not failed:
        return ""
    causes = [line.strip() for line in log_text.splitlines() if nodes in line
              and ("Cannot import" in line or "Error while calling comfy_entrypoint" in line)]
    return (causes or failed)[-1]


class Server:
    """A ComfyUI server as a context manager: started, waited for, and always stopped."""

    def __init__(self, comfyui: Path, python: Path, base: Path, port: int = 0, output: Path | None = None,
                 extra: Sequence[str] = (), *, log: Path, tick: Callable[[], None] = lambda: None):
        self.comfyui, self.python, self.base, self.output, self.log = comfyui, python, base, output, log
        self.extra, self.tick = tuple(extra), tick
        self.port = free_port(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def command(self) -> list[str]:
        """The command line of the server."""
        # The database path is relative to the base directory: a URL would misread some characters of a folder name.
        command = [str(self.python), str(self.comfyui / "main.py"), "--base-directory", str(self.base), "--listen",
                   "127.0.0.1", "--port", str(self.port), "--disable-auto-launch", "--database-url",
                   "sqlite:///user/comfyui.db"]
        command += [] if has_cuda(self.python) else ["--cpu"]
        command += ["--output-directory", str(self.output)] if self.output else []
        return command + list(self.extra)

    def start(self, timeout: float = 600) -> None:
        """Start and wait until it answers. Failure if it dies, if it takes too long, or if the pack was not loaded."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        own = Path(__file__).resolve().parent in self.comfyui.resolve().parents
        # A user's tree is not written to: compiled files go elsewhere.
        elsewhere = {} if own else {"PYTHONPYCACHEPREFIX": str(self.base / "pycache")}
        env = clean_environment(PYTHONUNBUFFERED="1", **elsewhere)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=subprocess.STDOUT, env=env,
                                            stdin=subprocess.DEVNULL, cwd=str(self.base),
                                            start_new_session=os.name != "nt")
        try:
            self._wait(self.process, time.monotonic() + timeout)
        except BaseException:
            self.stop()
            raise

    def _wait(self, process: subprocess.Popen, deadline: float) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows no loopback
        while True:
            if process.poll() is not None:
                raise Failure(f"ComfyUI stopped while starting (exit code {process.returncode}): "
                              f"{last_line(self.log)} (log: {self.log})")
            try:
                with opener.open(self.url + "/system_stats", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                pass
            if time.monotonic() > deadline:
                raise Failure(f"ComfyUI does not answer at {self.url}: {last_line(self.log)} (log: {self.log})")
            self.tick()
            time.sleep(0.25)
        problem = import_failure(self.log.read_text("utf-8", "replace"), self.base)
        if problem:
            raise Failure(f"ComfyUI cannot load a pack: {problem} (log: {self.log})")

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self.process is None:
            return
        self._signal("SIGTERM")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        self.kill()  # also what the server itself may have started

    def kill(self) -> None:
        """End it at once, with everything it started."""
        if self.process is not None:
            self._signal("SIGKILL")
            self.process.wait()

    def _signal(self, name: str) -> None:
        if self.process is None:
            return
        try:
            if os.name == "nt":
                self.process.kill()
            else:
                os.killpg(self.process.pid, getattr(signal, name))
        except (ProcessLookupError, PermissionError):  # nobody left in the group
            pass

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
