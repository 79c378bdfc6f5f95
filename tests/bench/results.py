"""What ipcq-bench wrote, as the plots and the document need it."""

import json
import statistics


class Row:
    def __init__(self, row, placement):
        self.name = row["name"]
        self.what = row["what"]
        self.measure = row["measure"]
        self.unit = row["unit"]
        self.payload_bytes = row["payload_bytes"]
        self.facts = row["facts"]
        self.limit = row.get("limit")
        self.anywhere = "anywhere" in row  # it does not matter how far apart the processors are
        self.seen = row.get(placement, row.get("anywhere"))

    def __getattr__(self, name):  # min, median, max, p99_ns, of_limit, runs
        if name.startswith("_"):
            raise AttributeError(name)
        return self.seen.get(name)

    @property
    def gigabytes_per_s(self):
        return self.median * self.payload_bytes / 1e9

    def is_of(self, **facts):
        """Whether all these facts are so; a fact of None must be missing."""
        return all(self.facts.get(name) == fact for name, fact in facts.items())


class Results:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.json = json.load(file)
        if self.json.get("format") != 2:
            raise SystemExit(f"{path}: not what this version of ipcq-bench writes")
        self.machine = self.json["machine"]
        self.settings = self.json["settings"]
        self.placements = [p for p in ("near", "far") if any(row.get(p) for row in self.json["rows"])]

    def rows(self, placement):
        """Those that were seen in this placement, and those to which it does not matter."""
        return [Row(row, placement) for row in self.json["rows"] if row.get(placement) or row.get("anywhere")]

    def main_placement(self):
        """The placement that most rows were seen in."""
        if not self.placements:
            raise SystemExit("nothing was measured: every run was dropped")
        return max(self.placements, key=lambda p: sum(1 for row in self.json["rows"] if row.get(p)))

    @staticmethod
    def median(row, figure):
        return statistics.median(run[figure] for run in row.runs)

    def curve(self, row):
        """[(fraction, ns)]: of each fraction the median of the runs, as far as there are samples enough behind it."""
        samples = sum(run["trips"] for run in row.runs)
        points = []
        for i, fraction in enumerate(self.settings["curve_fractions"]):
            if (1 - fraction) * samples < 10:
                break
            points.append((fraction, statistics.median(run["curve_ns"][i] for run in row.runs)))
        return points


def size_text(size):
    for unit, name in ((1 << 20, " MiB"), (1 << 10, " KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size} B"
