"""Captures that are made up, of Debezium's messages as PostgreSQL's connector sends them: shapes of tables that no shared
capture has. They need nothing from outside this repository.

Each function below is a table, named as it: its docstring says what it is for. `capture` writes one.
"""
import base64
import json
import os

FIRST_LSN = 1_000_000
FIRST_MS = 1_750_000_000_000
TEXT = {"type": "string", "optional": True}
NUMBER = {"type": "int64", "optional": True}


def odd_partitions():
    """Partition values that paths must escape, that look like something else, and none."""
    odd = ["a/b", "x=y", "50%", "q?&#", "c:d", "O'Brien", 'say "so"', "with blank", "ä ö 日本", ".hidden", "_under", "a\\b", "..", "%2F",
           "null", "true", "0012", "1e5", "2024-01-02", "*", "{a,b}", "[x]", "~", "a+b", "tab\there", None]
    rows = [{"id": i, "place": odd[i % len(odd)], "what": f"row {i}"} for i in range(3 * len(odd))]
    later = [dict(row, what="again") for row in rows[::4]]
    return "id", {"id": NUMBER, "place": TEXT, "what": TEXT}, births(rows) + [("u", None, row) for row in later] \
        + [("d", row, None) for row in rows[1::9]]


def many_partitions():
    """A commit of many files: wide enough in time to die in."""
    rows = [{"id": i, "place": f"p{i % 60}", "what": "x" * 40} for i in range(600)]
    return "id", {"id": NUMBER, "place": TEXT, "what": TEXT}, births(rows) + [("u", None, dict(row, what="y" * 50)) for row in rows]


def long_keys():
    """Keys of up to six thousand characters, some alike but for their ends; empty and odd ones."""
    keys = ["k" * 3000 + f"{i:04}" for i in range(12)] + ["日本" * 1000 + str(i) for i in range(6)] + \
        [" ", "null", "a,b", "a b", "'", '"', "%", "\\", "__x__", "é", "e\u0301", "\U0001f642"]
    rows = [{"name": key, "n": i} for i, key in enumerate(keys)]
    return "name", {"name": TEXT, "n": NUMBER}, births(rows) + [("u", None, dict(row, n=-row["n"])) for row in rows[::2]] \
        + [("d", row, None) for row in rows[3::5]]


def composite_keys():
    """A key of text and number, in which texts are alike but for their case and blanks."""
    rows = [{"name": name, "n": n, "what": f"{name}/{n}"} for name in ("a", "A", " a", "a ", "ab", "é") for n in (0, 1, -1, 10)]
    return "name,n", {"name": TEXT, "n": NUMBER, "what": TEXT}, births(rows) + [("u", None, dict(row, what="again")) for row in rows[::3]] \
        + [("d", row, None) for row in rows[2::7]]


def only_deletes():
    """Nothing but deletes of rows that were never there."""
    return "id", {"id": NUMBER, "what": TEXT}, [("d", {"id": i, "what": "gone"}, None) for i in range(5)]


def deletes_first():
    """The first commit has no file: it deletes what was never there. Rows come after."""
    kind, columns, changes = only_deletes()
    return kind, columns, changes + births([{"id": i, "what": f"row {i}"} for i in range(20)])


def emptied():
    """All rows are born and gone again."""
    rows = [{"id": i, "what": f"row {i}"} for i in range(20)]
    return "id", {"id": NUMBER, "what": TEXT}, births(rows) + [("d", row, None) for row in rows]


def wide():
    """Four hundred columns of which most are null."""
    kinds = [TEXT, NUMBER, {"type": "double", "optional": True}, {"type": "boolean", "optional": True}]
    values = [lambda i: f"v{i}", lambda i: i, lambda i: i / 8, lambda i: i % 2 == 0]
    columns = {"id": NUMBER, **{f"column_{i:03}": kinds[i % 4] for i in range(400)}}
    rows = [{"id": n, **{f"column_{i:03}": values[i % 4](n + i) if (n * i) % 3 == 0 else None for i in range(400)}} for n in range(40)]
    return "id", columns, births(rows) + [("u", None, dict(row, column_000="again")) for row in rows[::3]]


