"""The core's access lines as a function: what is the line of a request that a test, or a tool, makes up?"""

class Format:
    """A format of the access log, compiled; lines go to the descriptor `fd`, which stays the caller's.

    ValueError: it names what only Python has.
    """

    def __init__(self, format: str, fd: int = -1, script_name: str = "") -> None: ...
    def write(self, head: bytes, addr: str, status: int, sent: int, took_ns: int) -> None:
        """Write the line of a request: `head` is what it began with, whole or not. OSError: it is lost."""
