"""What a disk may hold after a power failure: what was synced, and any part of the rest in any order.

A sync of a file makes its contents permanent, a sync of the directory the names in it. Nothing else does: some file systems keep
more, none promises to.
"""

import os
import pathlib
import random

# The unsynced changes of the contents, of the names, or of both are lost; or each change with a chance of one half.
LOSSES = ("contents", "names", "all", "half")


class File:
    def __init__(self, contents: bytes) -> None:
        self.synced = contents
        self.pending: list[tuple[str, int, bytes]] = []

    def sync(self) -> None:
        self.synced, self.pending = contents(self.synced, self.pending), []


class Disk:
    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.files: dict[int, File] = {}
        # By name the inode: as the process sees it, and as it was synced.
        self.names: dict[str, int] = {}
        for path in directory.iterdir():
            inode = path.stat().st_ino
            self.files[inode] = File(path.read_bytes())
            self.names[path.name] = inode
        self.synced = dict(self.names)
        self.pending: list[dict[str, int | None]] = []

    def replay(self, journal: bytes) -> None:
        """Follows the journal that shim.c wrote."""
        while journal:
            line, _, journal = journal.partition(b"\n")
            what, inode, number, length, path = line.decode().split(" ", 4)
            data, journal = journal[: int(length)], journal[int(length) :]
            self.step(what, int(inode), int(number), data, path)

    def step(self, what: str, inode: int, number: int, data: bytes, path: str) -> None:
        name = os.path.basename(path)
        if what == "create":
            # An inode may be that of a file that is gone.
            self.files[inode] = File(b"")
            self.rename({name: inode})
        elif what in ("write", "truncate"):
            self.files[inode].pending.append((what, number, data))
        elif what == "rename":
            source = os.path.basename(data.decode())
            self.rename({source: None, name: self.names[source]})
        elif what == "unlink":
            self.rename({name: None})
        elif what == "sync" and inode in self.files:
            self.files[inode].sync()
        elif what == "sync":
            assert os.path.samefile(path, self.directory), path
            self.synced, self.pending = dict(self.names), []
        else:
            raise ValueError(what)

    def rename(self, change: dict[str, int | None]) -> None:
        self.pending.append(change)
        self.names = renamed(self.names, [change])

    def lose(self, what: str, dice: random.Random) -> None:
        """Writes what is left to the directory. `what` is one of LOSSES."""
        def kept(pending: list, is_lost: bool) -> list:
            if what == "half":
                return [change for change in pending if dice.random() < 0.5]
            return [] if is_lost else pending

        names = renamed(self.synced, kept(self.pending, what in ("names", "all")))
        for path in self.directory.iterdir():
            path.unlink()
        for name, inode in names.items():
            file = self.files[inode]
            path = self.directory / name
            path.write_bytes(contents(file.synced, kept(file.pending, what in ("contents", "all"))))
            path.chmod(0o600)


def renamed(names: dict[str, int], changes: list[dict[str, int | None]]) -> dict[str, int]:
    names = dict(names)
    for change in changes:
        for name, inode in change.items():
            if inode is None:
                names.pop(name, None)
            else:
                names[name] = inode
    return names


def contents(synced: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    held = bytearray(synced)
    for what, number, data in changes:
        # A gap has zeros.
        held.extend(bytes(max(0, number - len(held))))
        if what == "truncate":
            del held[number:]
        else:
            held[number : number + len(data)] = data
    return bytes(held)
