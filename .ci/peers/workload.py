"""What a shop's database goes through: its tables, and transactions drawn from a seed. The database itself is the model.

  kinds     a column of each type; it gets more columns in mid-stream
  lines     a key of two columns; truncated in mid-stream, and filled with the same keys again
  orders    rows move between regions, their partitions
  papers    long values that updates do not touch, and keys that change
  events    no key; rows that are alike
  markers   a row a pause, written last
"""
import json

REGIONS = ["north", "south", "östlich", "far west"]
MOODS = ["sad", "ok", "happy"]
TEXTS = ["", "plain", "it's \"quoted\" \\ here", "zwei\nZeilen", "\u00e9\u4e2d\U0001f600", " blanks ", "null"]
# Stored beside the row, uncompressed.
LONG_CHARACTERS = 3000

TABLES = {
    "kinds": [("id", "bigint"), ("flag", "boolean"), ("small", "smallint"), ("whole", "integer"), ("long", "bigint"), ("r4", "real"),
              ("r8", "double precision"), ("amount", "numeric(12,2)"), ("exact", "numeric"), ("words", "text"), ("short", "varchar(40)"),
              ("fixed", "char(8)"), ("raw", "bytea"), ("token", "uuid"), ("doc", "jsonb"), ("mood", "mood"), ("day", "date"),
              ("clock", "time"), ("at", "timestamp"), ("at_ms", "timestamp(3)"), ("at_zone", "timestamptz"), ("tags", "text[]"),
              ("numbers", "bigint[]")],
    "lines": [("order_id", "integer"), ("line", "integer"), ("product", "text"), ("price", "numeric(12,2)")],
    "orders": [("id", "bigint"), ("region", "text"), ("amount", "numeric(12,2)"), ("changed", "timestamptz")],
    "papers": [("id", "bigint"), ("title", "text"), ("body", "text"), ("notes", "text")],
    "events": [("kind", "text"), ("value", "integer"), ("at", "timestamp")],
    "markers": [("id", "bigint")],
}
KEYS = {"kinds": ["id"], "lines": ["order_id", "line"], "orders": ["id"], "papers": ["id"], "events": [], "markers": ["id"]}
# Partitions of the topic, where there are more than one.
WIDE = {"kinds": 2, "lines": 2, "orders": 3, "papers": 2}
MORE_COLUMNS = [("later", "text"), ("later_amount", "numeric(12,2)"), ("later_at", "timestamptz")]


def literal(value):
    if value is None:
        return "null"
    if isinstance(value, (bool, int)):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def make(session):
    """Makes the tables."""
    session.run(f"create type mood as enum ({', '.join(map(literal, MOODS))})")
    for table, columns in TABLES.items():
        key = f", primary key ({', '.join(KEYS[table])})" if KEYS[table] else ""
        session.run(f"create table {table} ({', '.join(f'{name} {kind}' for name, kind in columns)}{key})")
        if not KEYS[table]:
            session.run(f"alter table {table} replica identity full")
    session.run("alter table papers alter body set storage external, alter notes set storage external")


