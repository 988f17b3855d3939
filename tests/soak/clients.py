"""RPC clients that do not behave."""

import socket
import struct
import subprocess

from member import RPC, Agent
from wire import encode

# Clients that vanish without a packet have these addresses.
GONE = "127.9.0."


class Clients:
    """The part of the soak test that has these clients."""

    def vanish(self) -> None:
        """A client of one of the kinds that do not behave. Those that keep a connection have vanished after 20 s."""
        agent = self.random.choice([agent for agent in self.agents if agent.since is not None])
        kinds = ["many", "silent"]
        # HashiCorp's agent panics when a subscriber vanishes while an event is delivered to it: "send on closed channel".
        if agent.is_ours:
            kinds += ["reset", "unread", "unread-monitor"] + ["gone"] * self.has_nft
        kind = self.random.choice(kinds)
        self.count[f"clients {kind}"] += 1
        try:
            getattr(self, kind.replace("-", "_"))(agent)
        except OSError as error:
            if not agent.is_stopping:
                self.count[f"clients refused: {error}"] += 1

    def client(self, agent: Agent, source: str = "127.8.0.1", command: str = "stream", body: dict | None = None) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(2)
        client.bind((source, 0))
        client.connect((agent.ip, RPC))
        client.sendall(encode({"Command": "handshake", "Seq": 1}) + encode({"Version": 1}))
        if command:
            client.sendall(encode({"Command": command, "Seq": 2}) + encode(body or {"Type": "*"}))
        return client

    def reset_now(self, client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    def reset(self, agent: Agent) -> None:
        self.reset_now(self.client(agent))

    def many(self, agent: Agent) -> None:
        for _ in range(20):
            self.client(agent, command="").close()

    def silent(self, agent: Agent) -> None:
        client = socket.create_connection((agent.ip, RPC), timeout=2)
        self.after(20, client.close)

    def unread(self, agent: Agent) -> None:
        client = self.client(agent)
        self.after(20, lambda: self.reset_now(client))

    def unread_monitor(self, agent: Agent) -> None:
        client = self.client(agent, command="monitor", body={"LogLevel": "DEBUG"})
        self.after(20, lambda: self.reset_now(client))

    def gone(self, agent: Agent) -> None:
        source = f"{GONE}{1 + self.count['clients gone'] % 250}"
        nft = ["nft", "add", "element", "inet", "soak", "gone", f"{{ {source} }}"]
        client = self.client(agent, source, command=self.random.choice(["stream", ""]))
        subprocess.run(nft, check=True)
        client.close()
        self.after(90, lambda: subprocess.run([*nft[:1], "delete", *nft[2:]]))
