"""On SIGINT a worker says where all of its threads are."""

bind = "127.0.0.1:0"


def worker_int(worker):
    worker.log.info("worker received INT or QUIT signal")

    import sys
    import threading
    import traceback

    names = {thread.ident: thread.name for thread in threading.enumerate()}
    lines = []
    for ident, frame in sys._current_frames().items():
        lines.append(f"\n# Thread: {names.get(ident, '')}({ident})")
        for filename, number, name, line in traceback.extract_stack(frame):
            lines.append(f'File: "{filename}", line {number}, in {name}')
            if line:
                lines.append(f"  {line.strip()}")
    worker.log.debug("\n".join(lines))


def worker_abort(worker):
    worker.log.info("worker received SIGABRT signal")


loglevel = "debug"
