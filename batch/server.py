"""HTTP with one ComfyUI server: its address, redirects, statuses, silence, and what is said when something is wrong."""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from ..common import InputError

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10
_MOST_JSON = 64 << 20  # bytes
_FRAME_BYTES = 64 << 20  # a preview may be larger than aiohttp's 4 MiB
_SLOWEST_UPLOAD = 10_000  # bytes per second
_CHECK = "check the address, the port, and the path if ComfyUI has one (http://host:8188/comfy)"
_STATUSES = {  # HTTP status -> what it says, remedy
    401: ("it wants a login", "give it with the address: http://name:password@host"),
    403: ("it forbids that", "let the proxy before ComfyUI allow it, or give a login with the address: "
                             "http://name:password@host"),
    404: ("it has no such page", _CHECK),
    405: ("it has no such page", _CHECK),
    413: ("the request is too large for it", "start ComfyUI with a larger --max-upload-size (in MB), or raise the "
                                             "limit of the proxy before it"),
    429: ("it has too many requests", "wait a while"),
    502: ("a proxy does not reach ComfyUI", "start ComfyUI, or look at the proxy's log"),
    503: ("a proxy does not reach ComfyUI", "start ComfyUI, or look at the proxy's log"),
    504: ("a proxy does not reach ComfyUI", "start ComfyUI, or look at the proxy's log"),
}


class ServerError(InputError):
    """The server cannot be reached, breaks off, or answers other than ComfyUI does.

    `status` is the HTTP status of the answer, None without one. `arrived` is False if the server has certainly not
    got the request.
    """

    def __init__(self, url: str, problem: str, remedy: str, *, status: int | None = None, arrived: bool = True):
        super().__init__("queue", "server", url, problem, remedy)
        self.status, self.arrived = status, arrived


