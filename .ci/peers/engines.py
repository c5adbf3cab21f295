#!/usr/bin/env python3
"""Has SQL engines of Athena's family read our tables after each thing that happens to them, as Glue tells of them.

  s3.sh engines.sh presto,trino engines.py --work DIR --replay BIN --inspect BIN --glue-sync BIN [--suite suite.json] [--shared DIR]
                                           [--only REGEX]

The tables are suite.json's `engines` (tables.py), all below one place in S3. They grow in rounds: in each every table gets the next stage
of its capture (made.py's `stages`; others in thirds). What is held in each round, of each table:
  1. Our own reader's rows are those that made.py says, where it says so; in the last round `inspect --check` passes.
  2. `glue_sync --below` holds, and says once more that nothing changed; all that engines may ask stands in Glue (server.py).
  3. Each engine reads the rows that `inspect` reads, but for what EXCEPTIONS says.
Glue fails meanwhile: throttled in mid-sync it must hold all the same; where it refuses calls the next sync must make it good.

A capture that is not there is passed over, loudly. Only the standard library is needed.
"""
import concurrent.futures
import datetime
import json
import os
import re
import sys
import time

import canonical
import captures
import made
import model
import places
import server
import spark_server
import sql
import tables
from compare import Failure, identical, normal, same
from peers import Programs
from results import Results

BUCKET = "engines"
ROOT = f"s3://{BUCKET}/Lake"
DATABASE = "lake"
SHARES = {"first third": 1 / 3, "second third": 2 / 3, "whole": 1}
AT_ONCE = 2


# ---- what engines show otherwise -------------------------------------------------------------------------------------

def in_lower_case(lines, parse=json.loads):
    """Both know names of columns and fields in lower case only."""
    lower = lambda v: {k.lower(): lower(x) for k, x in v.items()} if isinstance(v, dict) else [lower(x) for x in v] if isinstance(v, list) else v
    return [canonical.line(lower(parse(text))) for text in lines]


def cut_to_milliseconds(row, types, partition_columns):
    """Timestamps have three digits below the second in Presto's Hive connector; the rest is cut, towards 1970."""
    return {name: _cut(types[name], value) for name, value in row.items()}


def _cut(kind, value):
    if value is None:
        return None
    if isinstance(kind, dict):
        if kind["type"] == "struct":
            return {field["name"]: _cut(field["type"], value[field["name"]]) for field in kind["fields"]}
        if kind["type"] == "array":
            return [_cut(kind["elementType"], item) for item in value]
        return {key: _cut(kind["valueType"], item) for key, item in value.items()}
    if kind != "timestamp":
        return value
    value = datetime.datetime.fromisoformat(value[:-1])
    below = value.microsecond % 1000
    up = 1000 if below and value < canonical.EPOCH else 0
    return canonical.moment(value + datetime.timedelta(microseconds=up - below))


def null_partitions_are_text(row, types, partition_columns):
    """Where a row has no value in a partition column of text, Trino's Hudi connector shows `\\N`."""
    is_text = lambda name: name in partition_columns and types[name] == "string"
    return {name: "\\N" if value is None and is_text(name) else value for name, value in row.items()}


# What becomes of our rows before they are compared with an engine's.
EXCEPTIONS = {"presto": cut_to_milliseconds, "trino": null_partitions_are_text}

# What goes wrong in a round: a rule of s3_server.py's, and whether the sync holds nevertheless.
TROUBLE = {
    0: ({"match": "GLUE BatchCreatePartition$", "error": "ThrottlingException", "times": 4}, True),
    1: ({"match": "GLUE (Get|Update)Table$", "error": "ThrottlingException", "times": 5}, True),
    3: ({"match": "GLUE BatchCreatePartition$", "error": "AccessDeniedException", "times": 2}, False),
    5: ({"match": "GLUE (UpdateTable|BatchUpdatePartition)$", "error": "InternalServiceException", "status": 500, "after": True, "times": 2}, True),
    6: ({"match": "GLUE (BatchDeletePartition|UpdateTable)$", "after": True, "drop": True, "times": 2}, True),
}


# ---- the suite -------------------------------------------------------------------------------------------------------

