"""The calls of asyncserf: HOST PORT TOKEN ADDRESS PID, the last two of another agent that may be joined and killed.

Not `tags`, which waits for a body that no agent sends. It leaves the cluster when it disconnects.
"""

import os
import signal
import sys

import anyio
from asyncserf import serf_client

host, port, token, other, other_pid = sys.argv[1:]


def connect(rpc_auth=token):
    return serf_client(host=host, port=int(port), rpc_auth=rpc_auth)


def check(what, seen, expected):
    assert seen == expected, f"{what}: {seen!r}, not {expected!r}"


async def names(client, **filters):
    response = await client.members(**filters)
    return sorted(member[b"Name"].decode() for member in response.body[b"Members"])


async def eventually(client, expected, **filters):
    with anyio.fail_after(60):
        while await names(client, **filters) != expected:
            await anyio.sleep(0.05)


async def answer(client, done):
    async with client.stream("query:who") as stream:
        done.set()
        async for query in stream:
            check("query", (query.name, query.payload), ("who", b"?"))
            await query.respond(b"me")
            return


async def calls(client):
    check("members", await names(client), ["one"])
    check("by name", await names(client, name="on"), [])
    check("by status", await names(client, status="alive"), ["one"])
    check("by tag", await names(client, tags={"role": "w.b"}), ["one"])

    check("join", (await client.join(other)).body[b"Num"], 1)
    await eventually(client, ["one", "two"])

    async with client.stream(["user:deploy", "user:plain"]) as stream:
        events = stream.__aiter__()
        await client.event("deploy", b"v1", coalesce=False)
        event = await events.__anext__()
        check("event", (event.name, event.payload, event.coalesce), ("deploy", b"v1", False))
        await client.event("plain", coalesce=False)
        check("the next", (await events.__anext__()).name, "plain")
    await client.event("deploy", b"after the stop", coalesce=False)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            subscribed = anyio.Event()
            tasks.start_soon(answer, client, subscribed)
            await subscribed.wait()
            async with client.query("who", b"?", nodes=["one"], request_ack=True, timeout=1) as query:
                replies = [(reply.type, reply.__dict__["from"]) async for reply in query]
            check("replies", sorted(replies), [("ack", "one"), ("response", "one")])
    async with client.query("load", tags={"role": "web"}, timeout=0.5) as query:
        check("of a handler", [reply.payload.strip() async for reply in query], [b"0.5"])

    async with client.monitor("debug") as monitor:
        async for line in monitor:
            if "agent: Serf agent starting" in line.log:
                break

    stats = (await client.stats()).body
    check("stats", (stats[b"agent"][b"name"], stats[b"serf"][b"members"]), (b"one", b"2"))
    assert b"Vec" in (await client.get_coordinate("one")).body[b"Coord"]

    os.kill(int(other_pid), signal.SIGKILL)
    await eventually(client, ["two"], status="failed")
    await client.force_leave("two")
    await eventually(client, ["two"], status="left")
    print("all calls done", flush=True)
    os._exit(0)


async def main():
    async with connect() as client:
        await calls(client)


anyio.run(main)
