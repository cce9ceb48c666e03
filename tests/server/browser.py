"""Chromium without a window, driven by chromedriver over the WebDriver protocol, which is JSON over HTTP."""

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from .front import HOST, program
from .process import DEADLINE, clean_environment, eventually

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, by the protocol's specification
FLAGS = [
    "--headless=new",
    "--no-sandbox",  # which root cannot have; what is visited is ours
    "--disable-dev-shm-usage",  # containers have little of it
    "--disable-background-networking",
    f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
]


class Browser:
    """One window.  Whoever makes it must call close()."""

    def __init__(self, directory: Path) -> None:
        """Its profile is kept in `directory`."""
        command = [program("chromedriver"), "--port=0", f"--log-path={directory}/chromedriver.log"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment())
        try:
            self.address = f"http://127.0.0.1:{self.port()}"
            options = {"args": [*FLAGS, f"--user-data-dir={directory}/profile"]}
            capabilities = {
                "acceptInsecureCerts": True,
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            session = self.call("POST", "/session", capabilities={"alwaysMatch": capabilities})
            self.address += f"/session/{session['sessionId']}"
        except BaseException:
            self.end()
            raise

    def port(self) -> int:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "started successfully on port" in line:
                return int(line.rstrip().rstrip(".").rpartition(" ")[2])
        raise AssertionError(f"chromedriver has ended: {self.process.wait()}")

    def call(self, method: str, path: str, **parameters: Any) -> Any:
        body = json.dumps(parameters).encode() if method == "POST" else None
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(self.address + path, body, headers, method=method)
        with urllib.request.urlopen(asked, timeout=DEADLINE) as answer:
            return json.load(answer)["value"]

    def visit(self, url: str) -> None:
        """Go there, and wait until the page and what belongs to it are loaded."""
        self.call("POST", "/url", url=url)

    @property
    def title(self) -> str:
        return str(self.call("GET", "/title"))

    def wait_for_text(self, text: str) -> None:
        """Wait until `text` can be read in a page that is completely loaded."""
        script = "return document.readyState == 'complete' ? document.body.innerText : ''"
        eventually(lambda: text in self.run(script), lambda: f"{self.title}: {self.run(script)}")

    def find(self, selector: str) -> str:
        """The path of the first element that a CSS selector matches."""
        element = self.call("POST", "/element", using="css selector", value=selector)
        return f"/element/{element[ELEMENT]}"

    def fill(self, selector: str, text: str) -> None:
        self.call("POST", f"{self.find(selector)}/value", text=text)

    def click(self, selector: str) -> None:
        """Click; the page that this leads to may not be there at once."""
        self.call("POST", f"{self.find(selector)}/click")

    def run(self, script: str, *arguments: Any) -> Any:
        """What the function body `script` returns in the page; a promise is waited for."""
        return self.call("POST", "/execute/sync", script=script, args=arguments)

    def console(self) -> list[str]:
        """What the console has shown since the last call."""
        return [entry["message"] for entry in self.call("POST", "/se/log", type="browser")]

    def network(self) -> list[tuple[str, int | str]]:
        """Each answer since the last call, with its status or why there was none."""
        events = [
            json.loads(entry["message"])["message"]
            for entry in self.call("POST", "/se/log", type="performance")
        ]
        urls: dict[str, str] = {}
        found: list[tuple[str, int | str]] = []
        for event in events:
            what = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                urls[what["requestId"]] = what["request"]["url"]
                if "redirectResponse" in what:
                    found.append((what["redirectResponse"]["url"], what["redirectResponse"]["status"]))
            elif event["method"] == "Network.responseReceived":
                found.append((what["response"]["url"], what["response"]["status"]))
            elif event["method"] == "Network.loadingFailed" and what["requestId"] in urls:
                # what is not there is the browser's own: it looks for updates
                found.append((urls[what["requestId"]], what["errorText"]))
        return found

    def close(self) -> None:
        try:
            self.call("DELETE", "")
        finally:
            self.end()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
