"""What s3_server.py can be asked beside S3: what Glue holds, and to fail.

`call` is a call of Glue, `fault` a rule of those that s3_server.py takes, `check_table` what must stand in Glue for engines to read a
table; not all of them mind where it does not (Athena does), so that rows alone do not show it.
"""
import json
import os
import urllib.error
import urllib.request

import places
from compare import Failure

INPUT_FORMAT = "org.apache.hudi.hadoop.HoodieParquetInputFormat"
OUTPUT_FORMAT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"


ANYBODY = {name: value.replace("/s3/", "/glue/") for name, value in places.ANYBODY.items()}


def call(operation, **parameters):
    headers = {**ANYBODY, "X-Amz-Target": f"AWSGlue.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    return json.loads(_post("/", parameters, headers) or "{}")


def fault(**rule):
    _post("/-/faults", rule, {})


def check_table(database, name, place):
    """Holds if Glue's table, and each of its partitions, says all that engines of Athena's family may ask; returns the table and them."""
    table = call("GetTable", DatabaseName=database, Name=name)["Table"]
    partitions = _partitions(database, name) if table["PartitionKeys"] else []
    _expect(f"{name}", table["StorageDescriptor"], place)
    want = {"EXTERNAL": "TRUE", "hudi.metadata-listing-enabled": "FALSE", "spark.sql.sources.provider": "hudi"}
    if wrong := {key: table["Parameters"].get(key) for key in want if table["Parameters"].get(key) != want[key]}:
        raise Failure(f"{name}: parameters {wrong}")
    types = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
    if any(key != key.lower() for key in [*types, *(key["Name"] for key in table["PartitionKeys"])]):
        raise Failure(f"{name}: names are not in lower case: {types} {table['PartitionKeys']}")
    for partition in partitions:
        of, storage = f"{name} {partition['Values']}", partition["StorageDescriptor"]
        _expect(of, storage, place + "/", str.startswith)
        # What a partition lacks came later.
        columns = {column["Name"]: column["Type"] for column in storage["Columns"]}
        if not columns or columns.items() - types.items():
            raise Failure(f"{of}: columns {columns}, of the table {types}")
    return table, partitions


def _expect(what, storage, place, holds=str.__eq__):
    if not holds(storage["Location"], place):
        raise Failure(f"{what} is at {storage['Location']}, want {place}")
    found = (storage["InputFormat"], storage["OutputFormat"], storage["SerdeInfo"]["SerializationLibrary"])
    if found != (INPUT_FORMAT, OUTPUT_FORMAT, SERDE):
        raise Failure(f"{what}: classes {found}")
    if not storage["Columns"]:
        raise Failure(f"{what}: no columns")


def _partitions(database, name):
    found, token = [], {}
    while True:
        page = call("GetPartitions", DatabaseName=database, TableName=name, **token)
        found += page["Partitions"]
        if "NextToken" not in page:
            return found
        token = {"NextToken": page["NextToken"]}


def _post(path, body, headers):
    request = urllib.request.Request(os.environ["HUDI_TEST_S3"] + path, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise Failure(f"{headers.get('X-Amz-Target', path)}: {error}: {error.read()[:500]!r}") from error