class Workload:
    """Transactions, some of them at the same time. Each session keeps to keys of its own, so that none waits for another."""

    def __init__(self, rng, sessions):
        self.rng, self.sessions = rng, sessions
        self.columns = {table: list(columns) for table, columns in TABLES.items()}
        self.alive = {table: [[] for _ in sessions] for table in TABLES if KEYS[table]}
        self.next, self.transactions, self.changes = 0, 0, 0

    # ---- transactions ----------------------------------------------------------------------------------------------

    def step(self):
        """One transaction, or one in each session, interleaved."""
        if self.rng.random() < 0.3:
            self.interleaved()
        else:
            self.transaction(self.rng.randrange(len(self.sessions)))

    def transaction(self, of):
        before = self.begin(of)
        self.some(of)
        self.end(of, before)

    def interleaved(self):
        """The first to change something is the last to commit."""
        everybody = range(len(self.sessions))
        before = [self.begin(of) for of in everybody]
        for _ in range(2):
            for of in everybody:
                self.some(of)
        for of in reversed(everybody):
            self.end(of, before[of])

    def begin(self, of):
        self.sessions[of].run("begin")
        return {table: list(keys[of]) for table, keys in self.alive.items()}

    def some(self, of):
        statements = [self.change(of) for _ in range(self.rng.choice([1, 2, 3, 5, 12]))]
        self.sessions[of].run(";\n".join(statements))
        self.changes += len(statements)

    def end(self, of, before):
        self.transactions += 1
        if self.rng.random() < 0.1:
            self.sessions[of].run("rollback")
            for table, keys in before.items():
                self.alive[table][of] = keys
        else:
            self.sessions[of].run("commit")

    # ---- changes ---------------------------------------------------------------------------------------------------

    def change(self, of):
        """A statement that changes one row."""
        table = self.rng.choice(["kinds", "lines", "orders", "orders", "papers", "events"])
        if table == "events":
            return self.event(of)
        keys, draw = self.alive[table][of], self.rng.random()
        if len(keys) < 5 or draw < 0.25:
            key = self.new_key(table, of)
            keys.append(key)
            return self.insert(table, key)
        key = self.rng.choice(keys)
        if draw < 0.4:
            keys.remove(key)
            return f"delete from {table} where {self.where(table, key)}"
        if draw < 0.5 and table in ("papers", "lines"):
            keys.remove(key)
            keys.append(self.new_key(table, of))
            return f"update {table} set {self.assigned(table, keys[-1])} where {self.where(table, key)}"
        columns = [c for c in self.columns[table] if c[0] not in KEYS[table]]
        some = self.rng.sample(columns, self.rng.randint(1, min(3, len(columns))))
        return f"update {table} set {', '.join(f'{name} = {self.value(name, kind)}' for name, kind in some)} where {self.where(table, key)}"

    def new_key(self, table, of):
        # One that was there before comes back now and then; it is of this session's, by its remainder.
        if table != "papers" and self.next > 50 and self.rng.random() < 0.3:
            number = self.rng.randrange(self.next)
        else:
            self.next += 1
            number = self.next
        number = number * len(self.sessions) + of
        key = (number // 4, number) if table == "lines" else (number,)
        return self.new_key(table, of) if key in self.alive[table][of] else key

    def insert(self, table, key):
        values = [str(key[KEYS[table].index(name)]) if name in KEYS[table] else self.value(name, kind)
                  for name, kind in self.columns[table]]
        return f"insert into {table} ({', '.join(name for name, _ in self.columns[table])}) values ({', '.join(values)})"

    def where(self, table, key):
        return " and ".join(f"{name} = {value}" for name, value in zip(KEYS[table], key))

    def assigned(self, table, key):
        return ", ".join(f"{name} = {value}" for name, value in zip(KEYS[table], key))

    def event(self, of):
        """Each session has its own kinds of events; some events are alike to the last digit."""
        kind, draw = f"kind {of}.{self.rng.randrange(4)}", self.rng.random()
        if draw < 0.6:
            return f"insert into events values ({literal(kind)}, {self.rng.randrange(5)}, '2026-01-0{self.rng.randint(1, 9)}')"
        one = f"ctid = (select ctid from events where kind = {literal(kind)} limit 1)"
        return f"update events set value = value + 5 where {one}" if draw < 0.8 else f"delete from events where {one}"

    def value(self, name, kind):
        """A literal for a column."""
        if name == "region":
            return literal(self.rng.choice(REGIONS))
        if self.rng.random() < 0.15:
            return "null"
        if name in ("body", "notes"):
            return literal(self.rng.randbytes(LONG_CHARACTERS // 2).hex())
        return self.of_kind(kind)

    def of_kind(self, kind):
        rng = self.rng
        whole = lambda bits: rng.choice([0, 1, -1, 2 ** (bits - 1) - 1, -2 ** (bits - 1), rng.randrange(1000)])
        day = lambda: f"{rng.randint(1600, 2200)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        clock = lambda: f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(10 ** 6):06}"
        text = lambda: rng.choice(TEXTS) + rng.choice(["", str(rng.randrange(100))])
        drawn = {
            "boolean": lambda: rng.random() < 0.5,
            "smallint": lambda: whole(16),
            "integer": lambda: whole(32),
            "bigint": lambda: whole(64),
            "real": lambda: rng.choice(["NaN", "-Infinity", "0.1", "3.4e38", f"{rng.random():.6}"]),
            "double precision": lambda: rng.choice(["NaN", "Infinity", "0.1", "1e-300", repr(rng.random())]),
            "numeric(12,2)": lambda: rng.choice(["9999999999.99", "-0.01", f"{rng.randrange(10 ** 6)}.{rng.randrange(100):02}"]),
            "numeric": lambda: rng.choice(["0", "1200", "-1.50", "123456789012345678901234567890.000000001", f"{rng.random():.12f}"]),
            "text": text,
            "varchar(40)": text,
            "char(8)": lambda: rng.choice(["", "a", "eight888", "bc"]),
            "bytea": lambda: "\\x" + rng.randbytes(rng.randrange(20)).hex(),
            "uuid": lambda: f"{rng.getrandbits(128):032x}",
            "jsonb": lambda: json.dumps({"a": rng.randrange(9), "b": [text(), None, 1.5]}),
            "mood": lambda: rng.choice(MOODS),
            "date": day,
            "time": clock,
            "timestamp": lambda: f"{day()} {clock()}",
            "timestamp(3)": lambda: f"{day()} {clock()}",
            "timestamptz": lambda: f"{day()} {clock()}+{rng.randrange(13):02}",
        }
        if kind.endswith("[]"):
            of = {"text[]": lambda: rng.choice(["a", "b c", "ü"]), "bigint[]": lambda: rng.randrange(10 ** 12)}[kind]
            return literal("{" + ",".join(f'"{of()}"' for _ in range(rng.randrange(4))) + "}")
        return literal(drawn[kind]())

    # ---- what happens once -----------------------------------------------------------------------------------------

    def new_column(self):
        """A table gets one more column, and a row with it."""
        again, number = divmod(len(self.columns["kinds"]) - len(TABLES["kinds"]), len(MORE_COLUMNS))
        name, kind = MORE_COLUMNS[number]
        column = (f"{name}_{again}" if again else name, kind)
        self.sessions[0].run(f"alter table kinds add column {column[0]} {column[1]}")
        self.columns["kinds"].append(column)
        key = self.new_key("kinds", 0)
        self.alive["kinds"][0].append(key)
        self.sessions[0].run(self.insert("kinds", key))

    def truncate(self):
        """A table is emptied; some of its rows come back in the same transaction."""
        some = [(of, key) for of, keys in enumerate(self.alive["lines"]) for key in keys[::2]]
        statements = ["begin", "truncate lines", *[self.insert("lines", key) for _, key in some], "commit"]
        self.sessions[0].run(";\n".join(statements))
        self.alive["lines"] = [[key for of, key in some if of == mine] for mine in range(len(self.sessions))]

    def mark(self, number):
        self.sessions[0].run(f"insert into markers values ({number})")
