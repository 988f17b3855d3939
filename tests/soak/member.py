"""One member of the soak test's cluster."""

import pathlib
import subprocess

from wire import Connection

OURS, AUTO, THEIRS = "ours", "ours, auto", "HashiCorp's"
GOSSIP, RPC, METRICS = 7946, 7373, 9973


class Agent:
    """One member, over all of its processes."""

    def __init__(self, number: int, kind: str, directory: pathlib.Path) -> None:
        self.number = number
        self.kind = kind
        self.name = f"{'debian' if kind == THEIRS else 'auto' if kind == AUTO else 'ours'}-{number}"
        self.ip = f"127.1.0.{number}"
        self.dir = directory / self.name
        self.log = self.dir / "log"
        self.is_ours = kind != THEIRS
        self.is_mover = False
        self.is_slow = False
        self.process: subprocess.Popen | None = None
        self.connection: Connection | None = None
        # Since when the stream of this process runs; None while the agent is down.
        self.since: float | None = None
        self.life = 0
        self.is_stopping = ""
        # Times at which the agent was stopped, was up again, and how.
        self.downs: list = []
        # How often each event was delivered, by this process and by earlier ones.
        self.delivered = bytearray()
        self.before = bytearray()
        self.repeats = 0
        self.repeats_after_restart = {"leave": 0, "kill": 0}
        # Of the stream of this process.
        self.events = 0
        self.slow_events = 0
        # Of this process: time, RssAnon and RSS in KiB, descriptors, threads.
        self.samples: list = []
        # Of an agent that is never stopped, without the first third.
        self.settled: list = []
        self.slopes: list = []
        self.descriptors: int | None = None
        self.tag = ""
