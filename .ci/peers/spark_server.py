"""Hudi's own Java behind pipes: one JVM, held open, that reads tables and goes on writing them.

  spark-3.5/bin/python spark_server.py [--hudi 0.15.0] [--memory 2g] [--s3 URL]

Requests are JSON objects, one a line, on standard input; each is answered by one line on standard output as soon as it is
done. The first line on standard output, `{"ok": true, "hudi": ...}`, says that the JVM is up.

  {"op": "rows", "table": DIR or s3a://..., "out": FILE, "options": {...}?}
      reads a snapshot; FILE gets canonical rows (canonical.py) without Hudi's meta columns
      -> {"ok": true, "rows": N, "schema": Spark's JSON form of the type, "seconds": S}
  {"op": "continue", "table": DIR, "index": "BUCKET"|"SIMPLE"|"BLOOM"|..., "buckets": N?, "metadata": bool?,
   "deletes": [ROW...]?, "upserts": [ROW...]?, "options": {...}?}
      deletes, then upserts canonical rows, one commit each; inserts them where the table has no key. What the table is comes
      from its own hoodie.properties
      -> {"ok": true, "commits": N, "seconds": S}
  any failure -> {"ok": false, "error": the Java causes, outermost first, "seconds": S}
"""
import argparse
import json
import os
import re
import sys
import tempfile
import time

import canonical
import places

PEERS = os.environ.get("HUDI_PEERS") or os.path.expanduser("~/.cache/hudi-peers")

# A run of many small tables: the full compiler costs more than it gives.
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -Djdk.attach.allowAttachSelf=true -Duser.timezone=UTC"

S3_JARS = ("hadoop-aws-3.3.4.jar", "aws-java-sdk-bundle-1.12.262.jar")

KEY_GENERATORS = {"SIMPLE": "Simple", "COMPLEX": "Complex", "NON_PARTITION": "Nonpartitioned"}


def session(hudi, memory, s3):
    spark_minor = "3.4" if hudi.startswith("0.14.") else "3.5"
    jars = [os.path.join(PEERS, "jars", name) for name in (f"hudi-spark{spark_minor}-bundle_2.12-{hudi}.jar", *(S3_JARS if s3 else ()))]
    for jar in jars:
        if not os.path.exists(jar):
            sys.exit(f"{jar} is not there: run install.sh {hudi}{' s3' if s3 else ''}")
    os.environ.update(TZ="UTC", SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable)
    time.tzset()
    from pyspark.sql import SparkSession
    scratch = tempfile.mkdtemp(prefix="spark-")
    settings = {
        "spark.driver.memory": memory,
        "spark.driver.maxResultSize": "0",
        "spark.driver.extraClassPath": ":".join(jars),
        "spark.driver.extraJavaOptions": f"{JVM} -Dderby.system.home={scratch}",
        "spark.local.dir": scratch,
        "spark.sql.warehouse.dir": os.path.join(scratch, "warehouse"),
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.default.parallelism": "2",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.kryo.registrator": "org.apache.spark.HoodieSparkKryoRegistrar",
        "spark.sql.extensions": "org.apache.spark.sql.hudi.HoodieSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.hudi.catalog.HoodieCatalog",
        # Without it Java cannot rewrite lists that hold nulls (it reads them).
        "spark.hadoop.parquet.avro.write-old-list-structure": "false",
    }
    if s3:
        settings.update({f"spark.hadoop.fs.s3a.{key}": value for key, value in {
            "endpoint": s3, "path.style.access": "true", "connection.ssl.enabled": "false", "access.key": "test", "secret.key": "test",
            "endpoint.region": "us-east-1", "change.detection.mode": "none"}.items()})
    builder = SparkSession.builder.master("local[2]").appName("hudi")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel(os.environ.get("SPARK_LOG", "OFF"))
    return spark


# ---- reading -------------------------------------------------------------------------------------------------------

def frame(spark, table, options=None):
    df = spark.read.format("hudi").options(**(options or {})).load(table)
    return df.drop(*[c for c in df.columns if c.startswith("_hoodie_")])


def converter(kind):
    """A function from a Python value of Spark's type `kind` to its canonical form."""
    convert = _converter(kind)
    return lambda value: None if value is None else convert(value)


