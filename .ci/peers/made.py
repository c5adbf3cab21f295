"""Captures that are made up, of Debezium's messages as PostgreSQL's connector sends them: shapes of tables that no shared
capture has. They need nothing from outside this repository.

Each function below is a table, named as it: its docstring says what it is for. `capture` writes one.
"""
import base64
import datetime
import decimal
import json
import os

import canonical

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


PLACES = ["north", "a b", "x/y", "50%", "Größe 1", "x=y", None]
REGIONS = ["north", "far west", "östlich"]


def life():
    """All that can happen to a table, in stages. Columns of several types, some of them to partition by."""
    kind = lambda of, **more: dict({"type": of, "optional": True}, **more)
    columns = {"id": NUMBER, "Place": TEXT, "Region": TEXT, "day": kind("int32", name="io.debezium.time.Date", version=1), "bin": kind("int32"),
               "grows": kind("int32"), "ratio": kind("float"), "price": money(10), "Words": TEXT, "flag": kind("boolean"),
               "at": kind("int64", name="io.debezium.time.MicroTimestamp", version=1)}
    # In another order than that of keys, and not the last: the columns of partitions stay as they are.
    later = {**columns, "grows": NUMBER, "ratio": kind("double"), "price": money(18), "more": TEXT}
    cents = lambda n: base64.b64encode(n.to_bytes(6, "big", signed=True)).decode()
    row = lambda i, **more: {
        "id": i, "Place": PLACES[i % 7], "Region": REGIONS[i % 3], "day": 20000 + i % 4 if i % 5 else -7000, "bin": i % 3, "grows": i * 1000,
        "ratio": i / 8, "price": cents(i * 1001 - 5000), "Words": f"row {i}" if i % 6 else None, "flag": [True, False, None][i % 3],
        "at": (1_750_000_000 + i) * 1_000_000 + i * 1001 if i % 4 else -1_000_000 * i - 976_598, **more}
    rows, changes = {}, []

    def stage(name, *some):
        changes.append(("stage", None, name))
        for op, before, after in some:
            changes.append((op, before, after))
            if op == "t":
                rows.clear()
            elif op == "d":
                del rows[before["id"]]
            elif op != "alter":
                rows[after["id"]] = after

    update = lambda i, **more: ("u", rows[i], {**rows[i], **more})
    stage("insert", *births([row(i) for i in range(24)]))
    stage("update", *(update(i, Words="again", grows=-i) for i in range(0, 24, 3)))
    stage("delete", *(("d", rows[i], None) for i in range(1, 24, 5)))
    stage("move", *(update(i, Place="elsewhere" if i % 4 else None, Region="north", day=20100, bin=7) for i in range(2, 24, 5)))
    stage("new_keys", *(change for i in (3, 4, 5) for change in (("d", rows[i], None), ("c", None, {**rows[i], "id": 100 + i}))))
    stage("columns", ("alter", None, later), *births([row(i, grows=(1 << 40) + i, more=f"more {i}") for i in range(30, 36)]),
          *(update(i, more="come", ratio=1e300) for i in (7, 8)))
    stage("truncate", ("t", None, None))
    again = [row(i, Words="second life") for i in range(0, 30, 2)]
    # The source lost a row without a word.
    stage("second_snapshot", *births(again), *(("r", None, row) for row in again if row["id"] != 4))
    return "id", columns, changes


# Columns whose types grow: the type that a column begins with, its value, and the type that it grows to. Here files of before stay.
WIDENED = {
    "int_to_long": ("int32", 7, "int64"), "int_to_double": ("int32", 7, "double"), "long_to_double": ("int64", 1 << 40, "double"),
    "float_to_double": ("float", 0.25, "double"), "text_to_bytes": ("string", "old", "bytes"), "decimal_9_to_18": ("decimal 9", 1234, "decimal 18"),
    "decimal_19_to_38": ("decimal 19", 1234, "decimal 38"), "field": ("struct a", 1, "struct ab"), "field_of_list": ("list a", 1, "list ab")}
