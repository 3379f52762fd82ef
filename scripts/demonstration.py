"""A server of its own with the demonstration, in a throw-away folder, for scripts that measure."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time


@contextlib.contextmanager
def demonstration(program, settings=()):
    """Starts it; yields the process and the port that it serves on."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "PATH": os.environ["PATH"],
            "SWITCHBOARD_SERVER_LISTEN": "127.0.0.1:0",
            "SWITCHBOARD_SERVER_OPS_LISTEN": "127.0.0.1:0",
            "SWITCHBOARD_SERVER_DATA": os.path.join(folder, "data"),
            "SWITCHBOARD_SERVER_SEED": os.path.join(root, "config", "demo.toml"),
            **dict(settings),
        }
        with open(os.path.join(folder, "log"), "w+") as log:
            server = subprocess.Popen([program, "serve"], env=environment, stdout=log, stderr=log)
            try:
                yield server, port_of(server, log)
            finally:
                server.terminate()
                server.wait()


def port_of(server, log):
    """The port that the server says in its log."""
    while True:
        ended = server.poll() is not None
        log.seek(0)
        text = re.sub(r"\x1b\[[0-9;]*m", "", log.read())
        if ended:
            sys.exit(text)
        if found := re.search(r"address=127\.0\.0\.1:(\d+)", text):
            return int(found.group(1))
        time.sleep(0.1)