class Suite(Results):
    """Tables that grow, and what reads them."""

    def __init__(self, work, programs, readers):
        super().__init__("engines")
        self.work, self.programs, self.readers = work, programs, readers
        self.reads, self.rows = 0, 0

    def run(self, entries):
        entries = [entry for entry in entries if self.is_there(entry)]
        places.make_bucket(BUCKET)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for number in range(max(len(entry["stages"]) for entry in entries)):
                self.round(pool, number, [entry for entry in entries if number < len(entry["stages"])])
        return entries

    def is_there(self, entry):
        if not os.path.exists(entry["input"]):
            self.ignore(entry["name"], f"{entry['input']} is not here")
            return False
        stages = made.stages(entry["table"], "replace" in entry["arguments"]) if entry["capture"] == "made" else []
        entry["stages"] = stages or [(name, share, None) for name, share in SHARES.items()]
        # Other rows than the source has: one a change, a key of another kind, or values as text.
        is_other = {"history", "--key"} & set(entry["arguments"]) or entry["table"] in ("widened", "outgrown")
        entry["is_modelled"] = bool(stages) and not is_other
        return True

    def round(self, pool, number, entries):
        name = lambda entry: f"{entry['name']}::{entry['stages'][number][0]}"
        grown = list(pool.map(lambda entry: self.test(f"{name(entry)}::written", lambda: self.grow(entry, number)), entries))
        if not self.test(f"round_{number + 1}::synced", lambda: self.synced(number)):
            return
        held = [entry for entry, has in zip(entries, grown) if has]
        tests = [(f"{name(entry)}::{reader.name}", reader, entry) for entry in held for reader in self.readers]
        list(pool.map(lambda entry: self.test(f"{name(entry)}::glue", lambda: self.in_glue(entry)), held))
        list(pool.map(lambda test: self.test(test[0], lambda: self.read(test[1], test[2])), tests))

    def grow(self, entry, number):
        """The next stage, and our own reader's rows after it."""
        _, until, rows = entry["stages"][number]
        capture, table = os.path.join(self.work, entry["name"] + ".part.jsonl"), table_of(entry)
        if rows is None:
            captures.part(entry["input"], entry["topic"], capture, until)
        else:
            captures.head(entry["input"], until, capture)
        done = self.programs.replay(entry, capture, table)
        if not done["commits"] or done["dead_letters"]:
            raise Failure(f"want a commit and no dead letters: {done}")
        if number + 1 == len(entry["stages"]):
            self.programs.check(table)
        entry["lines"] = self.programs.rows(table)
        entry["model"] = rows if entry["is_modelled"] else None

    def synced(self, number):
        trouble, holds = TROUBLE.get(number, (None, True))
        if trouble:
            server.fault(**trouble)
        if not holds:
            self.refused()
        done = self.programs.glue_sync(ROOT, DATABASE)
        if number == 0 and not done["changed"]:
            raise Failure(f"want tables in Glue: {done}")
        again = self.programs.glue_sync(ROOT, DATABASE)
        if any(again[what] for what in ("changed", "added", "updated", "dropped", "failed")):
            raise Failure(f"want nothing changed: {again}")

    def refused(self):
        try:
            done = self.programs.glue_sync(ROOT, DATABASE)
        except Failure:
            return
        raise Failure(f"want a sync that fails: {done}")

    def in_glue(self, entry):
        server.check_table(DATABASE, glue_name(entry), table_of(entry))

    def read(self, reader, entry):
        schema, lines = reader.rows(f"select * from {sql_name(entry)}")
        props = spark_server.properties(table_of(entry))
        keys, partition_columns = ([name.lower() for name in of(props)] for of in (model.key_columns, model.partition_columns))
        ours = normal(in_lower_case(entry["lines"], canonical.parse_ours), schema)
        types = {field["name"]: field["type"] for field in schema["fields"]}
        excepted = [EXCEPTIONS[reader.name](json.loads(text), types, partition_columns) for text in ours]
        same(schema, keys, sorted(map(canonical.line, excepted)), lines)
        if entry["model"] is not None:
            self.modelled(entry, ours)
        self.reads += 1
        self.rows += len(lines)

    def modelled(self, entry, ours):
        """Holds if the rows that are alive are those that the capture leads to."""
        alive = [row for row in map(json.loads, ours) if row["_cdc_op"] not in ("d", "t")]
        of_source = [canonical.line({name: value for name, value in row.items() if not name.startswith("_cdc_")}) for row in alive]
        identical(sorted(in_lower_case(entry["model"])), sorted(of_source))


def table_of(entry):
    return f"{ROOT}/{re.sub('[.-]', '_', entry['name'])}"


def glue_name(entry):
    return os.path.basename(table_of(entry)).lower()


def sql_name(entry):
    return f'"{DATABASE}"."{glue_name(entry)}"'


def main():
    p = tables.parser(__doc__)
    p.add_argument("--glue-sync", required=True)
    a = p.parse_args()
    work, entries = tables.chosen(a, "engines")
    began = time.time()
    run = Suite(work, Programs(a.replay, a.inspect, a.glue_sync), [sql.Engine(name) for name in sql.here()])
    there = run.run(entries)
    shared = {entry["input"] for entry in there if entry["is_shared"]}
    names = " and ".join(reader.name for reader in run.readers)
    return run.finish([f"{len(shared)} shared captures replayed by the engines suite into {len(there)} tables",
                       f"{names}: {run.reads} readings of tables, {run.rows} rows, {time.time() - began:.0f} s"])


if __name__ == "__main__":
    sys.exit(main())