class Server:
    """One ComfyUI server, between `open()` and `close()`.

    `silence_seconds` is how long it may send nothing before a request counts as failed; how long a whole answer takes
    does not matter. `url` is the address without a login, for messages. Raises InputError for what is no address.
    """

    def __init__(self, address: str, silence_seconds: float):
        try:
            text = address.strip()
            url = URL(text if "://" in text else f"http://{text}").with_query(None).with_fragment(None)
            usable = url.scheme in ("http", "https") and url.host and url.port
        except ValueError:  # a port that is no number, or too large
            usable = False
        if not usable:
            raise InputError("queue", "server", address, "is not a web address", "write http://127.0.0.1:8188")
        self._address = url.with_path(url.raw_path.rstrip("/"), encoded=True)
        self.url = str(self._address.with_user(None)).rstrip("/")
        self._silence = silence_seconds
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        # A new connection for each request: the server may just be closing an idle one, and then a prompt that was
        # sent on it cannot be told from a prompt that arrived.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True), timeout=self._timeout(), trust_env=self._is_far())

    async def close(self) -> None:
        await self._opened().close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the server is used before it is opened")
        return self._session

    async def ask(self, route: str, body: Any = None, *, form: Callable[[], aiohttp.FormData] | None = None,
                  form_bytes: int = 0) -> dict[str, Any]:
        """Its JSON answer ({} if empty) to a GET, or to a POST of a body or form. ServerError for all but a 200."""
        status, content = await self.answer(route, body, form=form, form_bytes=form_bytes)
        if status != 200:
            raise self.refusal(status, route)
        return self.read_json(content or b"{}", route)

    async def answer(self, route: str, body: Any = None, *, form: Callable[[], aiohttp.FormData] | None = None,
                     form_bytes: int = 0) -> tuple[int, bytes]:
        """Status and content of what it answers; ServerError without an answer."""
        data = form
        if body is not None:
            content = json.dumps(body).encode()
            data, form_bytes = (lambda: content), len(content)
        async with self.request(route, data=data, data_bytes=form_bytes) as response:
            parts, size = [], 0
            async for part in response.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > _MOST_JSON:
                    raise ServerError(self.url, f"answered {route} with more than {_MOST_JSON >> 20} MiB", _CHECK,
                                      status=response.status)
            return response.status, b"".join(parts)

    @asynccontextmanager
    async def request(self, route: str, *, query: Mapping[str, str] | None = None,
                      data: Callable[[], Any] | None = None, data_bytes: int = 0,
                      headers: Mapping[str, str] | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response, of any status but a redirect, to be read inside `async with`; aiohttp's errors in there become
        ServerErrors. POST if there is `data`, a function, since a redirect wants it again."""
        method = "GET" if data is None else "POST"
        # Nothing is read while sending, so that only the whole can be limited.
        timeout = self._timeout(self._silence + data_bytes / _SLOWEST_UPLOAD if data else None)
        headers = dict(headers or {}) | ({"Content-Type": "application/json"} if method == "POST" else {})
        url = self._at(route).update_query(query or {})
        try:
            for _ in range(_MOST_REDIRECTS):
                payload = data() if data else None
                if isinstance(payload, aiohttp.FormData):
                    headers.pop("Content-Type", None)  # it brings its own
                async with self._opened().request(method, url, data=payload, headers=headers, timeout=timeout,
                                                   allow_redirects=False) as response:
                    if response.status not in _REDIRECTS:
                        yield response
                        return
                    url = self._redirected(route, url, response)
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise self._broken(error) from None
        raise ServerError(self.url, f"redirects {route} in a circle", _CHECK, arrived=False)

    def socket(self, client_id: str) -> Any:
        """The websocket, to be opened with `async with`."""
        return self._opened().ws_connect(self._at("/ws").update_query({"clientId": client_id}), heartbeat=30,
                                         max_msg_size=_FRAME_BYTES)

    def refusal(self, status: int, route: str) -> ServerError:
        """What to say about a status that is not the one hoped for."""
        says, remedy = _STATUSES.get(status, ("", "look at ComfyUI's log"))
        problem = f"answered {route} with HTTP status {status}"
        return ServerError(self.url, f"{problem}: {says}" if says else problem, remedy, status=status)

    def read_json(self, content: bytes, route: str) -> dict[str, Any]:
        """The JSON object in an answer; ServerError if it is something else."""
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        raise ServerError(self.url, f"answered {route} with something that is not JSON: a login page, another program",
                          _CHECK, status=200)

    def _at(self, route: str) -> URL:
        return URL(str(self._address).rstrip("/") + route, encoded=True)

    def _timeout(self, total: float | None = None) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=total, sock_connect=min(10.0, self._silence), sock_read=self._silence)

    def _is_far(self) -> bool:
        """Whether it is outside this machine and its network, where the proxy that HTTP_PROXY names leads."""
        host = self._address.host or ""
        try:
            return not ipaddress.ip_address(host).is_private
        except ValueError:
            return "." in host

    def _redirected(self, route: str, url: URL, response: aiohttp.ClientResponse) -> URL:
        """Where a redirect leads. ServerError if a POST cannot follow it."""
        location = response.headers.get("Location", "")
        try:
            target = response.url.join(URL(location))
            known = bool(location) and target.scheme in ("http", "https") and bool(target.host)
        except ValueError:
            known = False
        if not known:
            raise ServerError(self.url, f"redirects {route} to '{location}', which is no web address", _CHECK,
                              status=response.status, arrived=False)
        # 301 and 302 turn a POST into a GET for browsers, and so does 303 for all; a moved ComfyUI wants the POST, and
        # a login page does not.
        moved = target.path.rstrip("/").endswith(route)
        if response.method == "POST" and (response.status == 303 or response.status < 303 and not moved):
            raise ServerError(self.url, f"redirects {route} to {target}, which is not ComfyUI",
                              "log in there, or give the address that ComfyUI itself has", status=response.status,
                              arrived=False)
        here = (target.host, target.scheme, target.port) == (url.host, url.scheme, url.port)
        if here or (target.host, target.scheme, url.scheme) == (url.host, "https", "http"):  # the login stays with it
            target = target.with_user(url.user).with_password(url.password)
        return target

    def _broken(self, error: Exception) -> ServerError:
        reason = str(error) or type(error).__name__
        if isinstance(error, aiohttp.ClientSSLError):
            return ServerError(self.url, f"cannot be reached safely ({reason})", "write http:// if it has no "
                               "certificate, or name its certificate in SSL_CERT_FILE", arrived=False)
        if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)):
            return ServerError(self.url, f"cannot be reached ({reason})", "start ComfyUI, or give its address",
                               arrived=False)
        if isinstance(error, asyncio.TimeoutError):
            return ServerError(self.url, f"has been silent for {self._silence:g} s", "look at ComfyUI's log")
        if isinstance(error, aiohttp.ClientPayloadError):  # aiohttp's reason is for programmers
            return ServerError(self.url, "broke off in the middle of its answer", "look at ComfyUI's log")
        return ServerError(self.url, f"broke the connection off ({reason})", "look at ComfyUI's log")
