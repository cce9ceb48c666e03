"""An application that says which thread it is in, and takes as long as it is told to."""

import os
import random
import threading
import time

gathered = threading.Barrier(4)
once = threading.Event()


def application(environ, start_response):
    thread = threading.get_ident()
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/meet":
        gathered.wait(20)  # which four calls at once leave, and no fewer
    elif path == "/hold":
        once.wait(20)
    elif path == "/hold-for-file":
        while not os.path.exists(os.environ["RELEASED"]):
            time.sleep(0.005)
    elif path == "/release":
        once.set()
    elif path == "/stuck":
        time.sleep(3600)
    elif path == "/spin":
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            pass
    elif path == "/random":
        time.sleep(random.choice((0, 0, 0, 0.0005, 0.003, 0.01)))
    if path == "/stream":
        return blocks(query, thread)
    return [f"{query} {thread == threading.get_ident()}".encode()]


def blocks(token, thread):
    for number in range(5):
        time.sleep(random.choice((0, 0.001, 0.003)))
        yield f"{token} {number} {thread == threading.get_ident()};".encode()
