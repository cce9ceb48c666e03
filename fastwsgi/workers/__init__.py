"""The kinds of worker, by the name that `worker_class` has for them."""

from fastwsgi.workers.base import Worker
from fastwsgi.workers.sync import SyncWorker
from fastwsgi.workers.threaded import ThreadedWorker

KINDS: dict[str, type[Worker]] = {"sync": SyncWorker, "gthread": ThreadedWorker}
