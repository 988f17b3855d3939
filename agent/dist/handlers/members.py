#!/usr/bin/env python3
"""Appends every change of the cluster to a file, one JSON object a line, for a log collector.

    serf agent -event-handler='*=./members.py'

JOURNAL names the file (default /var/lib/serf/events.jsonl).
"""

import json
import os
import sys
import time


def unescape(text: str) -> str:
    """Tabs and newlines in names and tags come as two characters."""
    return text.replace("\\t", "\t").replace("\\n", "\n")


def member(line: str) -> dict:
    name, address, role, tags = line.split("\t", 3)
    pairs = (tag.partition("=") for tag in tags.split(",") if tag)
    return {
        "name": unescape(name),
        "address": address,
        "role": unescape(role),
        "tags": {unescape(key): unescape(value) for key, _, value in pairs},
    }


def main() -> None:
    event = os.environ["SERF_EVENT"]
    record = {"time": time.time(), "event": event, "seen_by": os.environ.get("SERF_SELF_NAME", "")}
    payload = sys.stdin.buffer.read().decode("utf-8", "replace")
    if event.startswith("member-"):
        record["members"] = [member(line) for line in payload.split("\n") if line]
    else:
        kind = "USER" if event == "user" else "QUERY"
        record["name"] = os.environ["SERF_USER_EVENT" if kind == "USER" else "SERF_QUERY_NAME"]
        record["ltime"] = int(os.environ[f"SERF_{kind}_LTIME"])
        record["payload"] = payload.removesuffix("\n")
    with open(os.environ.get("JOURNAL", "/var/lib/serf/events.jsonl"), "a", encoding="utf-8") as journal:
        journal.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
