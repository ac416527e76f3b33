# SPDX-License-Identifier: MIT
"""What the scripts of all peers share: the command line, the exported graph and the report."""
import argparse
import json
import os
import pathlib
import resource
import time

import numpy as np


def parse(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help="folder in the graphsaint layout (convert --to graphsaint)")
    parser.add_argument("--method", required=True, choices=["full", "cluster", "neighbor", "saint", "sgc"])
    parser.add_argument("--parts-file", help="one part per line, as partition --out writes it")
    parser.add_argument("--parts", type=int, default=0)
    parser.add_argument("--clusters-per-batch", type=int, default=10)
    parser.add_argument("--fanouts", type=int, nargs="*", default=[10, 10])
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--roots", type=int, default=3000, help="saint: walks of a subgraph")
    parser.add_argument("--walk-length", type=int, default=2)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=10, help="0: inference alone, with full")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--report", help="JSON file to write")
    options = parser.parse_args()
    least = 0 if options.method == "full" else 1
    if options.epochs < least:
        parser.error(f"--epochs: got {options.epochs} with {options.method}, want at least {least}")
    return options


class Graph:
    """indptr, indices (in-neighbours by row), features [N, F], labels [N] or [N, C], train and test ids."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        with np.load(folder / "adj_full.npz") as archive:
            self.indptr = archive["indptr"].astype(np.int64)
            self.indices = archive["indices"].astype(np.int64)
        self.features = np.load(folder / "feats.npy").astype(np.float32)
        self.nodes = len(self.indptr) - 1
        classes = json.loads((folder / "class_map.json").read_text())
        first = next(iter(classes.values()))
        self.multilabel = isinstance(first, list)
        self.classes = len(first) if self.multilabel else int(max(classes.values())) + 1
        shape = (self.nodes, self.classes) if self.multilabel else (self.nodes,)
        self.labels = np.full(shape, -1 if not self.multilabel else 0, dtype=np.float32 if self.multilabel else np.int64)
        for node, label in classes.items():
            self.labels[int(node)] = label
        roles = json.loads((folder / "role.json").read_text())
        self.train = np.asarray(roles["tr"], dtype=np.int64)
        self.test = np.asarray(roles["te"], dtype=np.int64)

    def rows(self):
        """The row of every stored entry."""
        return np.repeat(np.arange(self.nodes), np.diff(self.indptr))


def saint_steps(graph, options):
    """Subgraphs of an epoch, as our sampler counts them: training nodes over roots times length."""
    return -(-len(graph.train) // (options.roots * max(1, options.walk_length)))


class Clock:
    """Seconds of each epoch."""

    def __init__(self):
        self.epochs = []

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        self.epochs.append(time.perf_counter() - self.start)


def report(options, graph, program, versions, clock, test_metric, seconds):
    """The envelope our programs write; the first epoch warms up and is not counted where there are others."""
    steady = clock.epochs[1:] or clock.epochs
    run = {"seed": options.seed, "epochs": len(clock.epochs), "test_metric": test_metric, "seconds_train": sum(clock.epochs),
           "seconds_per_epoch": sorted(steady)[len(steady) // 2] if steady else None}
    envelope = {"program": program, "version": versions,
                "dataset": {"name": pathlib.Path(options.data).name, "nodes": graph.nodes, "edges": len(graph.indices),
                            "features": graph.features.shape[1], "classes": graph.classes, "train": len(graph.train),
                            "test": len(graph.test)},
                "options": {k: v for k, v in vars(options).items() if k != "report"}, "runs": [run], "metric": "accuracy",
                "test_mean": test_metric, "test_std": 0.0, "seconds": seconds,
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "threads": options.threads,
                "precision": options.precision}
    figures = {"epoch": run["seconds_per_epoch"], **seconds}
    print(f"{program}: {', '.join(f'{k} {v:.4g} s' for k, v in figures.items() if v is not None)}, test {test_metric}, "
          f"peak {envelope['peak_rss_bytes'] / 1e6:.0f} MB")
    if options.report:
        pathlib.Path(options.report).write_text(json.dumps(envelope, indent=1) + "\n")
