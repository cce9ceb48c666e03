"""How long requests take, measured by hooks."""

import time

bind = "127.0.0.1:0"


def pre_request(worker, req):
    req.start_time = time.monotonic()
    worker.log.info("begin %s %s", req.method, req.path)


def post_request(worker, req, environ, resp):
    milliseconds = (time.monotonic() - req.start_time) * 1000
    headers = dict(req.headers)
    worker.log.info(
        "end %s %s status=%s user_agent=%s duration=%.1fms",
        req.method,
        req.path,
        resp.status.split()[0],
        headers.get("USER-AGENT", "-"),
        milliseconds,
    )
