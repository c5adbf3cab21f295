"""Where tables are: folders, or s3:// at the server that HUDI_TEST_S3 names (s3.sh), which does not look at signatures."""
import os
import urllib.parse
import urllib.request
import xml.etree.ElementTree

SCHEMES = ("s3://", "s3a://")
ANYBODY = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=any"}


def is_remote(table):
    return table.startswith(SCHEMES)


def read(table, path):
    """The text of a file of the table."""
    if is_remote(table):
        return _ask("GET", *_split(table, path)).decode()
    with open(os.path.join(table, path), encoding="utf-8") as f:
        return f.read()


def files(table, folder):
    """The files anywhere below a folder of the table."""
    if not is_remote(table):
        return [os.path.join(parent, name) for parent, _, names in os.walk(os.path.join(table, folder)) for name in names]
    bucket, prefix = _split(table, folder + "/")
    found = xml.etree.ElementTree.fromstring(_ask("GET", bucket, "", f"?list-type=2&prefix={urllib.parse.quote(prefix)}"))
    keys = [key.text for key in found.iter() if key.tag.endswith("}Key") or key.tag == "Key"]
    # Hadoop leaves objects in place of empty folders.
    return [key for key in keys if not key.endswith("/")]


def make_bucket(name):
    _ask("PUT", name, "")


def _split(table, path):
    bucket, _, prefix = table.split("://", 1)[1].partition("/")
    return bucket, f"{prefix}/{path}"


def _ask(method, bucket, key, query=""):
    url = f"{os.environ['HUDI_TEST_S3']}/{bucket}/{urllib.parse.quote(key)}{query}"
    with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=ANYBODY), timeout=60) as answer:
        return answer.read()
