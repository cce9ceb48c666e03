"""A proxy in front waits for a file, as the buildpacks with nginx do."""

import os

bind = f"unix:{os.environ['SOCKET']}"
ready_file = os.environ["READY_FILE"]


def when_ready(server):
    with open(ready_file, "w"):
        pass
