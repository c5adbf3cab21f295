"""Reads a table with hudi-rs, as the `hudi` wheel has it, and writes its canonical rows (canonical.py).

  hudi-rs/bin/python hudi_rs_rows.py TABLE OUT

Without Hudi's meta columns. Prints the number of rows; a failure is one line on standard error and exit code 1.
"""
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


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    from hudi import HudiTable
    table, out = sys.argv[1:]
    try:
        batches = HudiTable(os.path.abspath(table)).read()
        found = sorted(line for batch in batches for line in lines(batch))
    except BaseException as e:  # a panic of the wheel is no Exception
        print(f"{type(e).__name__}: {e}".replace("\n", " "), file=sys.stderr)
        sys.exit(1)
    canonical.write(out, found)
    print(len(found))


if __name__ == "__main__":
    main()
