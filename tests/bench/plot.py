#!/usr/bin/env python3
"""Plots of what ipcq-bench measured: plot.py RESULTS.json FOLDER. Needs matplotlib."""

import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator

from results import Results, size_text

plt.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "ipcq", "font.family": "sans-serif", "font.size": 9, "axes.grid": True,
    "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "lines.markersize": 4, "figure.constrained_layout.use": True})

COLOURS = {"exclusive": "#1f77b4", "shared": "#d62728", "limit": "#7f7f7f"}
BATCHES = {1: "one by one", 64: "batches of 64"}


def plain(value):
    """A number without an exponent: 0.25, 4, 300, 10k."""
    if value >= 10000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def nanoseconds(value):
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g} ns"


def count(value):
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value / 1e3:.3g} k" if value >= 1e3 else f"{value:.3g}"


def has_points(ax):
    return bool(ax.patches) or any(len(line.get_xdata()) for line in ax.lines)


def legend(ax, **options):
    if has_points(ax):
        ax.legend(fontsize=8, **options)


def axis(ax, title, x, y, *, xs=None, x_text=plain, log_x=2, log_y=False, y_text=plain):
    ax.set_title(title, fontsize=10)
    if not has_points(ax):
        ax.set_axis_off()
        ax.text(0.5, 0.5, "not measured", ha="center", transform=ax.transAxes)
        return
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if log_x:
        ax.set_xscale("log", base=log_x)
    if xs is not None:
        ax.set_xticks(sorted(xs))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticklabels([x_text(x) for x in sorted(xs)], rotation=30 if len(xs) > 5 else 0)
    if log_y:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: y_text(value)))


def line(ax, points, label, *, scale=1, **style):
    """Medians joined, with a band from the least to the greatest run. points: [(x, row)]"""
    if not points:
        return
    points = sorted(points, key=lambda point: point[0])
    xs = [x for x, _ in points]
    drawn = ax.plot(xs, [row.median / scale for _, row in points], marker="o", label=label, **style)
    ax.fill_between(xs, [row.min / scale for _, row in points], [row.max / scale for _, row in points], alpha=0.15,
                    color=drawn[0].get_color(), linewidth=0)