# And here not every engine would read them rightly: they are written anew.
OUTGROWN = {
    "int_to_float": ("int32", 7, "float"), "int_to_text": ("int32", 7, "string"), "long_to_text": ("int64", 1 << 40, "string"),
    "double_to_text": ("double", 0.25, "string"), "date_to_text": ("date", 20000, "string"), "decimal_18_to_19": ("decimal 18", 1234, "decimal 19"),
    "decimal_to_text": ("decimal 9", 1234, "string"), "int_to_decimal": ("int32", 7, "decimal 18")}


def widened():
    return grown(WIDENED)


def outgrown():
    return grown(OUTGROWN)


def grown(columns_of):
    """Columns whose types grow; the row of before is in a partition of its own."""
    def kind(text):
        name, _, more = text.partition(" ")
        pair = {"type": "struct", "optional": True, "fields": [dict(NUMBER, field=field) for field in more]}
        return {"decimal": lambda: money(int(more)), "struct": lambda: pair, "list": lambda: {"type": "array", "optional": True, "items": pair},
                "date": lambda: {"type": "int32", "optional": True, "name": "io.debezium.time.Date", "version": 1}
                }.get(name, lambda: {"type": text, "optional": True})()

    def value(text, number):
        name, _, more = text.partition(" ")
        pair = {field: number for field in more}
        return {"decimal": lambda: base64.b64encode(number.to_bytes(4, "big")).decode(), "struct": lambda: pair, "list": lambda: [pair],
                "string": lambda: str(number), "bytes": lambda: base64.b64encode(b"new").decode(), "float": lambda: number + 0.5,
                "double": lambda: number + 0.5}.get(name, lambda: number)()

    columns = lambda at: {"id": NUMBER, "stage": TEXT, **{name: kind(of[at]) for name, of in columns_of.items()}}
    old = {"id": 1, "stage": "old", **{name: value(first, n) if isinstance(n, int) else n for name, (first, n, _) in columns_of.items()}}
    new = {"id": 2, "stage": "new", **{name: value(last, 8) for name, (_, _, last) in columns_of.items()}}
    return "id", columns(0), [("stage", None, "insert"), *births([old]), ("stage", None, "grown"), ("alter", None, columns(2)), *births([new])]


