#!/usr/bin/env python3
"""A database's changes on their whole way: PostgreSQL, Debezium, broker, `kafka_to_hudi`, tables; and whatever is killed meanwhile.

  s3.sh engines.sh presto broker.sh chain.sh chain.py --work DIR --program BIN --inspect BIN [--lakes json@s3 avro@s3] [--phases 3] [--seconds 20] [--harm 1]

Two connectors read one database, one in JSON with inline schemas, one in Avro with a registry. Each lake is a group of two
consumers on the topics of one of them, and a place for its tables: a folder, or S3. What is held:
  1. The database is worked on in phases (workload.py, from a seed). From the second on something is killed all the time: consumers,
     with and without a word to them, Debezium, the broker; and S3 answers with errors, or does what it is asked for and says it did not.
  2. In the pause after each phase every table of every lake holds the rows that the database holds (database.py), passes
     `inspect --check`, and has no dead letter.
  3. Beside Presto (engines.sh), the consumers of the first lake in S3 tell Glue of their tables: in each pause it answers ten questions as
     the database does (queries.py).
  4. At the end Hudi's Java and hudi-rs read the same rows.
"""
import argparse
import concurrent.futures
import os
import random
import subprocess
import sys
import threading
import time

import canonical
import database
import places
import queries
import server
import sql
import workload
from compare import Failure, identical, normal, same
from consumer import Consumer, Ended, wait
from peers import HudiRs, Java, Programs, install, installed

BUCKET = DATABASE = "chain"
CONSUMERS = 2
TAIL = 30


# ---- Debezium --------------------------------------------------------------------------------------------------------

class Connect:
    """Kafka Connect with a connector for each form of messages."""

    def __init__(self, work):
        self.script, self.work = os.environ["HUDI_TEST_CONNECT"], work

    def files(self):
        for name in ("json", "avro"):
            path = os.path.join(self.work, f"{name}.properties")
            with open(path, "w", encoding="utf-8") as out:
                out.writelines(f"{key}={value}\n" for key, value in self.properties(name).items())
            yield path

    def properties(self, name):
        return {
            "name": name, "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "plugin.name": "pgoutput",
            "topic.prefix": name, "slot.name": name, "publication.name": name, "publication.autocreate.mode": "filtered",
            "table.include.list": "public\\\\..*",
            "database.hostname": os.environ["PGHOST"], "database.port": os.environ["PGPORT"], "database.user": os.environ["PGUSER"],
            "database.dbname": os.environ["PGDATABASE"], "decimal.handling.mode": "precise", "skipped.operations": "none",
            "poll.interval.ms": "100", "topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1",
            "topic.creation.groups": ",".join(workload.WIDE), **self.wide(name), **getattr(self, name)()}

    def wide(self, name):
        return {f"topic.creation.{table}.{key}": value for table, partitions in workload.WIDE.items()
                for key, value in (("include", f"{name}\\\\.public\\\\.{table}"), ("partitions", partitions), ("replication.factor", 1))}

    def json(self):
        return {f"{side}.converter{key}": value for side in ("key", "value") for key, value in (
            ("", "org.apache.kafka.connect.json.JsonConverter"), (".schemas.enable", "true"), (".replace.null.with.default", "false"))}

    def avro(self):
        converters = {f"{side}.converter{key}": value for side in ("key", "value") for key, value in (
            ("", "io.apicurio.registry.utils.converter.AvroConverter"), (".apicurio.registry.url", os.environ["HUDI_TEST_REGISTRY"] + "/apis/registry/v2"),
            (".apicurio.registry.auto-register", "true"), (".apicurio.registry.as-confluent", "true"),
            (".apicurio.registry.use-id", "contentId"), (".apicurio.registry.headers.enabled", "false"))}
        return {**converters, "schema.name.adjustment.mode": "avro", "field.name.adjustment.mode": "avro"}

    def start(self):
        subprocess.run([self.script, "start", *self.files()], check=True)

    def is_ready(self):
        return subprocess.run([self.script, "ready", "json", "avro"], stderr=subprocess.DEVNULL).returncode == 0

    def restart(self):
        subprocess.run([self.script, "kill"], check=True)
        subprocess.run([self.script, "start"], check=True)


# ---- our consumers ---------------------------------------------------------------------------------------------------

