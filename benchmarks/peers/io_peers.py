#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What others take to read a node-link file: Python's json, and networkx on top of it.

Usage: io_peers.py GRAPH.json [SECONDS OF OURS]    (bench_io --peers runs it; Amazon2M in full needs about 20 GB here)
"""
import json
import resource
import subprocess
import sys
import time


def measure(name, path, ours):
    start = time.perf_counter()
    if name == "json.load":
        with open(path) as file:
            data = json.load(file)
        edges = len(data["links"])
    else:
        import networkx

        with open(path) as file:
            data = json.load(file)
        edges = networkx.node_link_graph(data, edges="links").number_of_edges()
    seconds = time.perf_counter() - start
    with open(path, "rb") as file:
        size = file.seek(0, 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    ratio = f"   {seconds / ours:.1f}x our time on 1 core" if ours > 0 else ""
    rate = size / seconds / 1e6
    print(f"  {name:<34} {seconds:10.4g} {size / 1e6:10.1f} {rate:10.1f} {peak / 1e6:12.1f}{ratio}", flush=True)
    return edges


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure(sys.argv[3], sys.argv[1], float(sys.argv[2]))
    else:
        ours = sys.argv[2] if len(sys.argv) > 2 else "0"
        for peer in ("json.load", "networkx node_link_graph"):
            command = [sys.executable, __file__, sys.argv[1], ours, peer]
            done = subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
            if done.returncode != 0:
                print(f"  {peer:<34} not installed, or out of memory", flush=True)
