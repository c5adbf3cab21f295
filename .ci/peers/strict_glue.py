"""moto's Glue, as strict as the service is documented to be. `make_strict()` changes moto's classes; s3_server.py calls it.

What moto leaves out and this adds:
  * fields that the service answers with although nobody gave them (Presto fails without them)
  * a table's first version is "0"; an update of another version is refused; SkipArchive keeps no old version
  * limits: entries of a call, lengths of names, types, comments, values and expressions; the number of a partition's values
  * names of databases and tables are in lower case, columns of one name are refused, partition keys with partitions stay
  * pages and segments of partitions, and partitions without columns
"""
import threading
import zlib

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.glue.models import FakePartition, FakeTable
from moto.glue.responses import GlueResponse

ACCOUNT = "123456789012"
OF_STORAGE = {"Compressed": False, "NumberOfBuckets": 0, "SortColumns": [], "StoredAsSubDirectories": False}
OF_TABLES = {"Retention": 0, "Parameters": {}, "PartitionKeys": [], "IsRegisteredWithLakeFormation": False}
OF_PARTITIONS = {"Parameters": {}, "CatalogId": ACCOUNT}
# What holds the entries of a call, and how many it takes.
ENTRIES = {"BatchCreatePartition": ("PartitionInputList", 100), "BatchUpdatePartition": ("Entries", 100),
           "BatchDeletePartition": ("PartitionsToDelete", 25), "BatchGetPartition": ("PartitionsToGet", 1000)}
SEGMENTS = 10
PAGE = 1000
# Where the name of a database or table stands.
NAMES = {"CreateDatabase": ["DatabaseInput"], "CreateTable": ["TableInput"], "UpdateTable": ["TableInput"]}
METHODS = ("create_database get_database delete_database create_table get_table get_tables delete_table update_table get_table_versions "
           "get_table_version get_partitions get_partition create_partition delete_partition update_partition batch_create_partition "
           "batch_update_partition batch_delete_partition batch_get_partition").split()
# One call at a time: moto's tables know no locks.
LOCK = threading.RLock()


def make_strict():
    FakeTable.__init__ = _first_version_is_0(FakeTable.__init__)
    FakeTable.as_dict = _filled(FakeTable.as_dict, OF_TABLES)
    FakePartition.as_dict = _filled(FakePartition.as_dict, OF_PARTITIONS)
    GlueResponse.parameters = property(_parameters)
    for name in METHODS:
        setattr(GlueResponse, name, _guarded(_operation(name), getattr(GlueResponse, name)))


def _operation(method):
    return "".join(word.capitalize() for word in method.split("_"))


def _first_version_is_0(init):
    def of(table, *arguments, **more):
        init(table, *arguments, **more)
        table._current_version = 0
        table.versions = {"0": table.versions.pop("1")}
    return of


def _filled(as_dict, missing):
    def of(held, *arguments):
        told = {**missing, **as_dict(held, *arguments)}
        if told.get("StorageDescriptor") is not None:
            told["StorageDescriptor"] = {**OF_STORAGE, **told["StorageDescriptor"]}
        return told
    return of


_loose = GlueResponse.parameters.fget


def _parameters(response):
    """The call's parameters, names in lower case."""
    found = _loose(response)
    operation = _operation_of(response)
    for holder in (found, *(found[name] for name in NAMES.get(operation, []))):
        for name in ("DatabaseName", "TableName", "Name"):
            if isinstance(holder.get(name), str):
                holder[name] = holder[name].lower()
    return found


def _operation_of(response):
    return response.headers.get("X-Amz-Target", "").rpartition(".")[2]


def _guarded(operation, method):
    def call(response):
        with LOCK:
            asked = response.parameters
            _verify(operation, asked, response.glue_backend)
            if operation == "UpdateTable":
                return _updated(response, asked, method)
            answer = method(response)
            if operation == "GetPartitions":
                return ActionResult(_page(answer.result["Partitions"], asked))
            return answer
    return call


def _updated(response, asked, method):
    table = response.glue_backend.get_table(asked["DatabaseName"], asked["TableInput"]["Name"])
    before = str(table._current_version)
    answer = method(response)
    if asked.get("SkipArchive"):
        table.versions.pop(before)
    return answer


