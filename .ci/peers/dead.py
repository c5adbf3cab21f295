"""What a writer that died left behind, and the other cleans up: instants of ours left to Java, and of Java's left to us.

Ours is a `replay` that is killed while it writes files. Java's is a write that fails after its files are there and before it
completes: what it leaves behind then is what a JVM that is killed leaves.
"""
import glob
import os
import shutil
import signal
import subprocess
import time

from compare import Failure

# Tables whose commits are of many files, so that one can be killed among them.
OURS = ("made.many_partitions",)
JAVAS = ("pg-json.order_items.by_line.bucket-2", "pg-json-schema.orders.simple.100rows")
ATTEMPTS = 20
STEP_SECONDS = 0.002

# A check of Java's before it completes, that no table passes.
FAILING = {
    "hoodie.precommit.validators": "org.apache.hudi.client.validator.SqlQuerySingleResultPreCommitValidator",
    "hoodie.precommit.validators.single.value.sql.queries": "select count(*) from <TABLE_NAME>#-1",
}
# How Java says which files it writes; without any, all that is left are the files themselves.
MARKERS = {
    "direct": {"hoodie.write.markers.type": "DIRECT"},
    "timeline_server": {"hoodie.write.markers.type": "TIMELINE_SERVER_BASED", "hoodie.embed.timeline.server": "true"},
    "none": {"hoodie.write.markers.type": "DIRECT"},
}


def run(suite, entries):
    """Both directions, with the Java that `suite` has at hand."""
    for entry in entries:
        if entry["name"] in OURS:
            for metadata in (False, True):
                _test(suite, entry, f"ours_left_to_java_{'with' if metadata else 'without'}_metadata", ours_left_to_java, metadata)
        if entry["name"] in JAVAS:
            for markers in MARKERS:
                _test(suite, entry, f"javas_left_to_us_with_markers_{markers}", javas_left_to_us, markers)


def _test(suite, entry, kind, do, argument):
    held = suite.test(f"{entry['name']}::{suite.java.name}::{kind}", lambda: do(suite, entry, suite.copy(entry, kind), argument))
    suite.counts["dead"] += held


# ---- ours, left to Java --------------------------------------------------------------------------------------------

def ours_left_to_java(suite, entry, table, metadata):
    """Nobody sees what we left; Java's next write removes it; we go on."""
    states = {"before": suite.java.rows(table)}
    instant = killed(suite, entry, table)
    suite.all_read(table, states["before"])
    states["changed"] = suite.java_changes(entry, table, states["before"], metadata=metadata)
    _is_gone(table, instant)
    suite.all_read(table, states["changed"])
    suite.we_go_on(entry, table, states)
    suite.idle(entry, table)


def killed(suite, entry, table):
    """Kills a `replay` when some of its files are there, but not the commit. Returns its instant."""
    spare = table + ".spare"
    for _ in range(ATTEMPTS):
        shutil.rmtree(spare, ignore_errors=True)
        shutil.copytree(table, spare)
        process = subprocess.Popen(suite.programs.command(entry, entry["input"], table), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        instant = _stopped_among_files(process, table)
        process.kill()
        process.wait()
        if instant and pending(table) == [instant] and files_of(table, instant):
            shutil.rmtree(spare)
            return instant
        # It was done before it could be killed.
        shutil.rmtree(table)
        os.rename(spare, table)
    raise Failure(f"in {ATTEMPTS} attempts `replay` was never killed between its first file and its commit")


def _stopped_among_files(process, table):
    """Lets the process run in small steps until a file of a pending instant is there; returns the instant."""
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        instants = pending(table)
        if instants and files_of(table, instants[0]):
            return instants[0]
        process.send_signal(signal.SIGCONT)
        time.sleep(STEP_SECONDS)
    return None


# ---- Java's, left to us --------------------------------------------------------------------------------------------

def javas_left_to_us(suite, entry, table, markers):
    """By default the instant stays, whatever we write; where it may be rolled back it goes, with its files; Java goes on."""
    states = {"before": suite.java.rows(table)}
    try:
        suite.java_changes(entry, table, states["before"], options={**FAILING, **MARKERS[markers]})
    except Failure as e:
        if "alidat" not in str(e):
            raise
    else:
        raise Failure("Java's write did not fail")
    instant = left_behind(table, markers)
    left = {path: os.path.getsize(path) for path in files_of(table, instant)}

    aside = table + ".aside"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(table, aside)
    states["changed"] = states["before"]
    suite.we_go_on(entry, table, states)
    if instant not in pending(table) or {path: os.path.getsize(path) for path in files_of(table, instant)} != left:
        raise Failure(f"the instant {instant} should have been left alone, but it is not as it was")
    suite.idle(entry, table, "--foreign-pending", "roll-back")
    _is_gone(table, instant)
    suite.all_read(table, states["after"])

    # The same in the commit itself.
    suite.we_go_on(entry, aside, states, "--foreign-pending", "roll-back")
    _is_gone(aside, instant)
    changed = suite.java_changes(entry, aside, suite.java.rows(aside))
    suite.all_read(aside, changed)


def left_behind(table, markers):
    """The instant that Java left, with its files and its markers of that kind; takes the markers away for `none`."""
    instants = pending(table)
    if len(instants) != 1 or not files_of(table, instants[0]):
        raise Failure(f"Java left no instant with files: pending {instants}")
    folder = os.path.join(table, ".hoodie", ".temp", instants[0])
    batched = glob.glob(os.path.join(folder, "MARKERS[0-9]*"))
    direct = glob.glob(os.path.join(folder, "**", "*.marker.*"), recursive=True)
    if bool(batched) != (markers == "timeline_server") or bool(direct) == (markers == "timeline_server"):
        raise Failure(f"Java left other markers than it was told: {batched} {direct}")
    if markers == "none":
        shutil.rmtree(folder)
    return instants[0]


# ---- looking -------------------------------------------------------------------------------------------------------

def pending(table):
    """The commits that were begun and not completed."""
    names = set(os.listdir(os.path.join(table, ".hoodie")))
    times = {name.split(".")[0] for name in names}
    return sorted(time for time in times if {f"{time}.commit.requested", f"{time}.inflight"} & names and f"{time}.commit" not in names)


def files_of(table, instant):
    return sorted(glob.glob(os.path.join(glob.escape(table), "**", f"[!.]*_{instant}.parquet"), recursive=True))


def _is_gone(table, instant):
    found = files_of(table, instant) + glob.glob(os.path.join(glob.escape(table), ".hoodie", f"{instant}.*"))
    markers = os.path.join(table, ".hoodie", ".temp", instant)
    found += [markers] if any(files for _, _, files in os.walk(markers)) else []
    if found:
        raise Failure(f"of the instant {instant} there still are: {found[:5]}")
