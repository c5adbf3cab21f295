"""Captures of messages, cut short: what a replay can go on from."""
import gzip
import json

import canonical


def lines(capture):
    with open(capture, "rb") as f:
        zipped = f.read(2) == b"\x1f\x8b"
    with (gzip.open if zipped else open)(capture, "rt", encoding="utf-8") as f:
        return [text.rstrip("\n") for text in f if text.strip()]


def head(capture, count, out):
    """Writes the first messages."""
    canonical.write(out, lines(capture)[:count])


def part(capture, topic, out, share=0.5):
    """Writes the first share of each of a topic's partitions."""
    parts = {}
    for text in lines(capture):
        record = json.loads(text)
        if topic == record["topic"]:
            parts.setdefault(record["partition"], []).append(text)
    canonical.write(out, [text for of in parts.values() for text in of[:round(len(of) * share + 0.25)]])
