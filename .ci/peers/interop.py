#!/usr/bin/env python3
"""Has the peers read our tables, and go on writing some of them, and compares the rows with ours.

  interop.py --work DIR --replay BIN --inspect BIN [--suite suite.json] [--shared DIR] [--hudi 0.15.0 1.0.2 1.1.1] [--only REGEX]

The tables are suite.json's (tables.py). What is held:
  1. Each table passes `inspect --check`, and all tables of one topic hold the same rows, whatever their index, partitions
     and commits. Those with `java` are read by hudi-rs and by Hudi's Java of each version: the same rows.
  2. Of a table with `go_on` there is another that holds the first half of each partition of the capture. Java of the versions that
     keep a table's version at 6 deletes, updates and inserts rows of copies of it, once with its metadata table and once
     without; all readers see what was asked for, and `inspect --check` passes. Then `replay` goes on with the whole capture: it
     drops the metadata table, all readers see what a model says, and once more `replay` finds nothing to do.
  3. What a writer that died left behind is cleaned up by the other (dead.py).
  4. Where there is an S3 server (s3.sh), some tables are there instead (on_s3.py); --replay and --inspect need the feature `s3`.

One JVM runs at a time; the next version is installed meanwhile. A capture that is not there is passed over, loudly. Only the
standard library is needed here; each peer runs in its own environment (install.sh).
"""
import collections
import json
import os
import shutil
import sys
import time

import canonical
import captures
import dead
import model
import on_s3
import places
import spark_server
import tables
from compare import Failure, blur, identical, normal, same
from peers import HudiRs, Java, Programs, install, installed
from results import Results

# Those that can be told to leave a table's version as it is, and do so.
GOING_ON = ("0.15.0", "1.1.1")
S3 = os.environ.get("HUDI_TEST_S3")


