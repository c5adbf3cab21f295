"""hudi-rs behind pipes: reads tables, as the `hudi` wheel does, and writes their canonical rows (canonical.py).

  hudi-rs/bin/python hudi_rs_rows.py

Requests are JSON objects, one a line, on standard input; each is answered by one line on standard output.

  {"table": DIR, "out": FILE}    FILE gets the rows of a snapshot, without Hudi's meta columns
      -> {"ok": true, "rows": N}, or {"ok": false, "error": TEXT}
"""
import json
import os
import sys

import canonical


def converter(kind):
    """A function from an Arrow scalar of type `kind` to its canonical form."""
    convert = _converter(kind)
    return lambda scalar: None if not scalar.is_valid else convert(scalar)


def _converter(kind):
    import pyarrow as pa
    t = pa.types
    if t.is_decimal(kind):
        return lambda s: canonical.fixed(s.as_py(), kind.scale)
    if t.is_floating(kind):
        return lambda s: canonical.real(s.as_py())
    if t.is_timestamp(kind):
        micros = {"s": lambda v: v * 1_000_000, "ms": lambda v: v * 1000, "us": lambda v: v, "ns": lambda v: v // 1000}[kind.unit]
        return lambda s: canonical.moment_of_micros(micros(s.value))
    if t.is_date(kind):
        return lambda s: s.as_py().isoformat()
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind) or t.is_binary_view(kind):
        return lambda s: canonical.binary(s.as_py())
    if t.is_struct(kind):
        fields = [(f.name, converter(f.type)) for f in kind]
        return lambda s: {name: convert(s[name]) for name, convert in fields}
    if t.is_map(kind):
        item = converter(kind.item_type)
        return lambda s: {entry["key"].as_py(): item(entry["value"]) for entry in s.values}
    if t.is_list(kind) or t.is_large_list(kind):
        item = converter(kind.value_type)
        return lambda s: [item(x) for x in s.values]
    return lambda s: s.as_py()


def lines(batch):
    kept = [(f.name, converter(f.type), i) for i, f in enumerate(batch.schema) if not f.name.startswith("_hoodie_")]
    columns = [(name, [convert(x) for x in batch.column(i)]) for name, convert, i in kept]
    for row in range(batch.num_rows):
        yield canonical.line({name: values[row] for name, values in columns})


def rows(request):
    from hudi import HudiTable
    table = request["table"]
    batches = HudiTable(table if "://" in table else os.path.abspath(table)).read()
    found = sorted(line for batch in batches for line in lines(batch))
    canonical.write(request["out"], found)
    return {"rows": len(found)}


def main():
    # The server of the tables at s3:// is beside us.
    os.environ.setdefault("AWS_ALLOW_HTTP", "true")
    for text in sys.stdin:
        try:
            answer = dict(rows(json.loads(text)), ok=True)
        except BaseException as e:  # a panic of the wheel is no Exception
            answer = {"ok": False, "error": f"{type(e).__name__}: {e}".replace("\n", " ")}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
