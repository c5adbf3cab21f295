#!/usr/bin/env python3
"""Has the peers read our tables, and go on writing some of them, and compares the rows with ours.

  interop.py --suite suite.json --work DIR [--replay BIN --inspect BIN] [--shared DIR] [--hudi 0.15.0] [--only REGEX]

suite.json is a list of tables:

  {"table": "orders_bucket",                       its folder below DIR
   "input": "{shared}/pg/json/records.jsonl.gz",   a capture to make it from; without it the folder is there already,
   "topic": "...", "arguments": ["--index", ...],  and its rows in DIR/orders_bucket.expected.jsonl
   "continue": {"index": "BUCKET", "buckets": 4, "metadata": false},        Hudi's Java goes on writing; absent: it only reads
   "skip": {"hudi-rs": "why"}}                     readers that cannot take it

What is held for each table:
  1. Made from the first half of each partition of the capture (all of it without `continue`), it passes `inspect --check`, and Hudi's Java and hudi-rs read
     the rows that `inspect --output jsonl` prints.
  2. With `continue`: Java deletes, updates and inserts rows; all three of us read what was asked for; `inspect --check` passes.
     Then `replay` goes on with the whole capture: it commits, all three agree again, and once more `replay` finds nothing to do.

`{shared}` is the folder of shared captures (--shared), `{repo}` this repository. A capture that is not there is passed over,
loudly. Only the standard library is needed here; each peer runs in its own environment (install.sh).
"""
import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import canonical
import spark_server

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
SHOWN = 5
PATIENCE_SECONDS = 600


class Failure(Exception):
    """What went wrong, as text for people."""


