"""PostgreSQL by `psql`, which finds it by its usual variables: sessions that stay open, and what a table holds.

Rows come in the form of our own lines (arrow-json's), so that one function of canonical.py reads both.
"""
import subprocess
import threading

import canonical
from compare import Failure

PATIENCE_SECONDS = 120
# No statement prints it.
END = "--end of answer--"

# SQL types -> the type of our column in Spark's words, and the value as our line has it.
MOMENT = """to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
KINDS = {
    "boolean": ("boolean", "{}"),
    "smallint": ("integer", "{}"),
    "integer": ("integer", "{}"),
    "bigint": ("long", "{}"),
    "real": ("float", "{}::text"),
    "double precision": ("double", "{}::text"),
    "numeric(12,2)": ("decimal(12,2)", "{}::text"),
    # Its trailing zeros do not travel.
    "numeric": ("string", "trim_scale({})::text"),
    "text": ("string", "{}"),
    "varchar(40)": ("string", "{}"),
    # A cast to text would cut the blanks that travel.
    "char(8)": ("string", "rpad({}::text, 8)"),
    "bytea": ("binary", "encode({}, 'hex')"),
    "uuid": ("string", "{}::text"),
    "jsonb": ("string", "{}::text"),
    "mood": ("string", "{}::text"),
    "date": ("date", "{}::text"),
    "time": ("long", "(extract(epoch from {}) * 1000000)::bigint"),
    "timestamp": ("timestamp", MOMENT),
    "timestamp(3)": ("timestamp", MOMENT),
    "timestamptz": ("timestamp", MOMENT),
    "text[]": ({"type": "array", "elementType": "string", "containsNull": True}, "{}"),
    "bigint[]": ({"type": "array", "elementType": "long", "containsNull": True}, "{}"),
}


class Session:
    """One connection."""

    def __init__(self):
        self.process = subprocess.Popen(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8")

    def run(self, sql):
        """Runs statements, and returns the lines that they print."""
        watch = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        watch.start()
        lines = []
        try:
            self.process.stdin.write(f"{sql};\n\\echo {END}\n")
            self.process.stdin.flush()
            for text in self.process.stdout:
                if text.rstrip("\n") == END:
                    return lines
                lines.append(text.rstrip("\n"))
        except BrokenPipeError:
            pass
        finally:
            watch.cancel()
        raise Failure(f"psql ended: {lines[-3:]} to: {sql[:500]}")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE_SECONDS)


def schema(columns):
    """Spark's form of the type of a table with these columns, of a name and an SQL type each."""
    fields = [{"name": name, "type": KINDS[kind][0], "nullable": True, "metadata": {}} for name, kind in columns]
    return {"type": "struct", "fields": fields}


def rows(session, table, columns):
    """The canonical lines of a table."""
    of = ", ".join(f'{KINDS[kind][1].format(name)} as "{name}"' for name, kind in columns)
    convert = canonical.from_ours(schema(columns))
    lines = session.run(f"select row_to_json(r) from (select {of} from {table}) r")
    return sorted(canonical.line(convert(canonical.parse_ours(text))) for text in lines)
