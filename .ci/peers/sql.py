#!/usr/bin/env python3
"""Presto and Trino as clients see them: statements, and their rows in canonical form (canonical.py).

  sql.py presto|trino      whether it answers (engines.sh tells where it is by HUDI_TEST_PRESTO, HUDI_TEST_TRINO)
"""
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

import canonical
from compare import Failure

PATIENCE_SECONDS = 120
CATALOGS = {"presto": "hive", "trino": "hudi"}
# Spark's words for their types, which canonical.py knows.
WORDS = {"bigint": "long", "real": "float", "varbinary": "binary", "varchar": "string", "char": "string", "tinyint": "integer", "smallint": "integer"}


def here():
    """The names of those that are beside us."""
    return [name for name in CATALOGS if f"HUDI_TEST_{name.upper()}" in os.environ]


class Engine:
    """One of them; tables without a database are of that one."""

    def __init__(self, name, database="default"):
        self.name, self.url = name, os.environ[f"HUDI_TEST_{name.upper()}"]
        prefix = f"X-{name.capitalize()}-"
        self.headers = {prefix + "User": "test", prefix + "Time-Zone": "UTC", prefix + "Catalog": CATALOGS[name], prefix + "Schema": database}
        if name == "trino":
            self.headers[prefix + "Client-Capabilities"] = "PARAMETRIC_DATETIME"

    def ask(self, statement):
        """The columns of the answer, of a name and a type each, and its rows as they are sent."""
        columns, rows, until = [], [], time.time() + PATIENCE_SECONDS
        answer = self._call(self.url + "/v1/statement", statement.encode())
        while True:
            if "error" in answer:
                raise Failure(f"{self.name}: {answer['error'].get('errorName')}: {answer['error'].get('message')} to: {statement[:500]}")
            columns = answer.get("columns") or columns
            rows += answer.get("data") or []
            if "nextUri" not in answer:
                return [(column["name"], column["type"]) for column in columns], rows
            if time.time() > until:
                raise Failure(f"{self.name}: no answer within {PATIENCE_SECONDS} s to: {statement[:500]}")
            answer = self._call(answer["nextUri"])

    def rows(self, statement):
        """Spark's form of the rows' type, and their canonical lines; Hudi's meta columns are left out."""
        columns, rows = self.ask(statement)
        kept = [place for place, (name, _) in enumerate(columns) if not name.startswith("_hoodie_")]
        schema = {"type": "struct", "fields": [{"name": name, "type": kind(text)} for name, text in (columns[place] for place in kept)]}
        convert = [(place, field["name"], canonical.from_engine(field["type"])) for place, field in zip(kept, schema["fields"])]
        return schema, sorted(canonical.line({name: of(row[place]) for place, name, of in convert}) for row in rows)

    def _call(self, url, body=None):
        for _ in range(50):
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, self.headers), timeout=PATIENCE_SECONDS) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                # Busy: to be asked again.
                if error.code not in (502, 503, 504):
                    raise Failure(f"{self.name}: {error}: {error.read()[:500]!r}") from error
                time.sleep(0.1)
        raise Failure(f"{self.name}: busy for too long")


def kind(text):
    """Spark's form of a type as an engine spells it."""
    base, _, rest = text.partition("(")
    arguments = _split(rest[:rest.rindex(")")]) if rest else []
    if base == "array":
        return {"type": "array", "elementType": kind(arguments[0])}
    if base == "map":
        return {"type": "map", "valueType": kind(arguments[1])}
    if base == "row":
        fields = [re.fullmatch(r'"?(.+?)"? (.+)', argument) for argument in arguments]
        return {"type": "struct", "fields": [{"name": field[1], "type": kind(field[2])} for field in fields]}
    if base == "decimal":
        return text
    return "timestamp" if base.startswith("timestamp") else WORDS.get(base, base)


def _split(text):
    """At the commas that are in no parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


if __name__ == "__main__":
    Engine(sys.argv[1]).ask("select count(*) from system.runtime.nodes")
