# SPDX-License-Identifier: MIT
"""From reports to tables: what a run measured, as one flat record, and the Markdown and charts made of them."""
import json
import pathlib
import statistics

from . import cases as case_list
from . import charts


def time_to_accuracy(log, share=0.98):
    """Seconds of training until the metric first reaches `share` of the run's best, from a --log file; None without
    evaluations. The metric is validation's, or the test's of data without validation nodes."""
    seconds, curve = 0.0, []
    for line in pathlib.Path(log).read_text().splitlines():
        epoch = json.loads(line)
        seconds += epoch["seconds"]
        metric = epoch.get("val_metric")
        if metric is None:
            metric = epoch.get("test_metric")
        if metric is not None:
            curve.append((seconds, metric))
    if not curve:
        return None
    target = share * max(metric for _, metric in curve)
    return next(at for at, metric in curve if metric >= target)


def epoch_spread(log):
    """(median, slowest - fastest over median) of the seconds of the epochs after the first."""
    seconds = [json.loads(line)["seconds"] for line in pathlib.Path(log).read_text().splitlines()]
    steady = seconds[1:] or seconds
    median = statistics.median(steady)
    return median, (max(steady) - min(steady)) / median if median > 0 else 0.0


def evaluations(log):
    """How many epochs were followed by an evaluation."""
    epochs = [json.loads(line) for line in pathlib.Path(log).read_text().splitlines()]
    return max(1, sum(epoch.get("test_metric") is not None for epoch in epochs))


def peer_figures(report):
    """Seconds of what a peer's script was compared for."""
    return {"epoch": report["runs"][0]["seconds_per_epoch"], "precompute": report["seconds"].get("precompute"),
            "inference": report["seconds"].get("infer")}


def our_figures(record):
    """The same of a record of ours."""
    return {"epoch": record["seconds_per_epoch"], "precompute": record["seconds"].get("precompute"),
            "inference": record["seconds_per_evaluation"]}


def training_record(case, report, log, peak_flops):
    """The row of one method."""
    median, spread = epoch_spread(log)
    flops = case_list.bound_flops(case, report["dataset"])
    record = {
        "seconds_per_epoch": median,
        "spread": spread,
        "seconds_per_evaluation": report["runs"][0]["seconds_evaluate"] / evaluations(log),
        "seconds_to_accuracy": time_to_accuracy(log),
        "test_metric": report.get("test_mean"),
        "metric": report.get("metric"),
        "peak_rss_bytes": report.get("peak_rss_bytes"),
        "seconds": report.get("seconds", {}),
        "precision": report.get("precision", "fp32"),
        "isa": report.get("isa"),
        "threads": report.get("threads"),
        "dataset": report["dataset"],
    }
    for key in ("cut_fraction", "kept_fraction", "parts"):
        if key in report:
            record[key] = report[key]
    if flops is not None and peak_flops:
        record["fraction_of_bound"] = flops / peak_flops / median if median > 0 else None
    return record


def cell(value, form="{:.3g}"):
    return "-" if value is None else form.format(value)


def markdown(records, machine, command):
    """Every result as one page."""
    out = ["# Results of the suite", "", f"`{command}`", ""]
    out += [f"- {key}: {value}" for key, value in machine.items()]
    training = [r for r in records if r["kind"] == "training"]
    for data in sorted({r["data"] for r in training}):
        rows = [r for r in training if r["data"] == data]
        done = [r for r in rows if r["status"] == "done"]
        out += ["", f"## {data}", ""]
        if done:
            shape = done[0]["result"]["dataset"]
            out += [f"{shape['nodes']} nodes, {shape['edges']} stored edges, {shape['features']} features, "
                    f"{shape['classes']} classes", ""]
        out += ["| method | s/epoch | spread | to 98 % of its best, s | test | peak MB | load s | partition s | precompute s | "
                "of fp32 bound |", "|---|---|---|---|---|---|---|---|---|---|"]
        for r in rows:
            name = r["name"].split(": ", 1)[1]
            if r["status"] != "done":
                out.append(f"| {name} | {r['status']} | | | | | | | | |")
                continue
            x = r["result"]
            s = x["seconds"]
            peak = x["peak_rss_bytes"]
            test = x["test_metric"]
            out.append(f"| {name} | {cell(x['seconds_per_epoch'])} | {cell(100 * x['spread'], '{:.0f} %')} | "
                       f"{cell(x['seconds_to_accuracy'])} | {cell(100 * test if test is not None else None, '{:.2f}')} | "
                       f"{cell(peak / 1e6 if peak else None, '{:.0f}')} | {cell(s.get('load'))} | "
                       f"{cell(s.get('partition'))} | {cell(s.get('precompute'))} | "
                       f"{cell(100 * x['fraction_of_bound'] if x.get('fraction_of_bound') else None, '{:.0f} %')} |")
    for r in (r for r in records if r["kind"] == "kernels"):
        out += ["", f"## bench_{r['name']}", ""]
        if r["status"] != "done":
            out.append(r["status"])
            continue
        out += ["| group | case | median ms | spread | of bound | ratio |", "|---|---|---|---|---|---|"]
        for row in r["result"]["rows"]:
            out.append(f"| {row.get('group', '')} | {row.get('case', '')} | {cell(1e3 * row.get('seconds_median', 0))} | "
                       f"{cell(100 * row.get('spread', 0), '{:.0f} %')} | "
                       f"{cell(100 * row.get('fraction_of_bound', 0), '{:.0f} %')} | {cell(row.get('ratio'), '{:.2f}')} |")
    peers = [r for r in records if r["kind"] == "peer"]
    if peers:
        out += ["", "## Peers", "", "Runs in turns, ours and theirs; the ratio is their median over ours, in brackets the ratios "
                "of single rounds.", "", "| case | peer | ours, s | theirs, s | ratio |", "|---|---|---|---|---|"]
        for r in peers:
            if r["status"] != "done":
                out.append(f"| {r['name']} | {r['peer']} | | | {r['status']} |")
                continue
            x = r["result"]
            out.append(f"| {r['name']} | {r['peer']} | {cell(x['ours'])} | {cell(x['theirs'])} | {x['ratio']:.2f} "
                       f"({min(x['ratios']):.2f} .. {max(x['ratios']):.2f}) |")
    return "\n".join(out) + "\n"


def write_charts(records, folder):
    """Seconds per epoch and peak memory of each data set."""
    training = [r for r in records if r["kind"] == "training"]
    for data in sorted({r["data"] for r in training}):
        rows = [(r["name"].split(": ", 1)[1], r["result"] if r["status"] == "done" else {})
                for r in training if r["data"] == data]
        slug = "".join(c if c.isalnum() else "-" for c in data)
        (folder / f"{slug}-seconds.svg").write_text(
            charts.bars(f"{data}: seconds per epoch", "s", [(n, x.get("seconds_per_epoch")) for n, x in rows]))
        (folder / f"{slug}-memory.svg").write_text(charts.bars(
            f"{data}: peak memory", "MB",
            [(n, x["peak_rss_bytes"] / 1e6 if x.get("peak_rss_bytes") else None) for n, x in rows]))
