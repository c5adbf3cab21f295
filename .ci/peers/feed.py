#!/usr/bin/env python3
"""How quick `kafka_to_hudi` is and how much memory it takes, from a broker to tables in a folder.

  broker.sh feed.py backlog --work DIR --load BIN --program BIN --inspect BIN [--messages 20000000]
  broker.sh feed.py tables --work DIR --load BIN --program BIN --inspect BIN [--tables 300] [--rate 3000] [--seconds 120]

`backlog`: inserts into one table wait in the broker, are read to their end, and are all there; memory is told from second to second.
`tables`: each of many tables gets a few changes a second while they are made; then the consumer is killed, a new one finds the
rest, and every table holds what was made. No process may take more than --memory-mb.

Times are told, not judged: they are of a machine, and of what else runs on it. The broker's share of it is told beside them.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

from compare import Failure, identical
from consumer import Consumer, Ended, wait
from peers import Programs

TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """What Linux tells of a process."""

    def __init__(self, pid):
        self.pid = pid

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mb(self):
        """What is resident, and the most that ever was; nothing of a process that has ended."""
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
            return [int(kib) * 1024 / 1e6 for kib in re.findall(r"Vm(?:HWM|RSS):\s+(\d+)", status.read())][::-1]


def broker():
    """The broker beside us, whose number broker.sh writes down beside what starts it anew."""
    with open(os.path.join(os.path.dirname(os.environ["HUDI_TEST_KAFKA_RESTART"]), "pid"), encoding="utf-8") as pid:
        return Process(int(pid.read()))


def config(a, what):
    path = os.path.join(a.work, "pipeline.toml")
    with open(path, "w", encoding="utf-8") as out:
        out.write(f"""[kafka]
brokers = "{os.environ["HUDI_TEST_KAFKA"]}"
group = "{what}"
topic_pattern = '^{what}\\.public\\.t[0-9]+$'
[format]
name = "debezium-json"
[tables]
url = "{os.path.join(a.work, "tables")}/{{table}}"
[memory]
budget = "{a.budget}"
{a.config}
""")
    return path


def load(a, *more):
    command = [a.load, "--brokers", os.environ["HUDI_TEST_KAFKA"], *map(str, more)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def loaded(process):
    text, _ = process.communicate()
    if process.returncode:
        raise Failure(f"load ended with {process.returncode}")
    print(text.strip(), flush=True)


def in_bounds(a, peak):
    if peak > a.memory_mb:
        raise Failure(f"{peak:.0f} MB resident at most: more than {a.memory_mb}")
    return f"{peak:.0f} MB resident at most"


def backlog(a):
    loaded(load(a, "--prefix", "backlog", "--messages", a.messages, "--inserts"))
    kafka = broker()
    of_broker = kafka.cpu_seconds()
    began = time.time()
    consumer = Consumer(a.program, config(a, "backlog"), os.path.join(a.work, "log"), "--until-the-end")
    process, seen = Process(consumer.process.pid), []
    while consumer.process.poll() is None:
        if memory := process.memory_mb():
            seen.append((*memory, process.cpu_seconds()))
        time.sleep(0.5)
    if consumer.process.returncode:
        raise Ended(f"{consumer.log}: it ended with {consumer.process.returncode}")
    took, cpu = time.time() - began, seen[-1][2]
    of_broker = kafka.cpu_seconds() - of_broker
    print(f"{a.messages} messages in {took:.1f} s: {a.messages / took:,.0f} a second; {cpu:.1f} s of CPU, the broker {of_broker:.1f} s")
    tenths = [seen[len(seen) * tenth // 10][0] for tenth in range(10)]
    print(f"{in_bounds(a, seen[-1][1])}; at each tenth of the time: {' '.join(f'{mb:.0f}' for mb in tenths)}", flush=True)
    found = Programs(a.program, a.inspect).check(os.path.join(a.work, "tables", "t0"))
    if f", {a.messages} rows," not in found:
        raise Failure(f"{a.messages} rows were made, and the table has {found}")


def tables(a):
    state = os.path.join(a.work, "state.jsonl")
    making = load(a, "--prefix", "tables", "--tables", a.tables, "--partitions", 1, "--messages", a.rate * a.seconds,
                  "--rate", a.rate, "--keys", 1000, "--now", "--state", state)
    consumer = Consumer(a.program, config(a, "tables"), os.path.join(a.work, "log"))
    process, behind = Process(consumer.process.pid), {}
    while making.poll() is None:
        time.sleep(1)
        try:
            lines = consumer.metrics()
        except OSError:
            continue
        for text in lines:
            if found := re.match(r'cdc_behind_seconds\{table="([^"]*)"\} (\S+)', text):
                behind[found[1]] = max(behind.get(found[1], 0), float(found[2]))
    loaded(making)
    fresh = freshness(consumer.metrics())
    print(in_bounds(a, process.memory_mb()[1]), flush=True)
    consumer.kill()
    consumer.start()
    process = Process(consumer.process.pid)
    wait("all is read", lambda: sum(consumer.numbers("cdc_messages_total")) and not sum(consumer.numbers("cdc_lag_messages")))
    print("after it was killed: " + in_bounds(a, process.memory_mb()[1]), flush=True)
    consumer.end()
    made = {}
    with open(state, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            made.setdefault(line["topic"].rsplit(".", 1)[1], []).append(json.dumps(line["row"], sort_keys=True))
    programs = Programs(a.program, a.inspect)
    for name, rows in made.items():
        table = os.path.join(a.work, "tables", name)
        programs.check(table)
        columns = json.loads(rows[0]).keys()
        found = [json.dumps({k: v for k, v in json.loads(text).items() if k in columns}, sort_keys=True) for text in programs.rows(table)]
        identical(sorted(rows), sorted(found))
    print(f"{len(made)} tables of {a.tables} topics are what was made, {sum(map(len, made.values()))} rows")
    worst = sorted(behind.values())
    print(f"the oldest change that waited, at its worst: {worst[len(worst) // 2]:.1f} s in half of the tables, {worst[-1]:.1f} s in the worst")
    print(f"from the source's commit to queryable, by commits: {fresh}")


def freshness(lines):
    """The histogram's buckets, of all tables."""
    sums = {}
    for text in lines:
        if found := re.match(r'cdc_freshness_seconds_bucket\{.*le="([^"]+)"\} (\S+)', text):
            sums[float(found[1])] = sums.get(float(found[1]), 0) + float(found[2])
    whole = max(sums.values(), default=0)
    return ", ".join(f"{100 * count / whole:.0f} % within {bound:g} s" for bound, count in sorted(sums.items()) if whole and count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("backlog", "tables"))
    for name in ("work", "load", "program", "inspect"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--messages", type=int, default=20_000_000)
    parser.add_argument("--tables", type=int, default=300)
    parser.add_argument("--rate", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--budget", default="512MiB")
    parser.add_argument("--memory-mb", type=float, default=700 * 1.048576)
    parser.add_argument("--config", default="", help="more lines of the consumer's settings")
    a = parser.parse_args()
    os.makedirs(a.work, exist_ok=True)
    try:
        {"backlog": backlog, "tables": tables}[a.what](a)
    except (Failure, Ended, OSError, subprocess.SubprocessError) as failure:
        sys.exit(f"FAILED: {failure}")


if __name__ == "__main__":
    main()
