"""An application that does not come back, in the ways there are."""

import contextlib
import ctypes
import time

# PyDLL does not let go of the GIL.
libc = ctypes.PyDLL(None)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain")]
    if path == "/sleep":
        sleep()
    elif path == "/loop":
        while True:
            pass
    elif path == "/c":
        print("lock for ever", file=environ["wsgi.errors"], flush=True)
        lock_for_ever()
    elif path == "/part":
        return part_of_an_answer(start_response, sleep)
    elif path == "/part-c":
        return part_of_an_answer(start_response, lock_for_ever)
    elif path == "/deaf":
        with contextlib.suppress(BaseException):
            sleep()
    elif path == "/cleanup":
        try:
            sleep()
        finally:
            print("cleaned up", file=environ["wsgi.errors"], flush=True)
    elif path == "/started":
        start_response("200 OK", headers)
        sleep()
    elif path == "/started-c":
        start_response("200 OK", headers)
        lock_for_ever()
    elif path == "/wrong-c":
        with contextlib.suppress(ValueError):
            start_response("not a status", headers)
        lock_for_ever()
    elif path == "/first-c":
        return nothing_at_all(start_response)
    elif path == "/headers":
        start_response("200 OK", slow_headers())
    elif path == "/close":
        start_response("200 OK", [*headers, ("Content-Length", "5")])
        return SlowToClose()
    elif path == "/raise":
        raise LookupError(path)
    elif path == "/crash":
        libc.abort()
    start_response("200 OK", headers)
    return [b"as usual"]


def sleep():
    time.sleep(3600)


def lock_for_ever():
    mutex = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    # what the second one waits for never comes, and no signal ends it
    libc.pthread_mutex_lock(mutex)


def part_of_an_answer(start_response, then):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"part"
    then()


def nothing_at_all(start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    lock_for_ever()
    yield b"nothing"


def slow_headers():
    yield ("Content-Type", "text/plain")
    sleep()


class SlowToClose:
    def __iter__(self):
        yield b"whole"

    def close(self):
        sleep()