def keyless():
    """No key; rows that are alike."""
    columns = {"Kind": TEXT, "value": NUMBER}
    row = lambda i: {"Kind": ["a", "b c"][i % 2], "value": i // 4}
    return "", columns, [("stage", None, "insert"), *births([row(i) for i in range(16)]),
                         ("stage", None, "update"), *(("u", row(i), {**row(i), "value": 100}) for i in range(0, 16, 5)),
                         ("stage", None, "delete"), *(("d", row(i), None) for i in (1, 2, 3)),
                         ("stage", None, "truncate"), ("t", None, None), ("stage", None, "again"), *births([row(i) for i in range(3)])]


def money(precision):
    return {"type": "bytes", "optional": True, "name": "org.apache.kafka.connect.data.Decimal", "version": 1,
            "parameters": {"scale": "2", "connect.decimal.precision": str(precision)}}


def births(rows):
    return [("c", None, row) for row in rows]


NAMES = ["odd_partitions", "many_partitions", "long_keys", "composite_keys", "only_deletes", "deletes_first", "emptied", "wide", "evolved", "life", "widened", "outgrown", "keyless"]


def topic(name):
    return f"made.public.{name}"


def capture(name, folder):
    """Writes the table's capture, and returns its path. A change `alter` brings other columns, `stage` is none."""
    keys, columns, changes = globals()[name]()
    path = os.path.join(folder, name + ".jsonl")
    keys = [column for column in keys.split(",") if column]
    key_schema = {"type": "struct", "optional": False, "fields": [dict(columns[key], field=key) for key in keys]}
    encode = lambda value: base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode()
    reads = [number for number, (op, _, _) in enumerate(changes) if op == "r"]
    snapshot = {number: "true" for number in reads} | {number: "first" for number in reads[:1]} | {number: "last" for number in reads[-1:]}
    schema, offset = envelope_schema(name, columns), 0
    # Who reads all again is another run of the connector.
    run = lambda number: [["__debezium.context.runId", base64.b64encode(b"2" if number >= reads[0] else b"1").decode()]] if reads else []
    with open(path, "w", encoding="utf-8") as f:
        for number, (op, before, after) in enumerate(changes):
            if op == "alter":
                schema = envelope_schema(name, after)
            if op in ("alter", "stage"):
                continue
            lsn, ms = FIRST_LSN + 8 * offset, FIRST_MS + 1000 * offset
            source = {"version": "3.6.3.Final", "connector": "postgresql", "name": "made", "snapshot": snapshot.get(number, "false"), "db": "made",
                      "sequence": json.dumps([str(lsn - 8), str(lsn)]), "schema": "public", "table": name, "ts_ms": ms, "txId": offset, "lsn": lsn}
            payload = {"before": before, "after": after, "source": source, "op": op, "ts_ms": ms + 100}
            row = after or before
            key = encode({"schema": key_schema, "payload": {column: row[column] for column in keys}}) if keys and row else None
            record = {"topic": topic(name), "partition": 0, "offset": offset, "timestamp": ms, "headers": run(number),
                      "key": key, "value": encode({"schema": schema, "payload": payload})}
            f.write(json.dumps(record) + "\n")
            offset += 1
    return path


def stages(name, replaces=False):
    """Of each stage its name, the messages up to its end, and the rows that a table holds then: canonical lines. With `replaces` a
    snapshot's rows are all that there are. A capture without stages has none."""
    keys, columns, changes = globals()[name]()
    found, rows, count, first_read = [], [], 0, [op for op, _, _ in changes].index("r") if replaces else None
    same = lambda one, other: all(one[k] == other[k] for k in keys.split(",")) if keys else one == other
    for number, (op, before, after) in enumerate(changes):
        if op == "stage":
            found.append([after])
        elif op == "alter":
            columns = after
        else:
            count += 1
            if op == "t" or number == first_read:
                rows.clear()
            elif at := [i for i, (row, _) in enumerate(rows) if (keys or before) and same(row, before or after)]:
                del rows[at[0]]
            if after:
                rows.append((after, columns))
        if found:
            # Spelled as the columns were when the row came.
            lines = sorted(canonical.line({name: plain(of.get(name), row.get(name)) for name in columns}) for row, of in rows)
            found[-1][1:] = [count, lines]
    return found


def plain(kind, value):
    """A value of a message in canonical form."""
    if value is None:
        return None
    if kind["type"] == "bytes":
        return format(decimal.Decimal(int.from_bytes(base64.b64decode(value), "big", signed=True)).scaleb(-2), ".2f")
    name = kind.get("name", "").rpartition(".")[2]
    if name == "Date":
        return (canonical.EPOCH + datetime.timedelta(days=value)).date().isoformat()
    return canonical.moment_of_micros(value) if name == "MicroTimestamp" else float(value) if kind["type"] in ("float", "double") else value


def envelope_schema(name, columns):
    row = lambda field: {"type": "struct", "optional": True, "field": field, "name": topic(name) + ".Value",
                         "fields": [dict(kind, field=column) for column, kind in columns.items()]}
    source = {"type": "struct", "optional": False, "field": "source", "fields": [
        dict(TEXT, field=field) for field in ("version", "connector", "name", "snapshot", "db", "sequence", "schema", "table")]
        + [dict(NUMBER, field=field) for field in ("ts_ms", "txId", "lsn")]}
    return {"type": "struct", "optional": False, "name": topic(name) + ".Envelope", "fields": [
        row("before"), row("after"), source, dict(TEXT, field="op"), dict(NUMBER, field="ts_ms")]}