class Java:
    """Hudi's Java behind pipes."""

    def __init__(self, hudi):
        self.name = f"hudi-{hudi}"
        venv = "spark-3.4" if hudi.startswith("0.14.") else "spark-3.5"
        python = os.path.join(spark_server.PEERS, venv, "bin", "python")
        log = None if os.environ.get("SPARK_LOG") else subprocess.DEVNULL
        self.process = subprocess.Popen([python, os.path.join(HERE, "spark_server.py"), "--hudi", hudi],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8")
        self.up = False

    def answer(self):
        watch = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        watch.start()
        text = self.process.stdout.readline()
        watch.cancel()
        if not text:
            raise Failure(f"the JVM ended with exit code {self.process.wait()}; SPARK_LOG=ERROR shows why")
        answer = json.loads(text)
        if not answer["ok"]:
            raise Failure(answer["error"])
        return answer

    def ask(self, **request):
        if not self.up:
            print(f"{self.name}: JVM up after {self.answer()['seconds']} s", flush=True)
            self.up = True
        self.process.stdin.write(json.dumps(request, ensure_ascii=False) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def rows(self, table, out):
        self.schema = self.ask(op="rows", table=table, out=out)["schema"]
        return canonical.read(out)

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


class HudiRs:
    """The `hudi` wheel."""

    name = "hudi-rs"

    def rows(self, table, out):
        python = os.path.join(spark_server.PEERS, "hudi-rs", "bin", "python")
        done = subprocess.run([python, os.path.join(HERE, "hudi_rs_rows.py"), table, out], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        if done.returncode:
            raise Failure((done.stderr.strip().splitlines() or ["no message"])[-1])
        return canonical.read(out)


class Programs:
    """Our own programs."""

    def __init__(self, replay, inspect):
        self.replay_bin, self.inspect_bin = replay, inspect

    def run(self, command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              encoding="utf-8", timeout=PATIENCE_SECONDS)
        if done.returncode:
            raise Failure(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()[-2000:]} {done.stdout.strip()[-500:]}")
        return done.stdout

    def replay(self, entry, capture, table):
        """Replays and returns the numbers on the last line."""
        command = [self.replay_bin, "--input", capture, "--format", "debezium-json", "--table", table]
        command += ["--topic", entry["topic"]] if entry.get("topic") else []
        arguments = [argument.replace("{repo}", REPO) for argument in entry.get("arguments", [])]
        return json.loads(self.run(command + arguments).splitlines()[-1])

    def check(self, table):
        self.run([self.inspect_bin, "--table", table, "--check"])

    def rows(self, table):
        return self.run([self.inspect_bin, "--table", table, "--query", "snapshot", "--output", "jsonl"]).split("\n")[:-1]


# ---- comparing -----------------------------------------------------------------------------------------------------

def normal(lines, schema):
    """Our lines in canonical form, as Java's schema tells the types."""
    convert = canonical.from_ours(schema)
    found = []
    for text in filter(None, lines):
        try:
            found.append(canonical.line(convert(canonical.parse_ours(text))))
        except (ValueError, TypeError, AttributeError, ArithmeticError) as e:
            raise Failure(f"a line of ours does not fit Java's schema: {e!r} in {text[:500]}") from e
    return sorted(found)


def without_nan(kind, value):
    """A canonical value in which NaN and infinities are null, as JSON without strings for them has it."""
    if value is None:
        return None
    if kind in ("float", "double"):
        return None if isinstance(value, str) else value
    if isinstance(kind, dict):
        if kind["type"] == "struct":
            types = {f["name"]: f["type"] for f in kind["fields"]}
            return {n: without_nan(types.get(n), x) for n, x in value.items()}
        if kind["type"] == "array":
            return [without_nan(kind["elementType"], x) for x in value]
        if kind["type"] == "map":
            return {k: without_nan(kind["valueType"], x) for k, x in value.items()}
    return value


def same(schema, keys, ours, theirs):
    """Raises a Failure that shows the first differences, column by column where the key is on both sides."""
    blur = lambda lines: sorted(canonical.line(without_nan(schema, json.loads(text))) for text in lines)
    ours, theirs = blur(ours), blur(theirs)
    if ours == theirs:
        return
    key = lambda row: canonical.line([row.get(k) for k in keys])
    index = lambda lines, other: {key(json.loads(t)): json.loads(t) for t in lines if t not in other}
    mine, other = index(ours, set(theirs)), index(theirs, set(ours))
    text = [f"{len(ours)} rows of ours, {len(theirs)} of theirs, {len(set(mine) | set(other))} keys differ"]
    for k in sorted(set(mine) | set(other))[:SHOWN]:
        if k not in other or k not in mine:
            text.append(f"  {k} only {'in ours' if k in mine else 'in theirs'}")
            continue
        columns = sorted(set(mine[k]) | set(other[k]))
        text += [f"  {k}.{c}: ours {_short(mine[k], c)}, theirs {_short(other[k], c)}" for c in columns
                 if c not in mine[k] or c not in other[k] or mine[k][c] != other[k][c]][:SHOWN]
    if not mine and not other:
        text.append("  the same lines, but not as often")
    raise Failure("\n".join(text))


def _short(row, column):
    return canonical.line(row[column])[:200] if column in row else "no such column"


# ---- what Java is to change ----------------------------------------------------------------------------------------

def changes(rows, schema, props):
    """Rows to delete, to update and to insert, for a table with `rows`: (deletes, upserts)."""
    keys, fixed = key_columns(props), set(key_columns(props))
    fixed |= set((props.get("hoodie.table.partition.fields") or "").split(","))
    fixed |= set((spark_server.ordering(props) or "").split(","))
    types = {f["name"]: f["type"] for f in schema["fields"]}
    column = next((f["name"] for f in schema["fields"] if f["type"] == "string" and f["name"] not in fixed
                   and not f["name"].startswith("_cdc_")), None)
    deletes, kept = rows[:2], rows[2:]
    upserts = [dict(row) for row in kept[:3]]
    if column:
        for row in upserts:
            row[column] = (row[column] or "") + " by Java"
    born = dict(rows[-1])
    name = keys[0]
    if types[name] in ("integer", "long"):
        born[name] = max(row[name] for row in rows) + 1
    elif types[name] == "string":
        born[name] = max(row[name] for row in rows) + "j"
    else:
        return deletes, upserts
    return deletes, upserts + [born]


def key_columns(props):
    return (props.get("hoodie.table.recordkey.fields") or "").split(",")


def applied(rows, keys, deletes, upserts):
    key = lambda row: canonical.line([row[k] for k in keys])
    model = {key(row): row for row in rows}
    for row in deletes:
        del model[key(row)]
    model.update({key(row): row for row in upserts})
    return sorted(canonical.line(row) for row in model.values())


# ---- one table -----------------------------------------------------------------------------------------------------

class Suite:
    """Runs tables and counts what held, in the manner of cargo's tests."""

    def __init__(self, work, shared, programs, java):
        self.work, self.shared, self.programs, self.java = work, shared, programs, java
        self.readers = [java, HudiRs()]
        self.passed, self.failed, self.ignored, self.captures = 0, [], 0, set()

    def test(self, name, do):
        """Runs `do` as one test; whether it held."""
        started = time.time()
        try:
            do()
        except (Failure, subprocess.TimeoutExpired) as e:
            self.failed.append(name)
            print(f"test interop::{name} ... FAILED ({time.time() - started:.1f} s)\n{e}", flush=True)
            return False
        self.passed += 1
        print(f"test interop::{name} ... ok ({time.time() - started:.1f} s)", flush=True)
        return True

    def ignore(self, name, why):
        self.ignored += 1
        print(f"test interop::{name} ... ignored: {why}", flush=True)

    def run(self, entry):
        name, table = entry["table"], os.path.join(self.work, entry["table"])
        if not entry.get("input"):
            with open(table + ".expected.jsonl", encoding="utf-8") as f:
                expected = f.read().split("\n")
            if self.read(entry, "there", lambda: expected) and entry.get("continue"):
                self.test(f"{name}::continued_by_java", lambda: self.go_on(entry, table))
            return
        capture = entry["input"].replace("{shared}", self.shared).replace("{repo}", REPO)
        if not self.programs:
            return self.ignore(name, "--replay and --inspect are not given")
        if not os.path.exists(capture):
            return self.ignore(name, f"{capture} is not here")
        if "{shared}" in entry["input"]:
            self.captures.add(capture)
        shutil.rmtree(table, ignore_errors=True)
        ours = lambda: self.programs.rows(table)
        first = capture
        if entry.get("continue"):
            first = os.path.join(self.work, name + ".half.jsonl")
            first_half(capture, entry.get("topic"), first)
        if not self.test(f"{name}::made", lambda: self.replayed(entry, first, table)):
            return
        if self.read(entry, "made", ours) and entry.get("continue"):
            if self.test(f"{name}::continued_by_java", lambda: self.go_on(entry, table)) \
                    and self.test(f"{name}::continued_by_us", lambda: self.replayed(entry, capture, table)):
                self.read(entry, "continued_by_us", ours)
                self.test(f"{name}::nothing_left_to_do", lambda: self.idle(entry, capture, table))

    def read(self, entry, step, ours):
        """Has every reader read the table and compares with our lines."""
        table = os.path.join(self.work, entry["table"])
        keys = key_columns(spark_server.properties(table))
        held, exact = True, []
        for reader in self.readers:
            name = f"{entry['table']}::{step}::{reader.name}"
            if reader.name in entry.get("skip", {}):
                self.ignore(name, entry["skip"][reader.name])
                continue

            def do():
                theirs = reader.rows(table, f"{table}.{reader.name}.jsonl")
                schema = self.java.schema
                same(schema, keys, normal(ours(), schema), theirs)
                exact.append(theirs)
                if exact[0] != theirs:
                    raise Failure("NaN or infinities, which are null in our lines, differ from the first reader's")
            held &= self.test(name, do)
            if not held and reader is self.java:
                break  # no schema to compare with
        return held

    def replayed(self, entry, capture, table):
        done = self.programs.replay(entry, capture, table)
        if not done["commits"]:
            raise Failure(f"no commit was made: {done}")
        self.programs.check(table)

    def idle(self, entry, capture, table):
        done = self.programs.replay(entry, capture, table)
        if done["commits"] or done["upserts"] or done["deletes"]:
            raise Failure(f"it did something: {done}")

    def go_on(self, entry, table):
        """Java deletes, updates and inserts; then all of us read what that should lead to."""
        props = spark_server.properties(table)
        keys = key_columns(props)
        rows = [json.loads(text) for text in self.java.rows(table, f"{table}.before.jsonl")]
        schema = self.java.schema
        deletes, upserts = changes(rows, schema, props)
        self.java.ask(op="continue", table=table, deletes=deletes, upserts=upserts, **entry["continue"])
        model = applied(rows, keys, deletes, upserts)
        for reader in self.readers:
            if reader.name not in entry.get("skip", {}):
                try:
                    same(schema, keys, model, reader.rows(table, f"{table}.{reader.name}.jsonl"))
                except Failure as e:
                    raise Failure(f"{reader.name} after Java's changes (ours: what was asked for): {e}") from e
        if self.programs:
            self.programs.check(table)
            same(schema, keys, normal(self.programs.rows(table), schema), model)

    def finish(self):
        print(f"{len(self.captures)} shared captures replayed by the interop suite")
        result = "FAILED" if self.failed else "ok"
        for name in self.failed:
            print(f"    interop::{name}")
        print(f"test result: {result}. {self.passed} passed; {len(self.failed)} failed; {self.ignored} ignored; "
              f"0 measured; 0 filtered out")
        return 1 if self.failed else 0


def first_half(capture, topic, out):
    """Writes the first half of each topic's partitions: what a replay can go on from."""
    with open(capture, "rb") as f:
        zipped = f.read(2) == b"\x1f\x8b"
    with (gzip.open if zipped else open)(capture, "rt", encoding="utf-8") as f:
        lines = [(json.loads(text), text) for text in f if text.strip()]
    parts = {}
    for record, text in lines:
        if topic in (None, record["topic"]):
            parts.setdefault((record["topic"], record["partition"]), []).append(text.rstrip("\n"))
    canonical.write(out, [text for part in parts.values() for text in part[:(len(part) + 1) // 2]])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--suite", default=os.path.join(HERE, "suite.json"))
    p.add_argument("--work", required=True, help="where the tables are, or are made")
    p.add_argument("--replay", help="our program of this name; with --inspect")
    p.add_argument("--inspect")
    p.add_argument("--shared", default="", help="the folder of shared captures")
    p.add_argument("--hudi", default="0.15.0")
    p.add_argument("--only", help="a regular expression on the tables' names")
    a = p.parse_args()
    with open(a.suite, encoding="utf-8") as f:
        entries = [e for e in json.load(f) if not a.only or re.search(a.only, e["table"])]
    os.makedirs(a.work, exist_ok=True)
    programs = Programs(os.path.abspath(a.replay), os.path.abspath(a.inspect)) if a.replay and a.inspect else None
    java = Java(a.hudi)
    suite = Suite(os.path.abspath(a.work), a.shared or "shared captures", programs, java)
    try:
        for entry in entries:
            suite.run(entry)
    finally:
        java.stop()
    return suite.finish()


if __name__ == "__main__":
    sys.exit(main())