def evolved():
    """Columns that come, go, move and grow, each in another stage; rows of every stage stay, and some are written again."""
    kind = lambda of, **more: dict({"type": of, "optional": True}, **more)
    day = kind("int32", name="io.debezium.time.Date", version=1)
    pair = lambda *names: kind("struct", name="made.Pair", fields=[dict(NUMBER, field=name) for name in names])
    stages = [
        {"id": NUMBER, "grows": kind("int32"), "fraction": kind("float"), "price": money(10), "count": kind("int32"), "digits": NUMBER,
         "day": day, "sum": money(10), "goes": TEXT, "pair": pair("a"), "pairs": kind("array", items=pair("a")), "text": TEXT},
        # Wider, and a field more inside of others.
        {"id": NUMBER, "grows": NUMBER, "fraction": kind("double"), "price": money(20), "count": kind("int32"), "digits": NUMBER,
         "day": day, "sum": money(10), "goes": TEXT, "pair": pair("a", "b"), "pairs": kind("array", items=pair("a", "b")), "text": TEXT},
        # One gone, one come, in another order.
        {"text": TEXT, "new": TEXT, "id": NUMBER, "grows": NUMBER, "fraction": kind("double"), "price": money(20), "count": kind("int32"),
         "digits": NUMBER, "day": day, "sum": money(10), "pair": pair("b", "a"), "pairs": kind("array", items=pair("a", "b"))},
        # Of another kind, which holds all that was there.
        {"id": NUMBER, "grows": NUMBER, "fraction": kind("double"), "price": money(20), "count": kind("double"), "digits": TEXT,
         "day": TEXT, "sum": TEXT, "pair": pair("a", "b"), "pairs": kind("array", items=pair("a", "b")), "text": TEXT, "new": TEXT},
    ]
    values = {"int32": lambda i: 7 * i, "int64": lambda i: 7 * i + (1 << 40), "float": lambda i: i / 4, "double": lambda i: i / 4,
              "string": lambda i: f"text {i}", "array": lambda i: [], "bytes": lambda i: base64.b64encode((100 * i).to_bytes(4, "big")).decode()}
    changes = []
    for stage, columns in enumerate(stages):
        changes.append(("alter", None, columns))
        value = lambda column, i: {f["field"]: i for f in column["fields"]} if column["type"] == "struct" else \
            [{f["field"]: i for f in column["items"]["fields"]}] * (i % 3) if column["type"] == "array" else values[column["type"]](i)
        row = lambda i: {name: i if name == "id" else None if i % 5 == 4 and name != "id" else value(column, i) for name, column in columns.items()}
        changes += births([row(20 * stage + i) for i in range(20)])
        changes += [("u", None, row(20 * before + stage)) for before in range(stage)]
    return "id", stages[0], changes


def money(precision):
    return {"type": "bytes", "optional": True, "name": "org.apache.kafka.connect.data.Decimal", "version": 1,
            "parameters": {"scale": "2", "connect.decimal.precision": str(precision)}}


def births(rows):
    return [("c", None, row) for row in rows]


NAMES = ["odd_partitions", "many_partitions", "long_keys", "composite_keys", "only_deletes", "deletes_first", "emptied", "wide", "evolved"]


def topic(name):
    return f"made.public.{name}"


def capture(name, folder):
    """Writes the table's capture, and returns its path. A change `alter` brings other columns."""
    keys, columns, changes = globals()[name]()
    path = os.path.join(folder, name + ".jsonl")
    key_schema = {"type": "struct", "optional": False, "fields": [dict(columns[key], field=key) for key in keys.split(",")]}
    encode = lambda value: base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode()
    schema, offset = envelope_schema(name, columns), 0
    with open(path, "w", encoding="utf-8") as f:
        for op, before, after in changes:
            if op == "alter":
                schema = envelope_schema(name, after)
                continue
            lsn, ms = FIRST_LSN + 8 * offset, FIRST_MS + 1000 * offset
            source = {"version": "3.6.3.Final", "connector": "postgresql", "name": "made", "snapshot": "false", "db": "made",
                      "sequence": json.dumps([str(lsn - 8), str(lsn)]), "schema": "public", "table": name, "ts_ms": ms, "txId": offset, "lsn": lsn}
            payload = {"before": before, "after": after, "source": source, "op": op, "ts_ms": ms + 100}
            key = {column: (after or before)[column] for column in keys.split(",")}
            record = {"topic": topic(name), "partition": 0, "offset": offset, "timestamp": ms, "headers": [],
                      "key": encode({"schema": key_schema, "payload": key}), "value": encode({"schema": schema, "payload": payload})}
            f.write(json.dumps(record) + "\n")
            offset += 1
    return path


def envelope_schema(name, columns):
    row = lambda field: {"type": "struct", "optional": True, "field": field, "name": topic(name) + ".Value",
                         "fields": [dict(kind, field=column) for column, kind in columns.items()]}
    source = {"type": "struct", "optional": False, "field": "source", "fields": [
        dict(TEXT, field=field) for field in ("version", "connector", "name", "snapshot", "db", "sequence", "schema", "table")]
        + [dict(NUMBER, field=field) for field in ("ts_ms", "txId", "lsn")]}
    return {"type": "struct", "optional": False, "name": topic(name) + ".Envelope", "fields": [
        row("before"), row("after"), source, dict(TEXT, field="op"), dict(NUMBER, field="ts_ms")]}
