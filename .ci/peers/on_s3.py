"""Tables at s3://: `replay` makes them, all readers read them there, Hudi's Java goes on through s3a, then we do, and Java again."""
import places

BUCKET = "interop"
# One of each way to find a row, partitioned and not.
TABLES = ("pg-json-schema.customers.bucket-4", "pg-json.orders.by_region.global-simple", "maria-json.order_items.simple")


def run(suite, entries):
    """With the Java that `suite` has at hand, each table once with a metadata table of Java's."""
    places.make_bucket(BUCKET)
    for entry in entries:
        if entry["name"] in TABLES:
            held = suite.test(f"{entry['name']}::{suite.java.name}::on_s3", lambda: _go_on(suite, entry))
            suite.counts["on S3"] += held


def _go_on(suite, entry):
    table = f"s3://{BUCKET}/{suite.java.version}/{entry['name']}"
    suite.replayed(entry, suite.path("half", entry["name"] + ".jsonl"), table)
    half, states = suite.java.rows(suite.path("half", entry["name"])), {}
    suite.all_read(table, half)
    suite.java_goes_on(entry, table, True, states)
    suite.we_go_on(entry, table, states)
    suite.idle(entry, table)
    # Its metadata table is made anew, although Hadoop's objects for the old one's folders are still there.
    suite.all_read(table, suite.java_changes(entry, table, suite.java.rows(table), metadata=True))
    suite.is_version_6(table, True)
