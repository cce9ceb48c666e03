"""Values that are computed: from the machine, and from the environment."""

import multiprocessing
import os

workers_per_core_str = os.getenv("WORKERS_PER_CORE", "1")
max_workers_str = os.getenv("MAX_WORKERS")
use_max_workers = int(max_workers_str) if max_workers_str else None
host = os.getenv("HOST", "127.0.0.1")
port = os.getenv("PORT_OF_OURS", "0")

cores = multiprocessing.cpu_count()
default_web_concurrency = cores * 2 + 1
web_concurrency = max(int(os.getenv("CONCURRENCY", default_web_concurrency)), 2)
if use_max_workers:
    web_concurrency = min(web_concurrency, use_max_workers)

loglevel = os.getenv("LOG_LEVEL", "info")
workers = web_concurrency
bind = os.getenv("BIND") or f"{host}:{port}"
errorlog = os.getenv("ERROR_LOG", "-") or None
accesslog = os.getenv("ACCESS_LOG", "-") or None
worker_tmp_dir = "/dev/shm"
graceful_timeout = int(os.getenv("GRACEFUL_TIMEOUT", "120"))
timeout = int(os.getenv("TIMEOUT", "120"))
keepalive = int(os.getenv("KEEP_ALIVE", "5"))
max_requests = 1000
max_requests_jitter = 50


def on_starting(server):
    server.log.info("starting with %d workers, keepalive %d", server.cfg.workers, server.cfg.keepalive)
