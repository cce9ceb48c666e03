"""An application that does not come back, in the ways there are."""

import ctypes
import time


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/sleep":
        sleep_in_python()
    elif path == "/c":
        sleep_in_c()
    elif path == "/part":
        return part_of_an_answer(start_response)
    elif path == "/deaf":
        try:
            sleep_in_python()
        except BaseException:
            pass
    elif path == "/cleanup":
        try:
            sleep_in_python()
        finally:
            print("cleaned up", file=environ["wsgi.errors"], flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"as usual"]


def sleep_in_python():
    time.sleep(3600)


def sleep_in_c():
    # PyDLL does not let go of the GIL
    libc = ctypes.PyDLL(None)
    while True:
        libc.sleep(3600)


def part_of_an_answer(start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"part"
    sleep_in_python()
