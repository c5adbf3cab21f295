"""Comparing rows: ours with a peer's, a model with what was read. The rows are canonical (canonical.py)."""
import json

import canonical

SHOWN = 5


class Failure(Exception):
    """What went wrong, as text for people."""


def normal(lines, schema):
    """Our lines in canonical form, as Java's schema tells the types."""
    convert = canonical.from_ours(schema)
    found = []
    for text in filter(None, lines):
        try:
            found.append(canonical.line(convert(canonical.parse_ours(text))))
        except (ValueError, TypeError, AttributeError, ArithmeticError) as e:
            raise Failure(f"a line of ours does not fit Java's schema: {e!r} in {text[:500]}") from e
    return sorted(found)


def without_nan(kind, value):
    """A canonical value in which NaN and infinities are null, as JSON without strings for them has it."""
    if value is None:
        return None
    if kind in ("float", "double"):
        return None if isinstance(value, str) else value
    if isinstance(kind, dict):
        if kind["type"] == "struct":
            types = {f["name"]: f["type"] for f in kind["fields"]}
            return {n: without_nan(types.get(n), x) for n, x in value.items()}
        if kind["type"] == "array":
            return [without_nan(kind["elementType"], x) for x in value]
        if kind["type"] == "map":
            return {k: without_nan(kind["valueType"], x) for k, x in value.items()}
    return value


def blur(schema, lines):
    """Canonical lines as ours can be: what is no number or infinite is null in them."""
    return sorted(canonical.line(without_nan(schema, json.loads(text))) for text in lines)


def same(schema, keys, ours, theirs):
    """Raises a Failure that shows the first differences, column by column where the key is on both sides."""
    ours, theirs = blur(schema, ours), blur(schema, theirs)
    if ours == theirs:
        return
    key = lambda row: canonical.line([row.get(k) for k in keys] if keys else row)
    index = lambda lines, other: {key(json.loads(t)): json.loads(t) for t in lines if t not in other}
    mine, other = index(ours, set(theirs)), index(theirs, set(ours))
    text = [f"{len(ours)} rows of ours, {len(theirs)} of theirs, {len(set(mine) | set(other))} keys differ"]
    for k in sorted(set(mine) | set(other))[:SHOWN]:
        if k not in other or k not in mine:
            text.append(f"  {k[:400]} only {'in ours' if k in mine else 'in theirs'}")
            continue
        columns = sorted(set(mine[k]) | set(other[k]))
        text += [f"  {k[:200]}.{c}: ours {_short(mine[k], c)}, theirs {_short(other[k], c)}" for c in columns
                 if c not in mine[k] or c not in other[k] or mine[k][c] != other[k][c]][:SHOWN]
    if not mine and not other:
        text.append("  the same lines, but not as often")
    raise Failure("\n".join(text))


def _short(row, column):
    return canonical.line(row[column])[:200] if column in row else "no such column"


def identical(ours, theirs):
    """Raises a Failure unless the lines are the same to the byte."""
    if ours != theirs:
        differ = [f"  {sign} {text[:400]}" for sign, these, those in (("-", ours, theirs), ("+", theirs, ours))
                  for text in sorted(set(these) - set(those))[:SHOWN]]
        raise Failure("\n".join([f"{len(ours)} lines and {len(theirs)} are not the same", *differ]))
