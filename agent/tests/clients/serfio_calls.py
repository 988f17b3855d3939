"""Every call of serfio: HOST PORT TOKEN ADDRESS PID, the last two of another agent that may be joined and killed."""

import asyncio
import sys

import serfio

host, port, token, other, other_pid = sys.argv[1:]


def connect(auth_key=token):
    return serfio.connect(host, int(port), auth_key)


def check(what, seen, expected):
    assert seen == expected, f"{what}: {seen!r}, not {expected!r}"


def names(members):
    return sorted(member["Name"] for member in members)


async def first(stream, wanted=lambda record: True):
    async for record in stream:
        if wanted(record):
            return record


async def main():
    try:
        await connect("wrong")
        assert False, "a wrong token was accepted"
    except (serfio.serf.SerfError, TypeError):
        pass  # it stumbles over its own message
    stranger = await connect(None)
    try:
        await stranger.event("deploy")
        assert False, "no token was accepted"
    except serfio.serf.SerfError as error:
        check("no token", str(error), "Authentication required")

    serf = await connect()
    check("members", names(await serf.members()), ["one"])
    check("by name", names(await serf.members_filtered(name="o.*")), ["one"])
    check("by status", names(await serf.members_filtered(status="failed")), [])
    check("by tag", names(await serf.members_filtered(tags={"role": "w.b"})), ["one"])
    await serf.tags(tags={"state": "up"})
    check("tags", (await serf.members())[0]["Tags"], {"role": "web", "state": "up"})
    stats = await serf.stats()
    check("stats", (stats["agent"]["name"], stats["serf"]["members"], stats["tags"]["state"]), ("one", "1", "up"))

    listener = await connect()
    told = asyncio.create_task(first(listener.stream("user,query"), lambda record: record["Event"] == "user"))
    # It does not say when it is subscribed.
    while not told.done():
        await serf.event("deploy", b"v1")
        await asyncio.wait([told], timeout=0.2)
    check("event", (told.result()["Name"], told.result()["Payload"]), ("deploy", b"v1"))

    responder = await connect()
    queries = responder.stream("query:who")
    asked = asyncio.create_task(first(queries))
    while not asked.done():
        question = asyncio.create_task((await connect()).query_one("who", b"?", timeout=2_000_000_000))
        await asyncio.wait([asked, question], return_when=asyncio.FIRST_COMPLETED)
    query = asked.result()
    check("query", (query["Name"], query["Payload"]), ("who", b"?"))
    await queries.aclose()
    (header,) = await responder.respond(query["ID"], "me")
    check("respond", header["Error"], "")
    answer = await question
    check("its answer", (answer["From"], answer["Payload"]), ("one", b"me"))

    answers = [record async for record in (await connect()).query("load", timeout=1_000_000_000)]
    check("answers of the handler", [(record["From"], record["Payload"].strip()) for record in answers], [("one", b"0.5")])
    nobody = [record async for record in (await connect()).query("load", filter_nodes=["x"], timeout=300_000_000)]
    check("filtered by name", nobody, [])
    nobody = [record async for record in (await connect()).query("load", filter_tags={"role": "db"}, timeout=300_000_000)]
    check("filtered by tag", nobody, [])

    monitor = await connect()
    line = await first(monitor.monitor("DEBUG"), lambda record: "agent: Serf agent starting" in record["Log"])
    assert line, "the log is told from its beginning"
    print("all calls done")


asyncio.run(main())