class Plots:
    def __init__(self, results, placement, folder, kinds):
        self.results, self.placement, self.folder, self.kinds = results, placement, folder, kinds
        self.all = results.rows(placement)
        self.suffix = "" if placement == results.main_placement() else f"-{placement}"

    def rows(self, measure, **facts):
        return [row for row in self.all if row.measure == measure and row.is_of(**facts)]

    def named(self, prefix):
        return [row for row in self.all if row.name.startswith(prefix)]

    def figure(self, panels, width=4.6, height=3.6):
        figure, axes = plt.subplots(1, panels, figsize=(width * panels, height), squeeze=False)
        return figure, axes[0]

    def save(self, figure, name):
        if not any(has_points(ax) for ax in figure.axes):
            plt.close(figure)
            return
        machine = self.results.machine
        figure.supxlabel(f"{machine['cpu']} · {machine['kernel']} · {machine['compiler']} · {machine['date']} · cpus "
                         f"{self.placement} · bands: least to greatest run", fontsize=6, color="#555555")
        for kind in self.kinds:
            path = self.folder / f"{name}{self.suffix}.{kind}"
            figure.savefig(path, dpi=130, metadata={"Date": None} if kind == "svg" else None)
            if kind == "svg":  # matplotlib leaves blanks at the ends of lines
                path.write_text("\n".join(text.rstrip() for text in path.read_text().split("\n")))
        plt.close(figure)

    def streams(self, **facts):
        return [row for row in self.rows("throughput", options="", lease=256, **facts)
                if row.name.startswith("ipcq/stream-")]

    def throughput(self):
        figure, (by_batch, by_size) = self.figure(2)
        shared = self.streams(mode="shared", ring_bytes=8 << 20)
        sizes = sorted({row.payload_bytes for row in shared})
        for i, size in enumerate(sizes):
            line(by_batch, [(row.facts["batch"], row) for row in shared if row.payload_bytes == size], size_text(size),
                 scale=1e6, color=plt.cm.viridis(i / max(1, len(sizes))))
        axis(by_batch, "Throughput by batch size, shared queue", "messages a claim", "million messages a second",
             xs={row.facts["batch"] for row in shared}, log_y=True)
        if shared:
            by_batch.set_xlim(right=1500)  # room for the legend
        legend(by_batch, title="message", loc="lower right")
        for mode in ("exclusive", "shared"):
            for batch, style in ((1, ":"), (64, "-")):
                rows = self.streams(mode=mode, batch=batch, ring_bytes=8 << 20)
                by_size.plot([row.payload_bytes for row in rows], [row.gigabytes_per_s for row in rows], style,
                             marker="o", label=f"{mode}, {BATCHES[batch]}", color=COLOURS[mode])
        bare = self.rows("throughput", system="bare ring", ring_bytes=8 << 20)
        bare.sort(key=lambda row: row.payload_bytes)
        by_size.plot([row.payload_bytes for row in bare], [row.gigabytes_per_s for row in bare], "--",
                     label="limit: a bare ring", color=COLOURS["limit"])
        axis(by_size, "Payload carried, by message size", "message", "GB a second", log_y=True,
             xs={row.payload_bytes for row in bare}, x_text=size_text)
        legend(by_size)
        self.save(figure, "throughput")

    def curves(self, ax, rows, title):
        """Percentiles, each nine as wide as the one before."""
        for label, row, style in rows:
            points = self.results.curve(row)
            ax.plot([1 / (1 - fraction) for fraction, _ in points], [ns for _, ns in points], label=label, **style)
        axis(ax, title, "percentile", "time", xs=[1, 2, 10, 100, 1000, 10000], log_x=10, log_y=True, y_text=nanoseconds,
             x_text=lambda x: {1: "0", 2: "50", 10: "90", 100: "99", 1000: "99.9", 10000: "99.99"}[x])
        if rows:
            ax.set_xlim(0.9, 12000)
        legend(ax, loc="upper left")

    def latency(self):
        figure, (spin, sleep) = self.figure(2)
        limit = {"color": COLOURS["limit"], "linestyle": "--"}

        def chosen(wait):
            return [(f"ipcq, {row.facts['mode']}", row, {"color": COLOURS[row.facts["mode"]]})
                    for row in self.rows("round_trip", system="ipcq", wait=wait, options="", bystanders=0)
                    if row.name.startswith("ipcq/rtt-")]

        self.curves(spin, chosen("spin") + [("limit: two cache lines", row, limit) for row in self.named("raw/rtt-64B")],
                    "Round trip of 64 bytes, both spin")
        self.curves(sleep, chosen("sleep") + [("limit: two futexes", row, limit) for row in self.named("raw/rtt-futex")],
                    "Round trip of 64 bytes, both sleep")
        self.save(figure, "latency")

    def paced(self):
        rates = sorted({row.facts["rate"] for row in self.rows("one_way", system="ipcq")})
        if not rates:
            return
        figure, axes = self.figure(len(rates), width=3.6)
        for ax, rate in zip(axes, rates):
            rows = [(f"{row.facts['wait']}: {self.results.median(row, 'sleeps_per_message'):.2g} sleeps a message", row, {})
                    for row in self.rows("one_way", system="ipcq", rate=rate)]
            self.curves(ax, rows, f"One way, {rate:,} messages a second")
        self.save(figure, "paced")

    def rings(self):
        figure, (ax,) = self.figure(1, width=5.5)
        rows = self.rows("throughput", batch=64)
        rows = [row for row in rows if row.payload_bytes == 64]
        for mode in ("exclusive", "shared"):
            line(ax, [(row.facts["ring_bytes"], row) for row in rows
                      if row.is_of(system="ipcq", mode=mode, options="", lease=256)], mode, scale=1e6,
                 color=COLOURS[mode])
        bare = [(row.facts["ring_bytes"], row) for row in rows if row.is_of(system="bare ring")]
        line(ax, bare, "limit: a bare ring", scale=1e6, color=COLOURS["limit"], linestyle="--")
        axis(ax, "Throughput by ring size: 64 bytes in batches of 64", "ring", "million messages a second",
             xs={x for x, _ in bare}, x_text=size_text)
        legend(ax)
        self.save(figure, "ring-size")

    def crowds(self):
        figure, (ax, batched) = self.figure(2)
        rows = self.named("ipcq/crowd-")
        for ax_of, batch in ((ax, 1), (batched, 16)):
            for label, fits in (("N producers, N consumers", lambda p, c: p == c),
                                ("N producers, 1 consumer", lambda p, c: c == 1),
                                ("1 producer, N consumers", lambda p, c: p == 1)):
                points = [(max(row.facts["producers"], row.facts["consumers"]), row) for row in rows
                          if row.facts["batch"] == batch and fits(row.facts["producers"], row.facts["consumers"])]
                if len(points) > 1:
                    line(ax_of, points, label, scale=1e6)
            axis(ax_of, f"Many on two cpus, 64 bytes, sleeping, {'one by one' if batch == 1 else 'batches of 16'}", "N",
                 "million messages a second, all together", xs=[1, 2, 4, 8])
            legend(ax_of)
        self.save(figure, "crowd")

    def costs(self):
        figure, (groups, attached) = self.figure(2)
        rows = self.named("ipcq/groups-")
        line(groups, [(row.facts["groups"], row) for row in rows], "64 bytes in batches of 64",
             color=COLOURS["shared"])
        axis(groups, "What groups cost a producer: its rate into a free ring", "groups that each get every message",
             "million messages a second", xs=[row.facts["groups"] for row in rows] or None)
        legend(groups)
        rows = self.named("ipcq/attached-")
        line(attached, [(row.facts["bystanders"] + 2, row) for row in rows], "64 bytes, spinning, shared",
             color=COLOURS["shared"])
        axis(attached, "What attached processes cost: a round trip", "producers and consumers attached to each queue",
             "median round trip", xs=[row.facts["bystanders"] + 2 for row in rows] or None, y_text=nanoseconds)
        legend(attached)
        self.save(figure, "groups-attached")

    def bars(self, ax, bars, title, x, text, best=min):
        """Horizontal, the best on top. bars: [(label, value, colour)]"""
        bars.sort(key=lambda bar: bar[1], reverse=best is min)
        ax.barh([bar[0] for bar in bars], [bar[1] for bar in bars], color=[bar[2] for bar in bars], height=0.7)
        for i, bar in enumerate(bars):
            ax.text(bar[1], i, " " + text(bar[1]), va="center", fontsize=7)
        ax.set_xscale("log")
        ax.set_xlim(min(bar[1] for bar in bars) / 3, 8 * max(bar[1] for bar in bars))
        ax.set_title(title, fontsize=10)
        ax.set_xlabel(x)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
        ax.grid(axis="y", visible=False)

    def peers(self):
        peers = self.named("peer/")
        if not peers:
            return

        def colour(row):
            return "#c7c7c7" if row.name.startswith("raw/") else "#d62728" if row.name.startswith("ipcq/") else "#1f77b4"

        def labelled(row):
            facts = row.facts
            mode = f", {facts['mode']}" if row.name.startswith("ipcq/") else ""
            return facts["system"] + mode

        figure, (spin, sleep, stream) = self.figure(3, width=4.4, height=4.4)
        own = [row for row in self.named("ipcq/rtt-") if row.is_of(options="")]
        for ax, wait, title in ((spin, "spin", "Round trip of 64 bytes, both spin"),
                                (sleep, "sleep", "Round trip of 64 bytes, both sleep")):
            rows = [row for row in own + self.rows("round_trip") if row.facts.get("wait") == wait and
                    (row in own or row.name.startswith("peer/") or row.name in ("raw/rtt-64B", "raw/rtt-futex"))]
            rows = list({row.name: row for row in rows}.values())
            if rows:
                self.bars(ax, [(labelled(row), row.median, colour(row)) for row in rows], title,
                          "median: less is better", nanoseconds)
        rows = [row for row in self.rows("throughput") if row.payload_bytes == 64 and (
            row.name.startswith("peer/") or row.name in (
                "ipcq/stream-64B-b1-8M-shared", "ipcq/stream-64B-b64-8M-shared", "ipcq/crowd-1x1-64B-b1"))]
        bars = []
        for row in rows:
            batch = row.facts["batch"]
            label = row.facts["system"] + (f", batches of {batch}" if batch > 1 else "")
            if row.name.startswith("ipcq/"):
                label += ", sleeping" if row.facts["wait"] == "sleep" else ", spinning"
            bars.append((label, row.median, colour(row)))
        if bars:
            self.bars(stream, bars, "64-byte messages one way", "messages a second: more is better", count, best=max)
        self.save(figure, "peers")

    def draw(self):
        for plot in (self.throughput, self.latency, self.paced, self.rings, self.crowds, self.costs, self.peers):
            plot()


def draw_all(results, folder, kinds):
    for placement in results.placements:
        Plots(results, placement, folder, kinds).draw()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    draw_all(Results(options.results), options.folder, ["svg", "png"])


if __name__ == "__main__":
    main()
