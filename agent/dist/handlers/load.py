#!/usr/bin/env python3
"""Answers the query "load" with the load of this host, as JSON.

    serf agent -event-handler='query:load=./load.py'
    serf query load            # all members
    serf query load disk       # with a payload: free space, too

What is printed is the answer, at most about 1000 bytes. With another exit code than 0 none is sent.
"""

import json
import os
import shutil
import sys


def main() -> None:
    wanted = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    answer = {"node": os.environ.get("SERF_SELF_NAME", ""), "load": [round(x, 2) for x in os.getloadavg()]}
    if wanted == "disk":
        usage = shutil.disk_usage("/")
        answer["disk_free_percent"] = round(100 * usage.free / usage.total, 1)
    elif wanted:
        sys.exit(f"unknown question: {wanted!r}")
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
