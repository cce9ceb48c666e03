"""The sync worker: one thread serves the loop and calls the application."""

from fastwsgi.workers.base import Worker


class SyncWorker(Worker):
    multithread = False
