"""What a table should hold after others wrote it, reckoned without any table: rows by their key.

Rows are dicts of canonical values, lines their text (canonical.py).
"""
import collections
import json

import canonical

ORDER = "_cdc_order"
# Above every key that a capture brings.
FAR = 1_000_000


def key_columns(props):
    """The record key's columns; none for a table without a key."""
    return [k for k in (props.get("hoodie.table.recordkey.fields") or "").split(",") if k]


def partition_columns(props):
    return [k for k in (props.get("hoodie.table.partition.fields") or "").split(",") if k]


def changes(rows, schema, props, moves):
    """Rows to delete, and rows to update and to insert, for a table with `rows`. With `moves` an update goes to the
    partition of another row. A table without a key is only inserted into."""
    keys = key_columns(props)
    taken = {*keys, *partition_columns(props), ORDER}
    types = {f["name"]: f["type"] for f in schema["fields"]}
    if not keys:
        return [], [_altered(row, types, taken, " by Java") for row in rows[:4]]
    deletes, kept = rows[:2], rows[2:]
    upserts = [_altered(row, types, taken, " by Java") for row in kept[:4]]
    if moves and upserts:
        column = partition_columns(props)[0]
        places = sorted({row[column] for row in rows} - {upserts[0][column], None})
        upserts[0][column] = places[0]
    born = dict(rows[-1])
    if types[keys[-1]] in ("integer", "long"):
        born[keys[-1]] = max(row[keys[-1]] for row in rows) + FAR
    elif types[keys[0]] in ("integer", "long"):
        born[keys[0]] = max(row[keys[0]] for row in rows) + FAR
    else:
        born[keys[0]] = max(row[keys[0]] for row in rows) + "j"
    return deletes, upserts + [born]


def _altered(row, types, taken, suffix):
    column = next((name for name, kind in types.items()
                   if kind == "string" and name not in taken and not name.startswith("_cdc_")), None)
    return dict(row, **{column: (row[column] or "") + suffix}) if column else dict(row)


def applied(rows, keys, deletes, upserts):
    """The lines of `rows` after the deletes and the upserts."""
    if not keys:
        return sorted(canonical.line(row) for row in [*rows, *upserts])
    model = _by_key(rows, keys)
    for row in deletes:
        del model[_key(row, keys)]
    model.update({_key(row, keys): row for row in upserts})
    return sorted(canonical.line(row) for row in model.values())


def gone_on(before, changed, whole, keys):
    """The lines that a table holds when we go on with the rest of a capture.

    `before` are the lines after its first part, `changed` those after somebody else's changes to them, and `whole` those
    of a table that holds all of the capture and nobody else's changes. What the rest of the capture touched is as in
    `whole`, unless the row at hand is newer.
    """
    if not keys:
        rest = collections.Counter(whole)
        rest.subtract(before)
        return sorted([*changed, *rest.elements()])
    before, model, whole = (_by_key(map(json.loads, lines), keys) for lines in (before, changed, whole))
    for key in before.keys() - whole.keys():
        model.pop(key, None)
    for key, row in whole.items():
        if row != before.get(key) and not (key in model and model[key][ORDER] > row[ORDER]):
            model[key] = row
    return sorted(canonical.line(row) for row in model.values())


def _by_key(rows, keys):
    return {_key(row, keys): row for row in rows}


def _key(row, keys):
    return canonical.line([row[k] for k in keys])