class Lake:
    """Tables, and the consumers that write them."""

    def __init__(self, name, work, program, is_in_glue):
        self.name, (self.form, self.place), self.is_in_glue = name, name.split("@"), is_in_glue
        self.folder = os.path.join(work, name)
        os.makedirs(self.folder)
        self.root = f"s3://{BUCKET}/{self.form}" if self.place == "s3" else os.path.join(self.folder, "tables")
        config = os.path.join(self.folder, "pipeline.toml")
        with open(config, "w", encoding="utf-8") as out:
            out.write(self.config())
        logs = [os.path.join(self.folder, f"consumer-{number}.log") for number in range(CONSUMERS)]
        self.consumers = [Consumer(program, config, log) for log in logs]

    def config(self):
        registry = f'[registry]\nurls = ["{os.environ["HUDI_TEST_REGISTRY"]}/apis/ccompat/v7"]\n' if self.form == "avro" else ""
        glue = f'[glue]\ndatabase = "{DATABASE}"\n' if self.is_in_glue else ""
        return f"""[kafka]
brokers = "{os.environ["HUDI_TEST_KAFKA"]}"
group = "{self.name}"
topic_pattern = '^{self.form}\\.public\\.[a-z]+$'
[kafka.client]
"session.timeout.ms" = "4000"
"heartbeat.interval.ms" = "1000"
"topic.metadata.refresh.interval.ms" = "2000"
"statistics.interval.ms" = "500"
[format]
name = "debezium-{self.form}"
{registry}{glue}[tables]
url = "{self.root}/{{table}}"
[[override]]
topics = ["*.kinds", "*.papers"]
index = "bucket:2"
[[override]]
topics = ["*.orders"]
partition_by = ["region"]
index = "global-simple"
[commit]
age = "1s"
[errors]
stop_with_a_table = true
"""

    def table(self, name):
        return f"{self.root}/{name}"

    def has_nothing_left(self):
        return not any(sum(c.numbers(name)) for c in self.consumers for name in ("cdc_lag_messages", "cdc_uncommitted_rows"))

    def stop(self):
        for consumer in self.consumers:
            consumer.process.kill()
            consumer.process.wait()

    def tails(self):
        for consumer in self.consumers:
            with open(consumer.log, encoding="utf-8", errors="replace") as log:
                print(f"\n==> the end of {consumer.log}\n{''.join(log.readlines()[-TAIL:])}", file=sys.stderr)


# ---- harm ------------------------------------------------------------------------------------------------------------

class Harm(threading.Thread):
    """Does one harm after the other, in a random order at random times, for so many seconds."""

    def __init__(self, chain, rng, seconds, times):
        super().__init__(daemon=True)
        self.chain, self.failure = chain, None
        of_lakes = [*[self.kill] * (2 * len(chain.lakes)), *[self.end] * len(chain.lakes), self.s3, self.s3, self.glue]
        kinds = [self.connect, self.broker, *of_lakes * times]
        rng.shuffle(kinds)
        self.plan = sorted((rng.uniform(0, seconds), number, kind, rng.random()) for number, kind in enumerate(kinds))

    def run(self):
        began = time.time()
        try:
            for at, _, kind, draw in self.plan:
                time.sleep(max(0, began + at - time.time()))
                print(f"     {time.time() - began:5.1f} s: {kind.__name__} {kind(draw) or ''}", flush=True)
        except Exception as failure:  # told by who waits for it
            self.failure = failure

    def finished(self):
        self.join()
        if self.failure:
            raise self.failure

    def connect(self, _):
        self.chain.connect.restart()
        self.chain.kills += 1

    def broker(self, _):
        subprocess.run([os.environ["HUDI_TEST_KAFKA_RESTART"]], check=True)
        self.chain.kills += 1

    def one(self, draw):
        consumers = [consumer for lake in self.chain.lakes for consumer in lake.consumers]
        return consumers[int(draw * len(consumers))]

    def kill(self, draw):
        consumer = self.one(draw)
        consumer.kill()
        self.chain.kills += 1
        time.sleep(draw)
        consumer.start()
        return consumer.log

    def end(self, draw):
        consumer = self.one(draw)
        consumer.end()
        consumer.start()
        return consumer.log

    def s3(self, draw):
        """Puts that fail, or are carried out and seem not to be; reads that fail."""
        if not any(lake.place == "s3" for lake in self.chain.lakes):
            return
        rules = [{"status": 500}, {"status": 503, "times": 4}, {"status": 500, "after": True, "times": 2}, {"after": True, "drop": True},
                 {"drop": True}, {"match": f"GET /{BUCKET}/", "status": 503, "times": 3}]
        rule = {"match": f"PUT /{BUCKET}/.", **rules[int(draw * len(rules))]}
        server.fault(**rule)
        return rule

    def glue(self, draw):
        """Calls that are too many for it, refused, or carried out without an answer."""
        if not any(lake.is_in_glue for lake in self.chain.lakes):
            return
        rules = [{"error": "ThrottlingException", "times": 5}, {"error": "AccessDeniedException"}, {"after": True, "drop": True}]
        rule = {"match": "GLUE ", **rules[int(draw * len(rules))]}
        server.fault(**rule)
        return rule


