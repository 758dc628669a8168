"""`with Browser() as page`: a real Chromium without a window, to look at what we make, as a person would

    page ── DevTools protocol, JSON over two pipes (descriptors 3 and 4: no port, no driver) ──→ chromium --headless

    python -m tests.browser URL-OR-FILE OUT.png [WIDTH [HEIGHT|full [dark]]]      a picture of a page

It resolves no name, so a page that wants something from the network does not get it.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage",
    "--no-proxy-server", "--hide-scrollbars", "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip
# Every element of a document, those inside components (shadow roots) too.
EVERYTHING = """
const all = (root) => [...root.querySelectorAll('*')].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
"""


def chromium() -> str:
    """The program; skips the test where there is none, after Debian's was asked for where packages may be installed."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None and any(
        os.environ.get(name, "0") not in ("", "0", "false") for name in ("CI", "PACKTRAIN_CHROMIUM_TEST")
    ):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-qq", "--yes", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", *words], env=quiet, capture_output=True, check=False)
        found = shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium here: apt install chromium, or PACKTRAIN_CHROMIUM_TEST=1 as root")
    return found


class Browser:
    """One tab. `requests` are the addresses that the page asked for, its own first."""

    def __init__(self, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        self.program, self.size, self.dark = chromium(), (width, height), dark
        self.requests: list[str] = []
        self._number, self._rest, self._session = 0, b"", None

    def __enter__(self) -> Browser:
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for pair in (os.pipe(), os.pipe()) for end in pair]
        its_in, self._out, self._in, its_out = ends

        def arrange() -> None:
            os.dup2(its_in, 3), os.dup2(its_out, 4)

        self._process = subprocess.Popen(
            [self.program, *FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=arrange, pass_fds=(3, 4),
        )  # fmt: skip
        os.close(its_in), os.close(its_out)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable"), self.call("Network.enable")
        self.look(*self.size, self.dark)
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, EOFError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._out), os.close(self._in)
        self._folder.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol; raises `RuntimeError` with what the browser objects to."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def look(self, width: int, height: int = 900, dark: bool = False) -> None:
        """As a screen of this size shows it, light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str | Path) -> None:
        self.call("Page.navigate", url=address.resolve().as_uri() if isinstance(address, Path) else address)
        self.wait("document.readyState === 'complete'")

    def ask(self, javascript: str) -> Any:
        """The value of an expression, or of the last statement of several."""
        found = self.call("Runtime.evaluate", expression=javascript, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{javascript}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, javascript: str, seconds: float = 60) -> Any:
        """Until the expression is true; raises `TimeoutError`."""
        end = time.monotonic() + seconds
        while not (value := self.ask(javascript)):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds:g} s: {javascript}")
            time.sleep(0.1)
        return value

    def picture(self, path: Path, full: bool = False) -> None:
        """A PNG of the screen, or of the `full` page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._in, 1 << 20)
            if not more:
                raise EOFError("Chromium has gone")
            self._rest += more
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


if __name__ == "__main__":
    where, out, width, height, *dark = [
        *sys.argv[1:3],
        *(sys.argv[3:] or ["1200"]),
        *(["900"] if len(sys.argv) < 5 else []),
    ]
    with Browser(int(width), 900 if height == "full" else int(height), bool(dark)) as page:
        page.open(where if "://" in where else Path(where))
        time.sleep(float(os.environ.get("SECONDS_BEFORE", "1")))
        page.picture(Path(out), full=height == "full")
