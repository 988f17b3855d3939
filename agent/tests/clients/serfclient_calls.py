"""Every call of serfclient: HOST PORT TOKEN ADDRESS PID, the last two of another agent that may be joined and killed."""

import os
import signal
import sys
import time

from serfclient.client import SerfClient

host, port, token, other, other_pid = sys.argv[1:]


def connect(rpc_auth=token):
    return SerfClient(host=host, port=int(port), rpc_auth=rpc_auth, timeout=20)


def text(value):
    """Old versions of msgpack give bytes for every text."""
    return value.decode() if isinstance(value, bytes) else value


def field(record, key):
    return record[key] if key in record else record[key.encode()]


def error(response):
    return text(field(response.head, "Error"))


def check(what, seen, expected):
    assert seen == expected, f"{what}: {seen!r}, not {expected!r}"


def names(**filters):
    response = client.members(**filters)
    check("members", error(response), "")
    return sorted(text(field(member, "Name")) for member in field(response.body, "Members"))


def eventually(what, probe):
    deadline = time.monotonic() + 60
    while not probe():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


# A call with a body in its answer would wait for it for ever.
check("no token", error(connect(None).event("deploy")), "Authentication required")
client = connect()

check("members", names(), ["one"])
check("by name", names(name="o.*"), ["one"])
check("by another name", names(name="on"), [])
check("by status", names(status="alive"), ["one"])
check("by tag", names(tags={"role": "web"}), ["one"])
check("by another tag", names(tags={"role": "db"}), [])
check("all three", names(name="one", status="alive", tags={"role": "w.b"}), ["one"])
member = field(client.members().body, "Members")[0]
address = field(member, "Addr")
# It takes apart addresses whose key is bytes, which only old versions of msgpack give.
assert address in (b"127.0.0.1", bytes(10) + b"\xff\xff\x7f\0\0\1", b"\x7f\0\0\1"), address
check("tags", {text(key): text(value) for key, value in field(member, "Tags").items()}, {"role": "web"})

check("join", field(client.join(other).body, "Num"), 1)
check("join of a list", field(client.join([other]).body, "Num"), 1)
eventually("the other is a member", lambda: names() == ["one", "two"])
refused = client.join("127.0.0.1:1")
check("join of nobody", field(refused.body, "Num"), 0)
assert error(refused) != ""

stream = connect().stream(["user:deploy", "user:plain"])
check("stream", error(stream), "")
check("event", error(client.event("deploy", "v1", coalesce=False)), "")
record = next(stream.body)
check("its name", text(field(record.body, "Name")), "deploy")
check("its payload", text(field(record.body, "Payload")), "v1")
check("whether it may be coalesced", field(record.body, "Coalesce"), False)
check("event of nothing", error(client.event("plain", coalesce=False)), "")
check("the next name", text(field(next(stream.body).body, "Name")), "plain")
assert "exceeds" in error(client.event("large", "x" * 1000))

stats = client.stats()
check("stats", error(stats), "")
check("the agent's name", text(field(field(stats.body, "agent"), "name")), "one")
check("the members", text(field(field(stats.body, "serf"), "members")), "2")

os.kill(int(other_pid), signal.SIGKILL)
eventually("the other has failed", lambda: names(status="failed") == ["two"])
check("force_leave", error(client.force_leave("two")), "")
eventually("the other has left", lambda: names(status="left") == ["two"])
client.close()
print("all calls done")