# ---- all of it -------------------------------------------------------------------------------------------------------

class Chain:
    """The whole way, and what is done with it."""

    def __init__(self, a):
        self.a, self.work = a, os.path.abspath(a.work)
        os.makedirs(self.work, exist_ok=True)
        self.rng = random.Random(a.seed)
        self.sessions = [database.Session() for _ in range(2)]
        self.load = workload.Workload(self.rng, self.sessions)
        self.connect, self.programs = Connect(self.work), Programs(a.program, a.inspect)
        self.lakes, self.held, self.kills = [], 0, 0

    def test(self, name, do):
        started = time.time()
        said = do()
        self.held += 1
        print(f"test chain::{name} ... ok ({time.time() - started:.1f} s{f'; {said}' if said else ''})", flush=True)

    def run(self):
        workload.make(self.sessions[0])
        # What stands before anybody listens comes by a snapshot.
        self.work_for(2, truncates=False)
        self.connect.start()
        if any(name.endswith("@s3") for name in self.a.lakes):
            places.make_bucket(BUCKET)
        wait("Debezium", self.connect.is_ready)
        in_glue = [name for name in self.a.lakes if name.endswith("@s3") and "presto" in sql.here()][:1]
        self.lakes = [Lake(name, self.work, os.path.abspath(self.a.program), name in in_glue) for name in self.a.lakes]
        for phase in range(1, self.a.phases + 1):
            self.phase(phase)
        self.read_by_others()
        return self.finish()

    def phase(self, number):
        harm = Harm(self, random.Random(self.rng.random()), self.a.seconds, self.a.harm) if number > 1 else None
        if harm:
            harm.start()
        transactions, changes = self.load.transactions, self.load.changes
        self.work_for(self.a.seconds, truncates=True)
        if harm:
            harm.finished()
        self.load.mark(number)
        done = f"{self.load.transactions - transactions} transactions, {self.load.changes - changes} changes"
        print(f"phase {number}: {done}", flush=True)
        for lake in self.lakes:
            self.test(f"{lake.name}::pause_{number}", lambda: self.settled(lake, number))
        for lake in self.lakes:
            if lake.is_in_glue:
                self.test(f"{lake.name}::asked_{number}", lambda: self.asked(lake, number))
            self.test(f"{lake.name}::checked_{number}", lambda: self.checked(lake))

    def work_for(self, seconds, truncates):
        """Transactions at their pace; a table is changed and one truncated half-way."""
        began, steps = time.time(), 0
        once = [self.load.new_column, self.load.truncate] if truncates else []
        while (now := time.time() - began) < seconds:
            self.load.step()
            steps += 1
            if once and now > seconds / 2:
                once.pop()()
            time.sleep(max(0, began + steps / self.a.rate - time.time()))

    def settled(self, lake, number):
        """Waits until a lake has all, and compares; again, as long as something may be on its way."""
        def has_all():
            if not lake.has_nothing_left():
                return False
            self.is_same(lake, "markers")
            return True
        wait(f"{lake.name} has come to marker {number}", has_all)
        tries = []

        def holds():
            tries.append(1)
            self.compared(lake)
            return True
        wait(f"{lake.name} is the database", holds, 30, 1)
        return f"compared {len(tries)} times" if len(tries) > 1 else ""

    def asked(self, lake, number):
        """Asks Presto once it sees the marker; again, as long as a sync may be on its way."""
        presto, tries, rows = sql.Engine("presto", DATABASE), [], []

        def holds():
            tries.append(1)
            if presto.ask("select max(id) from markers")[1] != [[number]]:
                raise Failure(f"Presto does not see marker {number}")
            rows.append(queries.compare(presto, self.sessions))
            for table in workload.TABLES:
                server.check_table(DATABASE, table, lake.table(table))
            return True
        wait(f"Presto answers of {lake.name} as the database does", holds, 60, 1)
        return f"{len(queries.QUERIES)} questions, {rows[-1]} rows{f', asked {len(tries)} times' if len(tries) > 1 else ''}"

    def compared(self, lake):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda table: self.is_same(lake, table), workload.TABLES))

    def is_same(self, lake, table):
        columns = self.load.columns[table]
        schema, keys = database.schema(columns), workload.KEYS[table]
        expected = self.database_rows(table, columns)
        drop = lambda text: {name: value for name, value in canonical.parse_ours(text).items() if not name.startswith("_cdc_")}
        ours = normal([canonical.line(drop(text)) for text in self.programs.rows(lake.table(table))], schema)
        try:
            same(schema, keys, ours, expected)
        except Failure as e:
            raise Failure(f"{lake.name}, {table} (theirs: the database): {e}") from e

    def database_rows(self, table, columns):
        session = database.Session()
        try:
            return database.rows(session, table, columns)
        finally:
            session.stop()

    def checked(self, lake):
        letters = 0
        for table in workload.TABLES:
            self.programs.check(lake.table(table))
            letters += len(places.files(lake.table(table), ".hoodie/.cdc/dead_letters"))
        if letters:
            raise Failure(f"{lake.name}: {letters} files of dead letters")

    def read_by_others(self):
        scratch = os.path.join(self.work, "rows")
        on_s3 = any(lake.place == "s3" for lake in self.lakes)
        for lake in self.lakes:
            lake.stop()
        installed(install(self.a.hudi, *(["s3"] if on_s3 else [])))
        java, hudi_rs = Java(self.a.hudi, scratch, os.environ["HUDI_TEST_S3"] if on_s3 else None), HudiRs(scratch)
        try:
            for lake in self.lakes:
                self.test(f"{lake.name}::read_by_{java.name}_and_hudi-rs", lambda: self.all_read(lake, java, hudi_rs))
        finally:
            java.stop()
            hudi_rs.stop()

    def all_read(self, lake, java, hudi_rs):
        for name in workload.TABLES:
            table = lake.table(name)
            theirs = java.rows(table)
            try:
                same(java.schema, workload.KEYS[name], normal(self.programs.rows(table), java.schema), theirs)
                identical(theirs, hudi_rs.rows(table))
            except Failure as e:
                raise Failure(f"{table}: {e}") from e

    def finish(self):
        rows = {table: len(self.database_rows(table, self.load.columns[table])) for table in workload.TABLES}
        print(f"{self.load.transactions} transactions, {self.load.changes} changes, {self.kills} kills; rows at the end: {rows}")
        print(f"test result: ok. {self.held} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out")
        return 0

    def stop(self):
        for lake in self.lakes:
            lake.stop()


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", required=True, help="where configuration, logs and tables in folders are")
    p.add_argument("--program", required=True, help="our kafka_to_hudi")
    p.add_argument("--inspect", required=True)
    p.add_argument("--lakes", nargs="+", default=["json@s3", "avro@s3"], help="json or avro, @, folder or s3")
    p.add_argument("--phases", type=int, default=3)
    p.add_argument("--seconds", type=float, default=20, help="of each phase")
    p.add_argument("--harm", type=int, default=1, help="how many times over consumers and S3 are harmed in a phase")
    p.add_argument("--rate", type=float, default=20, help="steps a second")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--hudi", default="0.15.0")
    return p.parse_args()


def main():
    a = arguments()
    print(f"seed {a.seed}", flush=True)
    chain = Chain(a)
    try:
        return chain.run()
    except (Failure, Ended, OSError, subprocess.SubprocessError) as failure:
        print(f"test chain ... FAILED\n{failure}", flush=True)
        for lake in chain.lakes:
            lake.tails()
        return 1
    finally:
        chain.stop()


if __name__ == "__main__":
    sys.exit(main())
