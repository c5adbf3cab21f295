"""The tables of the suite: suite.json's groups, each multiplied out, as entries.

suite.json:
  "captures"      folder below the shared captures -> what a table's topic begins with
  "formats"       the forms of captures that are not Debezium's JSON; Avro's schemas stand in the folder `schemas` of the capture
  "tables"        groups; those that SQL engines read (engines.py) stand in "engines":
    {"capture": [...], "table": [...], "index": [...]?, "rows": [...]?,   every combination is a table; `made` are those of
                                                                          made.py, `examples` what this repository brings
     "as": "..."?, "arguments": [...]?,     more arguments of `replay`, and what they are called in the table's name
     "java": true?,                         the peers read it; all others are compared with the other tables of their topic
     "go_on": {"index": "BUCKET", "buckets": 4, "moves": true?}?}
                                            Hudi's Java goes on writing it with this index, and then we do; it is read too.
                                            With `moves` one row goes to another partition

An entry: name, capture, table, input (a path), topic, arguments, java, go_on, alike (tables with the same `alike` hold the same rows).
"""
import argparse
import itertools
import json
import os
import re

import made
from peers import HERE, REPO

EXAMPLES = {"orders": ("examples/data/orders.jsonl.gz", "pg_dev_13.json.public.orders", ["--format", "debezium-json", "--schema", "examples/data/orders.schema.json"])}


def parser(doc):
    """What every suite over these tables is told; others add to it."""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--suite", default=os.path.join(HERE, "suite.json"))
    p.add_argument("--work", required=True, help="where what it takes is made")
    p.add_argument("--replay", required=True, help="our program of this name")
    p.add_argument("--inspect", required=True)
    p.add_argument("--shared", default="shared captures", help="the folder of shared captures")
    p.add_argument("--only", default="", help="a regular expression on the tables' names")
    return p


def chosen(a, groups="tables"):
    """The folder to work in, which is there then, and the entries that were asked for."""
    work = os.path.abspath(a.work)
    os.makedirs(work, exist_ok=True)
    with open(a.suite, encoding="utf-8") as f:
        found = entries(json.load(f), os.path.abspath(a.shared), work, groups)
    return work, [entry for entry in found if re.search(a.only, entry["name"])]


def entries(suite, shared, work, groups="tables"):
    found = [entry for group in suite[groups] for entry in _of_group(group, suite, shared, work)]
    names = [entry["name"] for entry in found]
    assert len(names) == len(set(names)), f"twice in the suite: {sorted(n for n in names if names.count(n) > 1)}"
    return found


def _of_group(group, suite, shared, work):
    for capture, table, index, rows in itertools.product(group["capture"], group["table"], group.get("index", [None]),
                                                         group.get("rows", [None])):
        arguments = [*group.get("arguments", []), *(["--index", index] if index else []),
                     *(["--commit-every-rows", str(rows)] if rows else [])]
        parts = [capture.replace("/", "-"), table, group.get("as"), index and index.replace(":", "-"), rows and f"{rows}rows"]
        path, topic, more = _input(capture, table, suite, shared, work)
        own = {"--key", "--partition-immutable", "--mode", "--resnapshot"} & set(arguments)
        yield {"name": ".".join(filter(None, parts)), "capture": capture, "table": table, "input": path, "topic": topic, "arguments": [*arguments, *more],
               "is_shared": capture in suite["captures"], "alike": None if own else f"{capture}.{table}",
               "java": group.get("java", False) or "go_on" in group, "go_on": group.get("go_on")}


def _input(capture, table, suite, shared, work):
    """The path of a table's capture, its topic, and the arguments it needs."""
    if capture == "made":
        path = os.path.join(work, f"{table}.jsonl")
        return path if os.path.exists(path) else made.capture(table, work), made.topic(table), ["--format", "debezium-json"]
    if capture == "examples":
        path, topic, arguments = EXAMPLES[table]
        return os.path.join(REPO, path), topic, [os.path.join(REPO, a) if "/" in a else a for a in arguments]
    folder, form = os.path.join(shared, capture), suite["formats"].get(capture, "debezium-json")
    schemas = ["--schemas", os.path.join(folder, "schemas")] if form.endswith("avro") else []
    return os.path.join(folder, "records.jsonl.gz"), f"{suite['captures'][capture]}.{table}", ["--format", form, *schemas]
