#!/usr/bin/env python3
"""Writes docs/benchmarks.md and its plots from what ipcq-bench measured: document.py RESULTS.json DOCS. Needs matplotlib.
Every figure in the document comes from the results; the text says what was done, not what came out."""

import argparse
import pathlib

import plot
from results import Results, size_text

INTRO = """# Benchmarks

How fast ipcq carries messages between processes of one machine, beside what the machine itself can do{and_peers}.
Written by a program from one run of

    {command}

on this machine; run it on yours, for figures differ more between machines than between systems.

| | |
|---|---|
| processor | {cpu}; {cpus} online |
| kernel | {kernel} |
| compiler | {compiler} |
| date | {date} |
| clock | {clock} |
| runs | {repeats} of {seconds:g} s for each row, rows in turn |

## What is measured, and how

- Each run starts processes of their own, pinned to two processors: those that send on one, those that receive on the other.
- The sender writes every byte of every message, the receiver reads every byte and checks it and the order. Nothing may be lost,
  repeated or torn. So a row is never fast because nobody touches the payload.
- Before and after each run the two processors answer each other over a bare cache line. That tells how far apart they are: **near**
  (one core complex, or one chip with a mesh) or **far** (another complex or socket). Near and far are never mixed; a run in
  which it changed, or in which something else took the processor, is dropped and repeated.
- All rows take turns, round after round, so that what else the machine does meets all of them. Tables show medians of the runs,
  with the least and the greatest in brackets.
- The limits are measured in the same run and with the same checks: a ping-pong over two cache lines, one over futexes, and a
  bare ring that moves the same bytes as ipcq (each message with a 16-byte header) and does nothing else: no names, no leases, no
  recovery.
- *Exclusive*: one producer and one consumer, promised when the queue is made. *Shared* (the default): any number of both. A *batch* is
  what one claim sends; *one by one* is a batch of one. Consumers take up to 256 messages a lease unless a row says otherwise.
- Latency histograms and time stamps are on, as by default, unless a row says otherwise.

[tests/bench/README.md](../tests/bench/README.md) has the rest; what more processors would change, [scaling](scaling.md).
"""

PEERS_TEXT = """The same loops, checks and placement probes. Each system is used as its documentation shows first, with its own
blocking call (*sleeping*), and, where it can be asked without blocking, so too (*spinning*). One message a call, but for those
that carry plain bytes, where a row with 64 messages in one call is added. Threads of a library share
their process's processor.
"""


def number(value):
    """Three digits that count."""
    if value >= 99.95:
        return f"{value:,.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    if value >= 0.9995:
        return f"{value:.2f}"
    return f"{value:.3g}"


def batch_text(batch):
    return "one by one" if batch == 1 else f"batches of {batch}"


def spread(row, scale=1):
    return f"{number(row.median / scale)} ({number(row.min / scale)} – {number(row.max / scale)})"


def table(titles, rows):
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" + "---:|" * (len(titles) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


