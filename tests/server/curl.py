"""A browser in the hands of a test: curl, with cookies and forms."""

import re
import subprocess
from pathlib import Path

from .process import DEADLINE


class Curl:
    """A browser's memory around curl: cookies are kept from one call to the next."""

    def __init__(self, url: str, directory: Path, *options: str) -> None:
        """`options` are curl's, for every call."""
        self.url = url
        self.cookies = directory / "cookies"
        self.options = options

    def __call__(self, target: str, *arguments: str, fails: bool = True) -> str:
        """The body of the answer; a status from 400 on fails the test, unless `fails` says otherwise."""
        return self.bytes(target, *arguments, fails=fails).decode()

    def bytes(self, target: str, *arguments: str, fails: bool = True) -> bytes:
        jar = str(self.cookies)
        command = [
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--cookie",
            jar,
            "--cookie-jar",
            jar,
        ]
        if fails:
            command.append("--fail-with-body")
        result = subprocess.run(
            [*command, *self.options, *arguments, self.url + target],
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        assert result.returncode == 0, (result.stderr, result.stdout)
        return result.stdout

    def status(self, target: str, *arguments: str) -> int:
        return int(
            self(target, "--output", "/dev/null", "--write-out", "%{http_code}", *arguments, fails=False)
        )

    def field(self, target: str, name: str) -> str:
        """A field of the answer to HEAD."""
        return self(target, "--head", "--output", "/dev/null", "--write-out", f"%header{{{name}}}")

    def csrf_token(self, target: str) -> str:
        match = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self(target))
        assert match, "no form with a token"
        return match[1]
