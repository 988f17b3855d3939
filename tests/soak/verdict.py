"""What the soak test concludes from its counts, and its report."""

import collections
import math
from statistics import fmean

import figures
from member import AUTO, OURS, THEIRS

# A reported failure belongs to a stop of the member up to this many seconds before: suspicion of a member of 30 takes 30 s at most.
NEWS = 45
# Memory may grow by this many KiB an hour or over the measured time, whichever is more: of one process, and as the mean of a kind.
GROWTH_PER_HOUR, GROWTH_OF_ONE, GROWTH_OF_KIND = 1024, 512, 256

# Lines of logs about losses.
LOSSES = ["handler queue full", "exceeds limit", "received old event", "Dropping event to ipc.client"]


class Verdict:
    """The part of the soak test that judges and reports."""

    def false_failures(self) -> list:
        """Reported failures of members that were not stopped. Those after a time at which this program was a second late are excused."""
        return [(at, observer, subject) for at, observer, subject in self.failed
                if not self.stops(at, subject) and not self.stalls_between(at - 30, at)]

    def stops(self, at: float, subject: str) -> list:
        return [how for begin, end, how in self.named(subject).downs if begin <= at < (end or at) + NEWS]

    def expected_missing(self) -> float:
        """The share of deliveries that gossip misses.

        Each member sends an event 4 ceil(lg(N + 1)) times to random members (`retransmitLimit` in memberlist's util.go). A member gets
        a number of copies with that mean, less the loss, and misses the event if the number is zero.
        """
        copies = 4 * math.ceil(math.log10(self.options.agents + 1))
        return math.exp(-copies * (1 - self.options.loss))

    def judge_events(self) -> None:
        acknowledged, unanswered = self.count["events acknowledged"], self.count["requests without an answer"]
        if not len(self.sent) - unanswered <= acknowledged <= len(self.sent):
            self.fail(f"of {len(self.sent)} events {acknowledged} were acknowledged, and {unanswered} requests were lost with an agent")
        if self.unjudged["the machine stood still"] > sum(self.judged.values()):
            self.fail("the machine stood still too often: most events are not judged")
        for kind in (OURS, AUTO):
            missing = sum(times for (receiver, _), times in self.missing.items() if receiver == kind)
            if missing > 2 * self.expected_missing() * self.judged[kind] + 20 + self.overflowed[kind]:
                self.fail(f"{missing} of {self.judged[kind]} deliveries are missing at {kind}; twice {self.expected_missing():.2e} is explained")
        for agent in self.agents:
            if agent.is_ours and agent.repeats + sum(agent.repeats_after_restart.values()):
                self.fail(f"{agent.name} delivered events again: {agent.repeats}, and after a {agent.repeats_after_restart}")

    def judge_failures(self) -> None:
        for at, observer, subject in self.false_failures():
            self.fail(f"{observer.name} reported at {at - self.began:.0f} s that {subject} failed, which ran")

    def judge_memory(self) -> dict:
        """The slopes of RssAnon in KiB an hour. The lower end of the interval counts, so that noise fails no run."""
        found = {}
        for kind in (OURS, AUTO, THEIRS):
            lives = [(agent, life) for agent in self.agents if agent.kind == kind for life in agent.slopes]
            if not lives:
                continue
            whole = [life[1] for agent, life in lives if not agent.is_mover]
            found[kind] = {"processes": len(lives), "slope": figures.mean(whole),
                           "steepest": max((life[1:] for _, life in lives), key=lambda life: life[1])}
            for agent, (measured, _, low, _) in lives:
                if agent.is_ours and low > max(GROWTH_PER_HOUR, GROWTH_OF_ONE * 3600 / measured):
                    self.fail(f"{agent.name} grows by at least {low:.0f} KiB an hour")
            bound = max(GROWTH_PER_HOUR, GROWTH_OF_KIND * 3600 / max(life[0] for _, life in lives))
            if kind != THEIRS and found[kind]["slope"] and found[kind]["slope"][1] > bound:
                self.fail(f"{kind}: agents grow by at least {found[kind]['slope'][1]:.0f} KiB an hour")
        return found

    def judge_logs(self) -> None:
        for agent in self.agents:
            for line in agent.log.read_text(errors="replace").splitlines():
                for what in LOSSES:
                    self.count[f"lines '{what}' of {'ours' if agent.is_ours else THEIRS}"] += what in line
                is_bad = "panic" in line or "[ERR]" in line
                self.count[f"lines of errors of {'ours' if agent.is_ours else THEIRS}"] += is_bad
                if is_bad and agent.is_ours:
                    self.fail(f"the log of {agent.name}: {line}")

    def delay(self, kind: str, share: float) -> float:
        """A quantile of the time from sending an event to its delivery."""
        counts = self.delays[kind]
        wanted, sum_of = share * sum(counts), 0
        for slot, count in enumerate(counts):
            sum_of += count
            if sum_of >= wanted:
                return (slot + 1) / 20
        return 0

    def report(self) -> dict:
        self.judge_events()
        self.judge_failures()
        self.judge_logs()
        memory = self.judge_memory()
        stayers = [agent for agent in self.agents if not agent.is_mover]
        explained = collections.Counter(how for at, _, subject in self.failed for how in self.stops(at, subject)[:1])
        kinds = {kind: {
            "agents": sum(agent.kind == kind for agent in self.agents),
            "deliveries judged": self.judged[kind],
            "dropped for this reader": self.overflowed[kind],
            "missing": {f"sent through {sender}": times for (receiver, sender), times in self.missing.items() if receiver == kind},
            "repeats": sum(agent.repeats for agent in self.agents if agent.kind == kind),
            "repeats after a leave": sum(agent.repeats_after_restart["leave"] for agent in self.agents if agent.kind == kind),
            "repeats after a kill": sum(agent.repeats_after_restart["kill"] for agent in self.agents if agent.kind == kind),
            "delay, seconds": {share: self.delay(kind, share) for share in (0.5, 0.99, 0.999)},
            "RssAnon, KiB": self.series(kind),
            "memory": memory.get(kind),
            "descriptors": [max((sample[3] for agent in stayers if agent.kind == kind for sample in agent.settled), default=0),
                            max((agent.descriptors for agent in stayers if agent.kind == kind), default=0)],
            "processor": self.processor.get(kind),
        } for kind in (OURS, AUTO, THEIRS) if any(agent.kind == kind for agent in self.agents)}
        return {
            "seconds": self.options.duration, "loss": self.loss, "events": len(self.sent), "kinds": kinds,
            "deliveries not judged": dict(self.unjudged),
            "expected missing": self.expected_missing(), "counts": dict(sorted(self.count.items())),
            "failures reported after a stop": dict(explained), "false failures": len(self.false_failures()),
            "stalls": [round(late, 1) for _, late in self.stalls], "processor of this program": self.processor["this program"],
            "processes": {agent.name: agent.slopes for agent in self.agents}, "result": "FAIL" if self.failures else "PASS",
            "failures": self.failures,
        }

    def series(self, kind: str) -> list:
        """The mean RssAnon of the agents that ran all the time, after the first third: in twelve parts of the time."""
        samples = [agent.settled for agent in self.agents if agent.kind == kind and agent.settled]
        size = max(1, min(map(len, samples), default=0) // 12)
        return [round(fmean(sample[1] for part in samples for sample in part[slot * size : (slot + 1) * size]))
                for slot in range(12) if all(len(part) > slot * size for part in samples) and samples]


def interval(found: tuple | None) -> str:
    return "too short to say" if found is None else f"{found[0]:+.0f} ({found[1]:+.0f} to {found[2]:+.0f})"


def show(report: dict) -> None:
    counts = report["counts"]
    rows = [("duration", f"{report['seconds']:.0f} s, {report['loss']:.1%} of datagrams lost"),
            ("events sent", f"{report['events']}"),
            ("deliveries not judged", ", ".join(f"{times} since {why}" for why, times in report["deliveries not judged"].items())),
            ("stopped and returned", f"{counts.get('leaves', 0)} by a leave, {counts.get('kills', 0)} by SIGKILL"),
            ("rotations of the key", f"{counts.get('rotations', 0)}, {counts.get('key requests', 0)} requests"),
            ("changes of tags, slow scripts", f"{counts.get('changes of tags', 0)}, {counts.get('slow scripts', 0)}"),
            ("vanished clients", ", ".join(f"{times} {name.removeprefix('clients ')}" for name, times in counts.items()
                                           if name.startswith("clients "))),
            ("failures reported", f"{sum(report['failures reported after a stop'].values())} after a stop, "
                                  f"{report['false failures']} of a member that ran; this program was late {len(report['stalls'])} times"),
            ("share of missing deliveries that loss explains", f"{report['expected missing']:.2e}")]
    for kind, found in report["kinds"].items():
        missing = sum(found["missing"].values())
        delays = ", ".join(f"{share:.1%} {value} s" for share, value in found["delay, seconds"].items())
        memory = found["memory"] or {"slope": None, "steepest": None, "processes": 0}
        rows += [("", ""), (kind, f"{found['agents']} agents, each {found['processor'] or 0:.1%} of a processor"),
                 ("deliveries", f"{found['deliveries judged']}; missing {missing} ({missing / max(1, found['deliveries judged']):.1e}), "
                                f"{found['dropped for this reader']} of them dropped for this reader"),
                 ("delivered again", f"{found['repeats']}; {found['repeats after a leave']} after a leave, "
                                     f"{found['repeats after a kill']} after SIGKILL"),
                 ("delay", delays),
                 ("RssAnon, KiB", " to ".join(str(value) for value in found["RssAnon, KiB"][:: max(1, len(found["RssAnon, KiB"]) - 1)])),
                 ("slope, KiB an hour", f"{interval(memory['slope'])}; steepest of {memory['processes']} {interval(memory['steepest'])}"),
                 ("descriptors", f"{found['descriptors'][0]} at most, {found['descriptors'][1]} before")]
    for name, value in rows:
        print(f"{name:<48}{value}")
    for failure in report["failures"]:
        print(f"FAILURE at {failure}")
    print(report["result"])
