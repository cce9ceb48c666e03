"""The kinds of worker, by the name that `worker_class` has for them."""

from fastwsgi.workers.base import Worker
from fastwsgi.workers.sync import SyncWorker

KINDS: dict[str, type[Worker]] = {"sync": SyncWorker}
