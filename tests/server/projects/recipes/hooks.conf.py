"""Every server hook, told in the log with what such hooks usually look at."""

import collections

bind = "127.0.0.1:0"
workers = 1
loglevel = "debug"

counts = collections.Counter()


def tell(log, hook, *what):
    counts[hook] += 1
    log.info("HOOK %s #%d %s", hook, counts[hook], " ".join(map(str, what)))


def on_starting(server):
    tell(server.log, "on_starting", server.pid, server.cfg.workers, server.num_workers, server.master_pid)


def on_reload(server):
    tell(server.log, "on_reload", server.pid)


def when_ready(server):
    tell(server.log, "when_ready", server.address, len(server.LISTENERS))


def nworkers_changed(server, new_value, old_value):
    tell(server.log, "nworkers_changed", old_value, new_value)


def pre_fork(server, worker):
    tell(server.log, "pre_fork", worker.age, worker.pid)


def post_fork(server, worker):
    tell(server.log, "post_fork", worker.age, worker.pid, worker.ppid)


def post_worker_init(worker):
    tell(worker.log, "post_worker_init", worker.pid, worker.alive, worker.booted, callable(worker.wsgi))


def worker_int(worker):
    tell(worker.log, "worker_int", worker.pid)


def worker_abort(worker):
    tell(worker.log, "worker_abort", worker.pid)


def pre_request(worker, req):
    tell(worker.log, "pre_request", req.method, req.path)


def post_request(worker, req, environ, resp):
    tell(worker.log, "post_request", req.uri, environ["REMOTE_ADDR"], resp.status_code, resp.sent)


def worker_exit(server, worker):
    tell(server.log, "worker_exit", worker.pid, worker.nr)


def child_exit(server, worker):
    tell(server.log, "child_exit", worker.pid)


def on_exit(server):
    tell(server.log, "on_exit", server.pid)