class Document:
    def __init__(self, results, placement, plots):
        self.results, self.placement, self.plots = results, placement, plots
        self.all = results.rows(placement)
        self.suffix = "" if placement == results.main_placement() else f"-{placement}"

    def named(self, *names):
        by_name = {row.name: row for row in self.all}
        return [by_name[name] for name in names if name in by_name]

    def beginning(self, prefix):
        return [row for row in self.all if row.name.startswith(prefix)]

    def plot(self, name, text):
        name = f"{name}{self.suffix}.svg"
        return f"![{text}](benchmarks/{name})\n" if (self.plots / name).exists() else ""

    def demands(self):
        rows = []
        for bar in self.results.json["bars"]:
            verdict = bar.get(self.placement, bar.get("anywhere"))
            unit = " " + bar["unit"].replace("us", "µs") if "unit" in bar else ""
            if verdict is None:
                rows.append([bar["what"], "", "not seen", ""])
                continue
            bound = ("≤ " if bar["at_most"] else "≥ ") + f"{verdict['bound']:g}{unit}" if "bound" in verdict else "none here"
            word = ("met" if verdict["met"] else "**missed**") if "met" in verdict else ""
            rows.append([bar["what"], bound, number(verdict["figure"]) + unit, word])
        why = self.why_missed()
        return ("What the project demands of itself. The absolute figures were set on another processor (a 2.6 GHz Zen 5, where a cache line "
                "goes there and back in 120 ns); the ratios hold anywhere.\n\n" +
                table(["", "demanded", "measured", ""], rows) + ("\n### What stands in the way\n\n" + why if why else ""))

    def why_missed(self):
        """Of what is missed, what the same run says about the reason."""
        def median(name):
            found = self.named(name)
            return found[0].median if found else None
        parts = []
        trips = []
        for mode in ("exclusive", "shared"):
            raw, trip = median("raw/rtt-64B"), median(f"ipcq/rtt-64B-spin-{mode}")
            claim, lease = (median(f"ipcq/alone-{what}-64B-{mode}") for what in ("claim-commit", "lease-ack"))
            if None not in (raw, trip, claim, lease):
                trips.append([mode, number(raw), number(claim), number(lease), number(raw + 2 * (claim + lease)), number(trip)])
        if trips:
            parts.append("**A round trip** is two bare trips of the lines and, on each side, a lease and a claim, one after the other: while a "
                         "message is leased, acked and answered nothing travels. What those take a processor that has all lines in its own "
                         "cache is measured with nobody else there (*alone*); instructions and system calls are counted in "
                         "[budgets](budgets.md). ns:\n\n" +
                         table(["", "bare trip", "claim to commit, alone", "lease to ack, alone", "bare + twice both", "measured"], trips))
        futex, timed = median("raw/rtt-futex"), median("raw/rtt-futex-timed")
        sleeping = [[mode, number(futex), number(timed), number(median(f"ipcq/rtt-64B-sleep-{mode}"))]
                    for mode in ("exclusive", "shared") if None not in (futex, timed, median(f"ipcq/rtt-64B-sleep-{mode}"))]
        if sleeping:
            parts.append("**Asleep**, a consumer wakes every 50 ms to look whether somebody has died. So each of its sleeps has a limit, for "
                         "which the kernel sets a timer and takes it back. A round trip over bare futexes, with and without that, ns:\n\n" +
                         table(["", "bare futexes", "with a limit", "measured"], sleeping))
        bare, calls, idle = (median(name) for name in ("raw/idle", "raw/idle-look", "ipcq/idle-adaptive"))
        if None not in (bare, calls, idle):
            parts.append("**Idle**, a consumer wakes every 50 ms likewise. It finds cold caches then, and a kernel that has to set a timer and "
                         "change processes twice. The cpu time of a process that only sleeps so, of one that also makes the system calls of a "
                         "look for the dead (futex, two fstat, one fcntl), and of the consumer, % of a cpu:\n\n" +
                         table(["only sleeps", "sleeps and makes the calls of a look", "measured"],
                               [[f"{bare:.3f}", f"{calls:.3f}", f"{idle:.3f}"]]))
        limits = []
        for bar in self.results.json["bars"]:
            verdict = bar.get(self.placement, bar.get("anywhere"))
            if not verdict or verdict.get("met", True) or bar["at_most"] or bar.get("unit") != "M/s":
                continue
            row = self.named(bar["row"])[0]
            batch = row.facts.get("batch", 1)
            bare = median(f"raw/one-by-one-{row.payload_bytes}B-8M" if batch == 1 else f"raw/stream-{row.payload_bytes}B-b64-8M")
            if bare:
                promise = median(f"raw/promise-{row.payload_bytes}B-8M") if batch == 1 else None
                alone = median(f"ipcq/alone-claim-commit-64B-{row.facts.get('mode', '')}") if batch == 1 else None
                limits.append([bar["what"], f"{verdict['bound']:g}", number(bare / 1e6), number(promise / 1e6) if promise else "",
                               number(1e3 / alone) if alone else "", number(verdict["figure"])])
        if limits:
            parts.append("**Rates** that were demanded in figures: what the bare ring, which does nothing but move the bytes, reaches on "
                         "this machine; one by one, what it reaches with a stamp and an exchange a message, which no queue that stamps its "
                         "messages and never loses a sleeper's wake goes without, behind a receiver that pauses as ipcq's does; and what "
                         "claim to commit alone would allow. Million a second:\n\n" +
                         table(["", "demanded", "bare ring here", "with stamp and exchange", "claim to commit, alone", "measured"], limits))
        rewritten = [[str(count), number(median(f"ipcq/groups-{count}") / median("ipcq/groups-1")),
                      number(median(f"raw/rewrite-read-{count}") / median("raw/rewrite-read-1"))]
                     for count in (2, 4, 8) if None not in (median(f"ipcq/groups-{count}"), median("ipcq/groups-1"),
                                                            median(f"raw/rewrite-read-{count}"), median("raw/rewrite-read-1"))]
        if any(row[0].startswith("a producer's rate with") for row in self.missed_ratios()) and rewritten:
            parts.append("**Groups**: the producer's part is the same for any number, but it writes to lines that another processor has read once for "
                         "each. Its rate beside that with one group; and the rate of a process that writes to plain memory which another has "
                         "read so many times since, beside that with one read:\n\n" +
                         table(["groups, or reads", "producer", "plain memory"], rewritten))
        ratios = self.missed_ratios()
        if ratios:
            parts.append("**Ratios**: the runs of the two rows, one after the other, each pair by itself. Where their spread has the bound in it, the "
                         "machine's own changes are as large as what is missed:\n\n" +
                         table(["", "demanded", "median", "pairs, least to greatest"], ratios))
        if parts:
            parts.append("What each idea of the data path buys, and what was measured and not done, is in [ideas](ideas.md).\n")
        return "\n".join(parts)

    def missed_ratios(self):
        ratios = []
        for bar in self.results.json["bars"]:
            verdict = bar.get(self.placement, bar.get("anywhere"))
            rows = self.named(bar["row"], bar.get("over", ""))
            if not verdict or verdict.get("met", True) or len(rows) < 2 or "spinning" in bar["what"]:
                continue
            figure = "mean_ns" if "mean" in bar["what"] else "value"
            pairs = sorted(one[figure] / other[figure] for one, other in zip(rows[0].runs, rows[1].runs))
            ratios.append([bar["what"], ("≤ " if bar["at_most"] else "≥ ") + f"{verdict['bound']:g}", number(verdict["figure"]),
                           f"{number(pairs[0])} – {number(pairs[-1])}"])
        return ratios

    def throughput(self):
        shared = [row for row in self.beginning("ipcq/stream-")
                  if row.is_of(mode="shared", options="", ring_bytes=8 << 20, lease=256)]
        batches = sorted({row.facts["batch"] for row in shared})
        grid = []
        for size in sorted({row.payload_bytes for row in shared}):
            of_batch = {row.facts["batch"]: row for row in shared if row.payload_bytes == size}
            grid.append([size_text(size)] + [spread(of_batch[b], 1e6) if b in of_batch else "" for b in batches])
        rows = []
        for row in self.all:
            if row.measure != "throughput" or row.payload_bytes == 0 or row.name.startswith("peer/"):
                continue
            if row.facts.get("ring_bytes") == 8 << 20 and row.is_of(mode="exclusive", options="", lease=256):
                rows.append([f"{size_text(row.payload_bytes)}, {batch_text(row.facts['batch'])}", spread(row, 1e6),
                             number(row.gigabytes_per_s), number(row.of_limit) if row.of_limit else ""])
        parts = [self.plot("throughput", "Throughput by batch and message size"),
                 "Shared, million messages a second, by message size and messages a claim; ring of 8 MiB:\n",
                 table(["message"] + [str(batch) for batch in batches], grid),
                 "Exclusive, and what part of the bare ring's rate (in batches of 64) it is:\n",
                 table(["", "million messages a second", "GB/s", "of the limit"], rows)]
        limits = [row for row in self.all if row.name.startswith("raw/") and row.measure == "throughput"]
        parts += ["The limits themselves:\n", table(["", "million a second", "GB/s"], [
            [row.what, spread(row, 1e6), number(row.gigabytes_per_s)] for row in limits])]
        return "\n".join(parts)

    def times(self, rows, last):
        titles = ["ns", "median", "p99", "p99.9", "of the limit" if last == "of_limit" else "sleeps a message"]
        lines = []
        for row in rows:
            if last == "of_limit":
                cell = number(row.of_limit) if row.of_limit else ""
            else:
                cell = number(self.results.median(row, "sleeps_per_message"))
            lines.append([row.what, spread(row), number(row.p99_ns), number(row.p999_ns), cell])
        return table(titles, lines)

    def latency(self):
        rows = [row for row in self.all if row.measure == "round_trip" and
                row.name.startswith(("raw/rtt-", "ipcq/rtt-"))]
        return self.plot("latency", "Percentiles of round trips") + "\n" + self.times(rows, "of_limit")

    def paced(self):
        rows = [row for row in self.all if row.measure == "one_way" and row.name.startswith("ipcq/")]
        return (self.plot("paced", "Percentiles of the time on the way") +
                "\nFrom when a message was due until it had been read. A sender that was held up makes its messages late, not rare.\n\n" +
                self.times(rows, "sleeps"))

    def rings(self):
        rows = [row for row in self.all if row.measure == "throughput" and row.payload_bytes == 64 and
                row.is_of(batch=64) and "ring_bytes" in row.facts and row.facts.get("options", "") == ""
                and row.facts.get("lease", 256) == 256]
        kinds = {"exclusive": {}, "shared": {}, "a bare ring": {}}
        for row in rows:
            kind = row.facts.get("mode", "a bare ring")
            if kind in kinds:
                kinds[kind][row.facts["ring_bytes"]] = row
        sizes = sorted(kinds["a bare ring"])
        text = ("A ring that fits the processor's cache is read from the cache that it was written to; a larger one goes through "
                "memory, both ways. So a larger ring is not a faster one. It is for a larger backlog: choose the rate times the "
                "longest pause of a consumer, and no more.")
        shared = kinds["shared"]
        if 8 << 20 in shared and 64 << 20 in shared:
            text += (f" Here, shared: {number(shared[8 << 20].median / 1e6)} million a second with 8 MiB, "
                     f"{number(shared[64 << 20].median / 1e6)} million with 64 MiB.")
        return (self.plot("ring-size", "Throughput by ring size") + "\n" + text +
                "\n\n64 bytes in batches of 64, million messages a second:\n\n" +
                table(["ring"] + list(kinds), [[size_text(size)] + [
                    spread(rows_of[size], 1e6) if size in rows_of else "" for rows_of in kinds.values()] for size in sizes]))

    def crowds(self):
        rows = self.beginning("ipcq/crowd-")
        drains = self.beginning("ipcq/drain-")
        return (self.plot("crowd", "Throughput of many") + "\nAll producers on one processor, all consumers on the other, all of one "
                "shared group, all sleeping when there is nothing to do; every message is counted and checked at both ends.\n\n" +
                table(["producers x consumers", "messages a claim", "million messages a second"], [
                    [f"{row.facts['producers']} x {row.facts['consumers']}", str(row.facts["batch"]), spread(row, 1e6)]
                    for row in rows]) + "\nA full ring of 64-byte messages, drained:\n\n" +
                table(["by, each on its processor", "messages a lease, at most", "million messages a second"], [
                    [str(row.facts["drained_by"]), str(row.facts["lease"]), spread(row)] for row in drains]))

    def costs(self):
        groups = self.beginning("ipcq/groups-")
        attached = self.beginning("ipcq/attached-")
        others = [row for row in self.all if row.measure == "told" and row.anywhere]
        return (self.plot("groups-attached", "What groups and attached processes cost") +
                "\nThe producer's rate into a ring that all groups have emptied, and the round trip between two of many "
                "that are attached:\n\n" +
                table(["groups", "million messages a second"], [[str(row.facts["groups"]), spread(row)] for row in groups]) +
                "\n" + table(["attached to each queue", "median round trip, ns"],
                             [[str(row.facts["bystanders"] + 2), spread(row)] for row in attached]) +
                "\nAnd what it costs to be there:\n\n" +
                table(["", "", ""], [[row.what, spread(row), row.unit.replace("us", "µs")] for row in others]))

    def peers(self):
        trips = [row for row in self.beginning("peer/") if row.measure == "round_trip"]
        if not trips:
            return None
        own = self.named("ipcq/rtt-64B-spin-exclusive", "ipcq/rtt-64B-spin-shared", "ipcq/rtt-64B-sleep-exclusive",
                         "ipcq/rtt-64B-sleep-shared")
        parts = [self.plot("peers", "Other systems"), PEERS_TEXT, "Round trip of 64 bytes:\n", self.times(
            sorted(own + trips, key=lambda row: (row.facts["wait"] != "spin", row.median)), "of_limit")]
        streams = {}
        for row in self.all:
            if row.measure != "throughput":
                continue
            if row.name == "ipcq/crowd-1x1-64B-b1":
                label = "**ipcq**, shared, sleeping, one by one"
            elif row.name.startswith("peer/"):
                label = row.facts["system"] + (f", {row.facts['batch']} in one call" if row.facts["batch"] > 1 else "")
            elif row.is_of(system="ipcq", mode="shared", options="", lease=256, ring_bytes=8 << 20, wait="spin") and \
                    row.facts["batch"] in (1, 64):
                label = "**ipcq**, shared, spinning, " + batch_text(row.facts["batch"])
            else:
                continue
            streams.setdefault(label, {})[row.payload_bytes] = row
        sizes = [8, 64, 1024, 65536]
        rows = sorted(streams.items(), key=lambda item: -max((r.median for s, r in item[1].items() if s == 64), default=0))
        parts += ["One way, million messages a second:\n", table(
            ["system"] + [size_text(size) for size in sizes],
            [[label] + [number(of[size].median / 1e6) if size in of else "" for size in sizes] for label, of in rows])]
        versions = sorted({row.facts["version"] for row in self.beginning("peer/")})
        parts.append("Versions: " + "; ".join(versions) + ".\n")
        return "\n".join(parts)

    def sections(self):
        yield "Demands", self.demands()
        yield "Throughput", self.throughput()
        yield "Latency: round trips", self.latency()
        yield "Latency: one way, at a given rate", self.paced()
        yield "A bigger ring is a slower ring, beyond the cache", self.rings()
        yield "Many producers, many consumers", self.crowds()
        yield "Groups, attached processes, and being there", self.costs()
        peers = self.peers()
        if peers:
            yield "Other systems", peers


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("docs", type=pathlib.Path)
    options = parser.parse_args()
    results = Results(options.results)
    plots = options.docs / "benchmarks"
    plots.mkdir(parents=True, exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    plot.draw_all(results, plots, ["svg"])
    with_peers = any(row["name"].startswith("peer/") for row in results.json["rows"])
    command = "./dev bench --docs" + (" --peers" if with_peers else "")
    text = INTRO.format(command=command, and_peers=" and what other systems do" if with_peers else "",
                        **results.machine, repeats=results.settings["repeats"], seconds=results.settings["seconds"])
    for placement in results.placements:
        several = len(results.placements) > 1
        if several:
            text += f"\n# The two processors {placement}\n"
        else:
            text += f"\nIn this run the two processors were always {placement}.\n"
        for title, section in Document(results, placement, plots).sections():
            heading = f"{title} ({placement})" if several else title
            text += f"\n## {heading}\n\n{section}"
    (options.docs / "benchmarks.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
