#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plots (SVG) from bench.py's JSON lines. usage: plots.py FOLDER FILE..."""
import json
import statistics
import sys
from collections import defaultdict

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plot  # noqa: E402

folder, files = sys.argv[1], sys.argv[2:]
rows = [json.loads(line) for name in files for line in open(name) if line.strip()]
names = list(dict.fromkeys((r["server"], r["tune"]) for r in rows if r.get("error") != "did not start"))


def median(test, server, tune, column, **wanted):
    found = [r[column] for r in rows if r["test"] == test and (r["server"], r["tune"]) == (server, tune) and r.get(column) is not None
             and all(r.get(k) == v for k, v in wanted.items())]
    return statistics.median(found) if found else None


def bars(file, title, unit, groups, value, is_log=False):
    figure, axes = plot.subplots(figsize=(9, 4))
    width = 0.8 / max(len(names), 1)
    for n, (server, tune) in enumerate(names):
        values = [value(server, tune, group) or 0 for group in groups]
        label = server if server == "smtp-sink" else f"{'Portiere' if server == 'ours' else server} {tune}"
        axes.bar([g + n * width for g in range(len(groups))], values, width, label=label)
    axes.set_xticks([g + 0.4 - width / 2 for g in range(len(groups))], [str(group[-1]) for group in groups])
    axes.set_ylabel(unit)
    axes.set_title(title)
    if is_log:
        axes.set_yscale("log")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(f"{folder}/{file}.svg")
    plot.close(figure)


cells = defaultdict(set)
for r in rows:
    if r["test"] == "accept":
        cells["accept"].add((r["sessions"], r["keep"], r["size"]))
accept = [(s, k, z, f"{s} sessions,\n{'many' if k else 'one'}, {z // 1024} KiB") for s, k, z in sorted(cells["accept"], key=lambda c: (c[2], c[0], c[1]))]
if accept:
    bars("accept-rate", "Messages taken durably", "messages a second", accept,
         lambda s, t, g: median("accept", s, t, "rate", sessions=g[0], keep=g[1], size=g[2]))
    bars("accept-cpu", "CPU of the server for 1,000 messages", "seconds (log)", accept,
         lambda s, t, g: median("accept", s, t, "cpu_1000", sessions=g[0], keep=g[1], size=g[2]), is_log=True)
flows = [(test, n, f"{test},\n{n} sessions") for test in ("maildir", "relay") for n in (20, 100) if any(r["test"] == test for r in rows)]
if flows:
    bars("end-to-end", "From the client to the mailbox or the next host", "messages a second", flows,
         lambda s, t, g: median(g[0], s, t, "rate", sessions=g[1]))