def _page(partitions, asked):
    partitions = sorted(partitions, key=lambda partition: partition["Values"])
    if segment := asked.get("Segment"):
        of = lambda partition: zlib.crc32("\0".join(partition["Values"]).encode()) % segment["TotalSegments"]
        partitions = [partition for partition in partitions if of(partition) == segment["SegmentNumber"]]
    begin, size = int(asked.get("NextToken") or 0), int(asked.get("MaxResults") or PAGE)
    page = partitions[begin:begin + size]
    if asked.get("ExcludeColumnSchema"):
        page = [{**partition, "StorageDescriptor": {**partition["StorageDescriptor"], "Columns": []}} for partition in page]
    more = {"NextToken": str(begin + size)} if begin + size < len(partitions) else {}
    return {"Partitions": page, **more}


# ---- what is refused -------------------------------------------------------------------------------------------------

def _refuse(message, code="InvalidInputException"):
    raise JsonRESTError(code, message)


def _limit(what, found, most, least=1):
    if not least <= found <= most:
        _refuse(f"1 validation error detected: {what} of {found}, want {least} to {most}", "ValidationException")


def _verify(operation, asked, backend):
    if operation in ENTRIES:
        name, most = ENTRIES[operation]
        _limit(name, len(asked.get(name) or []), most)
    if operation in ("CreateTable", "UpdateTable"):
        _verify_table(asked["TableInput"])
    if operation == "UpdateTable":
        _verify_update(asked, backend)
    if operation == "GetPartitions":
        _verify_page(asked)
    written = [*asked.get("PartitionInputList", []), *(entry["PartitionInput"] for entry in asked.get("Entries", [])),
               *filter(None, [asked.get("PartitionInput")])]
    if written:
        keys = backend.get_table(asked["DatabaseName"], asked["TableName"]).as_dict()["PartitionKeys"]
        for partition in written:
            _verify_partition(partition, keys)


def _verify_table(table):
    _verify_name(table.get("Name") or "")
    _limit("Description", len(table.get("Description") or ""), 2048, 0)
    _limit("Owner", len(table.get("Owner") or ""), 255, 0)
    for key, value in (table.get("Parameters") or {}).items():
        _limit("a parameter's name", len(key), 255)
        _limit(f"parameter {key}", len(value or ""), 512_000, 0)
    _verify_storage(table.get("StorageDescriptor") or {}, table.get("PartitionKeys") or [])


def _verify_storage(storage, keys):
    _limit("Location", len(storage.get("Location") or ""), 2056, 0)
    for name in ("InputFormat", "OutputFormat"):
        _limit(name, len(storage.get(name) or ""), 128, 0)
    seen = set()
    for column in [*(storage.get("Columns") or []), *keys]:
        _verify_name(column["Name"])
        _limit(f"the type of {column['Name']}", len(column.get("Type") or ""), 131_072, 0)
        _limit(f"the comment of {column['Name']}", len(column.get("Comment") or ""), 255, 0)
        if column["Name"].lower() in seen:
            _refuse(f"Duplicate column name: {column['Name']}")
        seen.add(column["Name"].lower())


def _verify_name(name):
    _limit("a name", len(name), 255)
    if "\n" in name or "\r" in name:
        _refuse(f"a name of several lines: {name!r}", "ValidationException")


def _verify_update(asked, backend):
    table = backend.get_table(asked["DatabaseName"], asked["TableInput"]["Name"])
    if asked.get("VersionId") not in (None, str(table._current_version)):
        _refuse("Update table failed due to concurrent modifications.", "ConcurrentModificationException")
    keys = lambda told: [(key["Name"], key.get("Type")) for key in told.get("PartitionKeys") or []]
    if table.partitions and keys(asked["TableInput"]) != keys(table.as_dict()):
        _refuse("Partition keys can not be changed.")


def _verify_page(asked):
    _limit("Expression", len(asked.get("Expression") or ""), 2048, 0)
    _limit("MaxResults", int(asked.get("MaxResults") or PAGE), PAGE)
    if segment := asked.get("Segment"):
        _limit("TotalSegments", segment["TotalSegments"], SEGMENTS)
        _limit("SegmentNumber", segment["SegmentNumber"], segment["TotalSegments"] - 1, 0)


def _verify_partition(partition, keys):
    if len(partition.get("Values") or []) != len(keys):
        _refuse("The number of partition keys do not match the number of partition values")
    for value in partition["Values"]:
        _limit("a partition value", len(value), 1024)
    _verify_storage(partition.get("StorageDescriptor") or {}, [])
