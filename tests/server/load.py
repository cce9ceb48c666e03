"""A loader for tests that want to see every answer: it asks all the time, and keeps what went wrong."""

import threading
from typing import Self

from .client import Client, Response

REQUESTS_PER_CONNECTION = 20


class Load:
    """Clients that ask `url` for `target`, each on connections of its own, until the end of `with`."""

    def __init__(self, url: str, target: str = "/", clients: int = 3) -> None:
        self.url = url
        self.target = target
        self.answered = 0
        self.failures: list[str] = []
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def ask(self) -> None:
        while not self.over.is_set():
            try:
                with Client.open(self.url) as client:
                    for _ in range(REQUESTS_PER_CONNECTION):
                        response = self.one(client)
                        self.note(response)
                        if response.closes or self.over.is_set():
                            break
            except (AssertionError, OSError) as error:
                with self.lock:
                    self.failures.append(repr(error))

    def one(self, client: Client) -> Response:
        """One request and its answer."""
        return client.get(self.target)

    def note(self, response: Response) -> None:
        with self.lock:
            self.answered += 1
            if response.status != 200 or not response.complete:
                self.failures.append(f"{response.status} {response.body!r}")