def _converter(kind):
    from pyspark.sql import types as T
    if isinstance(kind, T.DecimalType):
        return lambda v: canonical.fixed(v, kind.scale)
    if isinstance(kind, (T.FloatType, T.DoubleType)):
        return canonical.real
    if isinstance(kind, T.TimestampType):
        return canonical.moment
    if isinstance(kind, T.DateType):
        return lambda v: v.isoformat()
    if isinstance(kind, T.BinaryType):
        return canonical.binary
    if isinstance(kind, T.StructType):
        fields = [(f.name, converter(f.dataType)) for f in kind.fields]
        return lambda v: {name: convert(x) for (name, convert), x in zip(fields, v)}
    if isinstance(kind, T.ArrayType):
        item = converter(kind.elementType)
        return lambda v: [item(x) for x in v]
    if isinstance(kind, T.MapType):
        item = converter(kind.valueType)
        return lambda v: {k: item(x) for k, x in v.items()}
    return lambda v: v


# Tables that Java wrote to. Its copy-on-write files do not say which calendar their dates follow, so that Spark refuses
# dates before 1582 in them unless it is told; ours say it.
WRITTEN_BY_JAVA = set()


def rows(spark, request):
    from pyspark.sql import functions as F
    from pyspark.sql import types as T
    calendar = "CORRECTED" if request["table"] in WRITTEN_BY_JAVA else "EXCEPTION"
    spark.conf.set("spark.sql.parquet.datetimeRebaseModeInRead", calendar)
    df = frame(spark, request["table"], request.get("options"))
    schema = df.schema
    moments = {f.name for f in schema.fields if isinstance(f.dataType, T.TimestampType)}
    # Python cannot make a local time of the year 1: whole timestamps travel as microseconds.
    df = df.select([F.expr(f"unix_micros(`{c}`)").alias(c) if c in moments else F.col(f"`{c}`") for c in df.columns])
    columns = [(f.name, _nullable(canonical.moment_of_micros) if f.name in moments else converter(f.dataType))
               for f in schema.fields]
    lines = sorted(canonical.line({name: convert(x) for (name, convert), x in zip(columns, row)}) for row in df.collect())
    canonical.write(request["out"], lines)
    return {"rows": len(lines), "schema": schema.jsonValue()}


def _nullable(convert):
    return lambda value: None if value is None else convert(value)


# ---- going on writing ----------------------------------------------------------------------------------------------

def properties(table):
    """hoodie.properties as a dict, with the escapes that Java and we write."""
    escapes = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}

    def plain(text):
        return re.sub(r"\\(u[0-9a-fA-F]{4}|.)",
                      lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 5 else escapes.get(m[1], m[1]), text)
    found = {}
    for text in places.read(table, ".hoodie/hoodie.properties").split("\n"):
        m = re.match(r"((?:[^\\=:#!]|\\.)(?:[^\\=:]|\\.)*)[=:](.*)", text.rstrip("\r"))
        if m:
            found[plain(m[1]).strip()] = plain(m[2].lstrip())
    return found


