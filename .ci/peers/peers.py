"""The programs that read and write tables here, each behind pipes: Hudi's Java, hudi-rs, and our own."""
import json
import os
import subprocess
import threading

import canonical
import spark_server
from compare import Failure

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
PATIENCE_SECONDS = 600


class Server:
    """A process that answers each line of JSON with one."""

    def __init__(self, name, command, scratch, shows_errors=False):
        self.name, self.command, self.scratch = name, command, scratch
        os.makedirs(scratch, exist_ok=True)
        self.errors = None if shows_errors else subprocess.DEVNULL
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        text=True, encoding="utf-8")

    def answer(self):
        watch = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        watch.start()
        text = self.process.stdout.readline()
        watch.cancel()
        if not text:
            code, self.process = self.process.wait(), None
            raise Failure(f"{self.name} ended with exit code {code}; SPARK_LOG=ERROR shows why")
        answer = json.loads(text)
        if not answer["ok"]:
            raise Failure(answer["error"])
        return answer

    def ask(self, **request):
        if not self.process:
            self.start()
        self.process.stdin.write(json.dumps(request, ensure_ascii=False) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def rows(self, table, **request):
        """The canonical lines of a snapshot."""
        out = os.path.join(self.scratch, f"{os.path.basename(table)}.{self.name}.jsonl")
        self.ask(op="rows", table=table, out=out, **request)
        return canonical.read(out)

    def stop(self):
        if self.process:
            self.process.stdin.close()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
            self.process = None


class Java(Server):
    """Hudi's Java of one version: one JVM, which begins to start at once."""

    def __init__(self, hudi, scratch, s3=None):
        venv = "spark-3.4" if hudi.startswith("0.14.") else "spark-3.5"
        python = os.path.join(spark_server.PEERS, venv, "bin", "python")
        command = [python, os.path.join(HERE, "spark_server.py"), "--hudi", hudi, "--memory", "2g", *(["--s3", s3] if s3 else [])]
        super().__init__(f"hudi-{hudi}", command, scratch, bool(os.environ.get("SPARK_LOG")))
        self.version, self.up = hudi, False
        self.start()

    def ask(self, **request):
        request["table"] = request["table"].replace("s3://", "s3a://")
        if not self.up:
            print(f"{self.name}: JVM up after {self.answer()['seconds']} s", flush=True)
            self.up = True
        answer = super().ask(**request)
        self.schema = answer.get("schema", getattr(self, "schema", None))
        return answer


class HudiRs(Server):
    """The `hudi` wheel."""

    def __init__(self, scratch):
        python = os.path.join(spark_server.PEERS, "hudi-rs", "bin", "python")
        super().__init__("hudi-rs", [python, os.path.join(HERE, "hudi_rs_rows.py")], scratch)


class Programs:
    """Our own programs."""

    def __init__(self, replay, inspect, glue_sync=None):
        self.replay_bin, self.inspect_bin = os.path.abspath(replay), os.path.abspath(inspect)
        self.glue_sync_bin = glue_sync and os.path.abspath(glue_sync)

    def run(self, command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              encoding="utf-8", timeout=PATIENCE_SECONDS)
        if done.returncode:
            raise Failure(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()[-2000:]} {done.stdout.strip()[-500:]}")
        return done.stdout

    def command(self, entry, capture, table):
        return [self.replay_bin, "--input", capture, "--table", table, "--topic", entry["topic"],
                *entry["arguments"]]

    def replay(self, entry, capture, table, *more):
        """Replays and returns the numbers on the last line."""
        return json.loads(self.run([*self.command(entry, capture, table), *more]).splitlines()[-1])

    def check(self, table):
        """Holds if the table is what its timeline says; returns what is said of it."""
        return self.run([self.inspect_bin, "--table", table, "--check"]).strip()

    def rows(self, table):
        return self.run([self.inspect_bin, "--table", table, "--query", "snapshot", "--output", "jsonl"]).split("\n")[:-1]

    def glue_sync(self, below, database):
        """Tells Glue of all tables below a place, and returns the numbers on the last line."""
        return json.loads(self.run([self.glue_sync_bin, "--below", below, "--database", database]).splitlines()[-1])


def install(*what):
    """Begins to install peers (install.sh), in the background."""
    return subprocess.Popen(["bash", os.path.join(HERE, "install.sh"), *what], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def installed(process):
    """Waits until they are."""
    text, _ = process.communicate()
    if process.returncode:
        raise Failure(f"install.sh ended with {process.returncode}: {text[-2000:]}")
