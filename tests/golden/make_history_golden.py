# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/history.npz: GNNAutoScale over the parts of a small graph, with PyTorch Geometric's layers.

    python3 -m venv env && env/bin/pip install torch torch_geometric numpy
    env/bin/python tests/golden/make_history_golden.py tests/data/golden/history.npz

Everything is float64. Tables start with fixed numbers; two passes over the parts pull rows of the halo, push rows of the
batch, and add up the gradient of sum(logits * g). Weights are stored [F_in, F_out], vectors as one row.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch_geometric.nn import GATConv, GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

torch.set_default_dtype(torch.float64)
out = {}
N, F_IN, HIDDEN, CLASSES, PARTS = 24, 5, 6, 3, 4


def numbers(*shape, seed):
    """Small fixed numbers in (-1, 1): a hash of the position."""
    count = int(np.prod(shape))
    k = (np.arange(count, dtype=np.uint64) + np.uint64(seed * 7919 + 1)) * np.uint64(0x9E3779B97F4A7C15)
    k ^= k >> np.uint64(29)
    k *= np.uint64(0xBF58476D1CE4E5B9)
    k ^= k >> np.uint64(32)
    return torch.tensor(((k >> np.uint64(40)).astype(np.float64) / 2**23 - 1).reshape(shape))


# A ring with chords, a hub (0) and an isolated node (the last), undirected.
links = {(i, (i + 1) % (N - 1)) for i in range(N - 1)} | {(i, (3 * i + 5) % (N - 1)) for i in range(0, N - 1, 2)}
links |= {(0, i) for i in range(4, N - 1, 4)}
links = sorted({(min(a, b), max(a, b)) for a, b in links if a != b})
source = [a for a, b in links] + [b for a, b in links]
target = [b for a, b in links] + [a for a, b in links]
edge_index = torch.tensor([source, target])
part = torch.tensor([(5 * i) % PARTS for i in range(N)])
x = numbers(N, F_IN, seed=1)
g = numbers(N, CLASSES, seed=2)
out["links"] = np.array(links, dtype=np.int64)
out["part"] = part.numpy().astype(np.int64)
out["x"], out["g"] = x.numpy(), g.numpy()


def batch_of(p, index, weight):
    """Rows of the part ascending, then the halo in the order of appearance; every edge into the rows."""
    rows = [i for i in range(N) if part[i] == p]
    local = {v: i for i, v in enumerate(rows)}
    edges = [[], [], []]
    for r in rows:
        for s, w in sorted((int(index[0, e]), float(weight[e])) for e in range(index.shape[1]) if index[1, e] == r):
            if s not in local:
                local[s] = len(local)
            edges[0].append(local[s])
            edges[1].append(local[r])
            edges[2].append(w)
    ids = torch.tensor(sorted(local, key=local.get))
    return rows, ids, torch.tensor(edges[:2]), torch.tensor(edges[2])


def run(name, convs, step, activation, index, weight):
    for k, conv in enumerate(convs):
        with torch.no_grad():
            for j, (_, p) in enumerate(sorted(conv.named_parameters())):
                p.copy_(numbers(*p.shape, seed=10 + 7 * k + j))
    tables = [numbers(N, HIDDEN, seed=40 + l) for l in range(len(convs) - 1)]
    for l, t in enumerate(tables):
        out[f"{name}.start.{l + 1}"] = t.numpy().copy()
    for sweep in range(2):
        for p in range(PARTS):
            rows, ids, edges, w = batch_of(p, index, weight)
            n = len(rows)
            z = x[ids]
            for l, conv in enumerate(convs):
                h = step(conv, z, n, edges, w)
                if l + 1 == len(convs):
                    break
                h = activation(h)
                pulled = tables[l][ids[n:]].clone()
                tables[l][ids[:n]] = h.detach()
                z = torch.cat([h, pulled])
            (h * g[rows]).sum().backward()
            out[f"{name}.y.{sweep}.{p}"] = h.detach().numpy()
    for l, t in enumerate(tables):
        out[f"{name}.end.{l + 1}"] = t.numpy()
    for k, conv in enumerate(convs):
        for pname, p in conv.named_parameters():
            ours = f"convs.{k}.{pname}"
            array, grad = p.detach().numpy(), p.grad.numpy()
            if "weight" in pname:
                array, grad = array.T, grad.T
            else:
                array, grad = array.reshape(1, -1), grad.reshape(1, -1)
            out[f"{name}.{ours}"] = np.ascontiguousarray(array)
            out[f"{name}.{ours}.grad"] = np.ascontiguousarray(grad)


sizes = [(F_IN, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, CLASSES)]
norm_index, norm_weight = gcn_norm(edge_index, None, N, add_self_loops=True, dtype=torch.float64)
run("gcn", [GCNConv(a, b, normalize=False, add_self_loops=False) for a, b in sizes],
    lambda conv, z, n, e, w: conv(z, e, w)[:n], F.relu, norm_index, norm_weight)

loops = torch.tensor([list(range(N))] * 2)
with_loops = torch.cat([edge_index, loops], 1)
heads = [GATConv(F_IN, HIDDEN // 2, heads=2, add_self_loops=False),
         GATConv(HIDDEN, HIDDEN // 2, heads=2, add_self_loops=False),
         GATConv(HIDDEN, CLASSES, heads=1, concat=False, add_self_loops=False)]
run("gat", heads, lambda conv, z, n, e, w: conv((z, z[:n]), e), F.elu, with_loops, torch.ones(with_loops.shape[1]))

np.savez_compressed(sys.argv[1], **out)
print(len(out), "arrays")