class Suite(Results):
    """Runs steps and counts what held."""

    def __init__(self, work, programs):
        super().__init__("interop")
        self.work, self.programs, self.hudi_rs = work, programs, HudiRs(os.path.join(work, "rows"))
        self.lines, self.read_by_first, self.java = {}, {}, None
        self.counts = collections.Counter()

    def path(self, *parts):
        path = os.path.join(self.work, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    # ---- our tables ------------------------------------------------------------------------------------------------

    def make(self, entries):
        """Makes all tables; returns the entries whose tables are there."""
        made, alike = [], {}
        for entry in entries:
            if not os.path.exists(entry["input"]):
                self.ignore(entry["name"], f"{entry['input']} is not here")
            elif self.test(f"{entry['name']}::made", lambda: self.make_one(entry, alike)):
                made.append(entry)
        return made

    def make_one(self, entry, alike):
        table = self.path("whole", entry["name"])
        for kind in ("whole", "half"):
            shutil.rmtree(self.path(kind, entry["name"]), ignore_errors=True)
        self.replayed(entry, entry["input"], table)
        self.lines[entry["name"]] = lines = self.programs.rows(table)
        if entry["alike"]:
            # In whatever order their columns came.
            lines = sorted(canonical.line(canonical.parse_ours(text)) for text in lines)
            other, expected = alike.setdefault(entry["alike"], (entry["name"], lines))
            try:
                identical(expected, lines)
            except Failure as e:
                raise Failure(f"not the rows of {other}: {e}") from e
        if entry["go_on"]:
            captures.part(entry["input"], entry["topic"], self.path("half", entry["name"] + ".jsonl"))
            self.replayed(entry, self.path("half", entry["name"] + ".jsonl"), self.path("half", entry["name"]))

    def replayed(self, entry, capture, table, *more):
        done = self.programs.replay(entry, capture, table, *more)
        if not done["commits"]:
            raise Failure(f"no commit was made: {done}")
        if done["dead_letters"]:
            raise Failure(f"some messages could not be rows: {done}")
        self.programs.check(table)

    # ---- reading ---------------------------------------------------------------------------------------------------

    def read(self, entry):
        """Java reads the whole table, and the first of its versions is followed by hudi-rs."""
        table, name = self.path("whole", entry["name"]), entry["name"]

        def java():
            theirs = self.java.rows(table)
            same(self.java.schema, self.keys(table), normal(self.lines[name], self.java.schema), theirs)
            if name in self.read_by_first:
                identical(self.read_by_first[name], theirs)
            self.counts["points"] += 1
            read.append(theirs)
        read = []
        held = self.test(f"{name}::read_by_{self.java.name}", java)
        self.counts["read"] += held
        if held and name not in self.read_by_first:
            self.read_by_first[name] = read[0]
            self.test(f"{name}::read_by_hudi-rs", lambda: self.hudi_rs_reads(name, table))

    def hudi_rs_reads(self, name, table):
        identical(self.read_by_first[name], self.hudi_rs.rows(table))
        self.counts["points"] += 1

    def keys(self, table):
        return model.key_columns(spark_server.properties(table))

    def all_read(self, table, lines):
        """Holds if each reader finds the rows of `lines` in the table."""
        keys = self.keys(table)
        for reader in (self.java, self.hudi_rs):
            try:
                same(self.java.schema, keys, lines, reader.rows(table))
            except Failure as e:
                raise Failure(f"{reader.name} (ours: the model): {e}") from e
        try:
            same(self.java.schema, keys, lines, normal(self.programs.rows(table), self.java.schema))
        except Failure as e:
            raise Failure(f"we (theirs: our reader; ours: the model): {e}") from e
        self.programs.check(table)
        self.counts["points"] += 3

    # ---- going on --------------------------------------------------------------------------------------------------

    def copy(self, entry, kind):
        """A copy of the table of the first half, for one test."""
        table = self.path(self.java.name, f"{entry['name']}.{kind}")
        shutil.rmtree(table, ignore_errors=True)
        shutil.copytree(self.path("half", entry["name"]), table)
        return table

    def go_on(self, entry, metadata):
        kind = "with_metadata" if metadata else "without_metadata"
        name, table = f"{entry['name']}::{self.java.name}::{kind}", self.copy(entry, kind)
        states = {}
        if self.test(f"{name}::java_goes_on", lambda: self.java_goes_on(entry, table, metadata, states)) \
                and self.test(f"{name}::we_go_on", lambda: self.we_go_on(entry, table, states)) \
                and self.test(f"{name}::nothing_left_to_do", lambda: self.idle(entry, table)):
            self.counts["go-ons"] += 1

    def java_goes_on(self, entry, table, metadata, states):
        """Java deletes, updates and inserts; all of us read what that should lead to."""
        states["before"] = self.java.rows(table)
        states["changed"] = self.java_changes(entry, table, states["before"], metadata=metadata)
        self.is_version_6(table, metadata)
        self.all_read(table, states["changed"])

    def java_changes(self, entry, table, before, **more):
        """Has Java change the table; returns the lines it should hold then."""
        props = spark_server.properties(table)
        rows = [json.loads(text) for text in before]
        spec = dict(entry["go_on"])
        deletes, upserts = model.changes(rows, self.java.schema, props, spec.pop("moves", False))
        self.java.ask(op="continue", table=table, deletes=deletes, upserts=upserts, **spec, **more)
        return model.applied(rows, model.key_columns(props), deletes, upserts)

    def we_go_on(self, entry, table, states, *more):
        """We go on with the whole capture; all of us read what a model says."""
        self.replayed(entry, entry["input"], table, *more)
        self.is_version_6(table, False)
        whole = normal(self.lines[entry["name"]], self.java.schema)
        blurred = lambda lines: blur(self.java.schema, lines)
        states["after"] = model.gone_on(blurred(states["before"]), blurred(states["changed"]), blurred(whole), self.keys(table))
        self.all_read(table, states["after"])

    def is_version_6(self, table, metadata):
        props = spark_server.properties(table)
        if props.get("hoodie.table.version") != "6":
            raise Failure(f"the table's version became {props.get('hoodie.table.version')}")
        files, partitions = places.files(table, ".hoodie/metadata"), props.get("hoodie.table.metadata.partitions")
        if (bool(files), bool(partitions)) != (metadata, metadata):
            raise Failure(f"want {'a' if metadata else 'no'} metadata table, found files {files[:5]} and partitions `{partitions}`")

    def idle(self, entry, table, *more):
        done = self.programs.replay(entry, entry["input"], table, *more)
        if done["commits"] or done["upserts"] or done["deletes"]:
            raise Failure(f"it did something: {done}")

    # ---- all of it -------------------------------------------------------------------------------------------------

    def version(self, hudi, entries):
        """What one version of Java reads, and goes on with."""
        self.counts.clear()
        started = time.time()
        for entry in entries:
            if entry["java"]:
                self.read(entry)
        reading = time.time() - started
        if hudi in GOING_ON:
            for entry in entries:
                if entry["go_on"]:
                    for metadata in (False, True):
                        self.go_on(entry, metadata)
            dead.run(self, [entry for entry in entries if entry["go_on"]])
            if S3:
                on_s3.run(self, [entry for entry in entries if entry["go_on"]])
        return (f"{self.java.name}: {self.counts['read']} tables read in {reading:.0f} s, {self.counts['go-ons']} go-ons, "
                f"{self.counts['dead']} dead instants, {self.counts['on S3']} on S3, {self.counts['points']} points compared, {time.time() - started:.0f} s")


def main():
    p = tables.parser(__doc__)
    p.add_argument("--hudi", nargs="+", default=["0.15.0", "1.0.2", "1.1.1"])
    a = p.parse_args()
    work, entries = tables.chosen(a)
    suite, summaries, made = Suite(work, Programs(a.replay, a.inspect)), [], None
    coming = install(a.hudi[0], *(["s3"] if S3 else []))
    for number, hudi in enumerate(a.hudi):
        installed(coming)
        suite.java = Java(hudi, os.path.join(work, "rows"), S3 if hudi in GOING_ON else None)
        if number + 1 < len(a.hudi):
            coming = install(a.hudi[number + 1])
        try:
            if made is None:
                made = suite.make(entries)
                shared = {e["input"] for e in made if e["is_shared"]}
                summaries.append(f"{len(shared)} shared captures replayed by the interop suite into {len(made)} tables")
            summaries.append(suite.version(hudi, made))
            print(summaries[-1], flush=True)
        finally:
            suite.java.stop()
    suite.hudi_rs.stop()
    return suite.finish(summaries)


if __name__ == "__main__":
    sys.exit(main())
