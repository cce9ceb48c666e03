"""With a preloaded application, what must not be shared is made anew in each worker."""

import os
import random

bind = "127.0.0.1:0"
workers = 2
preload_app = True
worker_tmp_dir = "/dev/shm"


def post_fork(server, worker):
    import shop

    random.seed(worker.pid)
    shop.connection = f"connection of {os.getpid()}"
    server.log.info("Worker spawned (pid: %s)", worker.pid)
