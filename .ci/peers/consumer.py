"""A process of `kafka_to_hudi`, and what it tells of itself."""
import re
import socket
import subprocess
import time
import urllib.request

from compare import Failure

PATIENCE_SECONDS = 240


def wait(what, holds, seconds=PATIENCE_SECONDS, pause=0.25):
    """Waits until `holds()` is true, or a Failure that it raises is no more; the last one counts."""
    until, last = time.time() + seconds, None
    while time.time() < until:
        try:
            if holds():
                return
            last = None
        except (Failure, OSError) as failure:
            last = failure
        time.sleep(pause)
    raise Failure(f"{what}: not within {seconds} s{f': {last}' if last else ''}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Ended(Exception):
    """A consumer that nobody killed is not there."""


class Consumer:
    """A process of `kafka_to_hudi`."""

    def __init__(self, program, config, log, *more):
        self.log, self.port, self.process = log, free_port(), None
        self.command = [program, "--config", config, "--watch", f"127.0.0.1:{self.port}", *more]
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def runs(self):
        if self.process.poll() is not None:
            raise Ended(f"{self.log}: it ended with {self.process.returncode}")

    def kill(self):
        self.runs()
        self.process.kill()
        self.process.wait()

    def end(self):
        """Asks it to end, which it does after a last commit; not before it has begun."""
        wait(f"{self.log} answers", lambda: self.numbers("cdc_healthy"))
        self.process.terminate()
        if self.process.wait(PATIENCE_SECONDS):
            raise Ended(f"{self.log}: asked to end it did with {self.process.returncode}")

    def metrics(self):
        """The lines of its /metrics."""
        self.runs()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return answer.read().decode().splitlines()

    def numbers(self, name):
        """What its /metrics say of a name."""
        return [float(text.rsplit(" ", 1)[1]) for text in self.metrics() if re.match(name + r"[ {]", text)]
