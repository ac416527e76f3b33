#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What others take to read a node-link file: Python's json, networkx on top of it, simdjson where it is installed.

Usage: io_peers.py GRAPH.json    (bench_io --peers runs it; Amazon2M in full needs about 20 GB here)
"""
import json
import resource
import subprocess
import sys
import time


def measure(name, path):
    start = time.perf_counter()
    if name == "json.load":
        with open(path) as file:
            data = json.load(file)
        edges = len(data["links"])
    elif name == "networkx node_link_graph":
        import networkx

        with open(path) as file:
            data = json.load(file)
        edges = networkx.node_link_graph(data, edges="links").number_of_edges()
    else:
        import simdjson

        with open(path, "rb") as file:
            document = simdjson.Parser().parse(file.read())
        edges = sum(1 for _ in document["links"])
    seconds = time.perf_counter() - start
    with open(path, "rb") as file:
        size = file.seek(0, 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"  {name:<34} {seconds:10.4g} {size / 1e6:10.1f} {size / seconds / 1e6:10.1f} {peak / 1e6:12.1f}", flush=True)
    return edges


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[2], sys.argv[1])
    else:
        for peer in ("json.load", "networkx node_link_graph", "simdjson DOM"):
            done = subprocess.run([sys.executable, __file__, sys.argv[1], peer], stderr=subprocess.DEVNULL, check=False)
            if done.returncode != 0:
                print(f"  {peer:<34} not installed, or out of memory", flush=True)
