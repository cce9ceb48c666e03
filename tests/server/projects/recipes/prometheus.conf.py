"""Metrics of several workers: each writes files of its own, and the master says which workers are gone."""

from prometheus_client import multiprocess

bind = "127.0.0.1:0"
workers = 2


def post_worker_init(worker):
    worker.log.info("metrics opened: %s", worker.pid)


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
    server.log.info("marked dead: %s", worker.pid)