def write_options(props, request):
    """The options of a write that goes on with a table as its properties describe it, and changes nothing in them."""
    keys = props.get("hoodie.table.recordkey.fields", "")
    partitions = props.get("hoodie.table.partition.fields", "")
    generator = props.get("hoodie.table.keygenerator.class")
    if not generator:
        kind = KEY_GENERATORS.get(props.get("hoodie.table.keygenerator.type"))
        kind = kind or ("Nonpartitioned" if not partitions else "Complex" if "," in keys + partitions else "Simple")
        generator = f"org.apache.hudi.keygen.{kind}KeyGenerator"
    options = {
        "hoodie.table.name": props["hoodie.table.name"],
        "hoodie.datasource.write.table.type": props.get("hoodie.table.type", "COPY_ON_WRITE"),
        "hoodie.datasource.write.recordkey.field": keys,
        "hoodie.datasource.write.partitionpath.field": partitions,
        "hoodie.datasource.write.keygenerator.class": generator,
        "hoodie.metadata.enable": "true" if request.get("metadata") else "false",
        "hoodie.index.type": request["index"],
        "hoodie.upsert.shuffle.parallelism": "2",
        "hoodie.delete.shuffle.parallelism": "2",
        "hoodie.embed.timeline.server": "false",
        # Else Spark compacts a merge-on-read table by itself after five delta commits.
        "hoodie.datasource.compaction.async.enable": "true",
        # Read by Hudi 1.x alone, which would upgrade the table.
        "hoodie.write.table.version": props.get("hoodie.table.version", "6"),
        "hoodie.write.auto.upgrade": "false",
    }
    same_name = ["hoodie.datasource.write.hive_style_partitioning", "hoodie.datasource.write.partitionpath.urlencode",
                 "hoodie.database.name"]
    options.update({key: props[key] for key in same_name if props.get(key)})
    if not keys:
        # Java makes keys up itself only where it is told nothing about any.
        for key in ("hoodie.datasource.write.recordkey.field", "hoodie.datasource.write.keygenerator.class"):
            del options[key]
    if ordering(props):
        options["hoodie.datasource.write.precombine.field"] = ordering(props)
    if props.get("hoodie.compaction.payload.class"):
        options["hoodie.datasource.write.payload.class"] = props["hoodie.compaction.payload.class"]
    if request["index"] == "BUCKET":
        options["hoodie.bucket.index.num.buckets"] = str(request["buckets"])
        options["hoodie.index.bucket.engine"] = "SIMPLE"
    options.update(request.get("options") or {})
    return options


def ordering(props):
    return props.get("hoodie.table.ordering.fields") or props.get("hoodie.table.precombine.field")


def go_on(spark, request):
    from pyspark.sql import types as T
    table = request["table"]
    WRITTEN_BY_JAVA.add(table)
    props = properties(table)
    options = write_options(props, request)
    schema = frame(spark, table).schema
    names = ",".join(props.get(k) or "" for k in ("hoodie.table.recordkey.fields", "hoodie.table.partition.fields"))
    keys = set(names.split(",")) | set((ordering(props) or "").split(","))
    has_key = bool(props.get("hoodie.table.recordkey.fields"))
    steps = [("delete", T.StructType([f for f in schema.fields if f.name in keys]), request.get("deletes")),
             ("upsert" if has_key else "insert", schema, request.get("upserts"))]
    commits = 0
    for operation, columns, some in steps:
        if some:
            texts = spark.sparkContext.parallelize([json.dumps(row) for row in some], 1)
            df = spark.read.schema(columns).option("mode", "FAILFAST").json(texts)
            df.write.format("hudi").options(**options).option("hoodie.datasource.write.operation", operation) \
                .mode("append").save(table)
            commits += 1
    return {"commits": commits}


# ---- requests ------------------------------------------------------------------------------------------------------

def error_text(e):
    """The Java causes, outermost first; without Java, Python's own text."""
    java = getattr(e, "java_exception", None) or getattr(e, "_origin", None)
    causes = []
    while java is not None and len(causes) < 8:
        causes.append(str(java.toString()).splitlines()[0][:400])
        java = java.getCause()
    return " <- ".join(causes) or f"{type(e).__name__}: {e}"[:2000]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--hudi", default="0.15.0")
    p.add_argument("--memory", default="2g")
    p.add_argument("--s3", help="the URL of a server of tables at s3a://; needs install.sh s3")
    a = p.parse_args()
    # The JVM inherits standard output, and Hudi prints warnings there: answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(**fields):
        answers.write(json.dumps(fields, ensure_ascii=False) + "\n")
        answers.flush()

    started = time.time()
    spark = session(a.hudi, a.memory, a.s3)
    answer(ok=True, hudi=a.hudi, seconds=round(time.time() - started, 1))
    operations = {"rows": rows, "continue": go_on}
    for text in sys.stdin:
        started = time.time()
        try:
            request = json.loads(text)
            # Hudi's Java takes a relative path for another table's.
            if not places.is_remote(request["table"]):
                request["table"] = os.path.abspath(request["table"])
            result = dict(operations[request["op"]](spark, request), ok=True)
        except Exception as e:  # whatever it was, the caller is to see it, and the next request may go well
            result = {"ok": False, "error": error_text(e)}
        answer(**result, seconds=round(time.time() - started, 2))
    spark.stop()


if __name__ == "__main__":
    main()
