"""Canonical rows: the one spelling in which rows of a table are compared, whoever read them.

One JSON object a line, keys sorted, no blanks, text as it is (no escapes for non-ASCII), null explicit, lines sorted by
code point. Whole numbers are numbers; so are floats, the 32-bit ones widened; `NaN`, `Infinity` and `-Infinity` are strings.
Decimals are strings with the column's whole scale, timestamps `2024-01-02T03:04:05.000006Z`, dates `2024-01-02`, binary is
base64.

Only the standard library: the readers, each in an environment of its own, import this beside what they read with.
"""
import base64
import datetime
import decimal
import json
import struct

EPOCH = datetime.datetime(1970, 1, 1)
EXACT = decimal.Context(prec=80)


def line(row):
    return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def write(path, lines):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(text + "\n" for text in lines)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read().split("\n")[:-1]


def real(value):
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value)


def real32(value):
    return real(struct.unpack("f", struct.pack("f", value))[0])


def fixed(value, scale):
    return format(EXACT.quantize(decimal.Decimal(value), decimal.Decimal(1).scaleb(-scale)), "f")


def moment(value):
    """A `datetime` in UTC, or without zone, as text."""
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def moment_of_micros(micros):
    return moment(EPOCH + datetime.timedelta(microseconds=micros))


def binary(value):
    return base64.b64encode(bytes(value)).decode()


# ---- from our own rows: arrow-json's lines, whose values only the schema explains ------------------------------------

def parse_ours(text):
    """A line of ours. Fractions stay text, so that no digit of a decimal is lost."""
    return json.loads(text, parse_float=lambda digits: digits)


def from_ours(spark_type):
    """A function from a value of `parse_ours` to its canonical form; `spark_type` is Spark's JSON form of the type."""
    convert = _from_ours(spark_type)
    return lambda value: None if value is None else convert(value)


def _from_ours(kind):
    if isinstance(kind, dict):
        if kind["type"] == "struct":
            fields = {f["name"]: from_ours(f["type"]) for f in kind["fields"]}
            # A column that Spark's schema lacks stays, to be seen as a difference.
            return lambda v: {n: fields[n](x) if n in fields else x for n, x in v.items()}
        if kind["type"] == "array":
            item = from_ours(kind["elementType"])
            return lambda v: [item(x) for x in v]
        if kind["type"] == "map":
            item = from_ours(kind["valueType"])
            return lambda v: {k: item(x) for k, x in v.items()}
    if kind.startswith("decimal"):
        scale = int(kind.rstrip(")").split(",")[1])
        return lambda v: fixed(v, scale)
    if kind == "float":
        return lambda v: real32(float(v))
    if kind == "double":
        return lambda v: real(float(v))
    if kind.startswith("timestamp"):
        return _moment_of_text
    if kind == "date":
        return lambda v: v[:10]
    if kind == "binary":
        return lambda v: binary(bytes.fromhex(v))
    return lambda v: v


def from_engine(kind):
    """The same for a value as a SQL engine sends it (sql.py)."""
    convert = _from_engine(kind)
    return lambda value: None if value is None else convert(value)


def _from_engine(kind):
    if isinstance(kind, dict):
        # What is nested comes as text, level by level.
        nested = lambda v: json.loads(v) if isinstance(v, str) else v
        if kind["type"] == "struct":
            fields = [(f["name"], from_engine(f["type"])) for f in kind["fields"]]
            return lambda v: {name: of(x) for (name, of), x in zip(fields, nested(v))}
        if kind["type"] == "array":
            item = from_engine(kind["elementType"])
            return lambda v: [item(x) for x in nested(v)]
        item = from_engine(kind["valueType"])
        return lambda v: {key: item(x) for key, x in nested(v).items()}
    if kind.startswith("decimal"):
        return str
    if kind == "float":
        return lambda v: real32(float(v))
    if kind == "double":
        return lambda v: real(float(v))
    if kind.startswith("timestamp"):
        return lambda v: _moment_of_text(v.removesuffix(" UTC"))
    return lambda v: v


def _moment_of_text(text):
    """Text with `T` or a blank, any number of digits below the second, with `Z`, an offset, or no zone for UTC."""
    value = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) if "." not in text else _with_fraction(text)
    if value.tzinfo:
        value = (value.replace(tzinfo=None) - value.utcoffset())
    return moment(value)


def _with_fraction(text):
    whole, _, rest = text.partition(".")
    digits = rest[:len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits):].replace("Z", "+00:00")
    value = datetime.datetime.fromisoformat(whole + zone)
    return value.replace(microsecond=int((digits + "000000")[:6]))
