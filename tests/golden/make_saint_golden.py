# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/saint.npz: GraphSAINT's normalisation and network, computed without this library.

    python3 -m venv env && env/bin/pip install torch numpy
    env/bin/python tests/golden/make_saint_golden.py tests/data/golden/saint.npz

Normalisation: fixed subgraphs (node lists) of a random training graph are counted entry by entry in Python, then the
authors' formulas (norm_aggr.pyx, minibatch.py) are applied as written, with their constants for what was never seen.
Network: the authors' order-k aggregators (pytorch_version/layers.py, models.py), arch 2-1-0, written with dense
matrices in PyTorch float64, with the gradient of every parameter under a fixed cotangent.
"""

import sys

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
out = {}


def numbers(*shape, seed):
    """Small fixed numbers that need no generator: a hash of the position, in (-1, 1), no two alike."""
    count = int(np.prod(shape))
    k = (np.arange(count, dtype=np.uint64) + np.uint64(seed * 7919 + 1)) * np.uint64(0x9E3779B97F4A7C15)
    k ^= k >> np.uint64(29)
    k *= np.uint64(0xBF58476D1CE4E5B9)
    k ^= k >> np.uint64(32)
    return ((k >> np.uint64(40)).astype(np.float64) / 2**23 - 1).reshape(shape)


# A symmetric graph of 24 nodes with loops at 3 and 11; 20..23 are no training nodes and have no entries.
N, TRAIN = 24, 20
adjacency = np.zeros((N, N), dtype=bool)
pick = (numbers(TRAIN, TRAIN, seed=1) > 0.6)
adjacency[:TRAIN, :TRAIN] = np.triu(pick, 1)
adjacency |= adjacency.T
adjacency[3, 3] = adjacency[11, 11] = True
row, col = np.nonzero(adjacency)
out["source"], out["target"] = col.astype(np.int64), row.astype(np.int64)

# Twelve subgraphs; nodes 18 and 19 are in none of them.
subgraphs = [np.nonzero(numbers(18, seed=20 + s) > -0.1)[0] for s in range(12)]
out["subgraph.ptr"] = np.cumsum([0] + [len(s) for s in subgraphs]).astype(np.int64)
out["subgraph.nodes"] = np.concatenate(subgraphs).astype(np.int64)
count_node = np.zeros(N)
count_edge = np.zeros(len(row))
for nodes in subgraphs:
    inside = np.zeros(N, dtype=bool)
    inside[nodes] = True
    count_node[nodes] += 1
    for e in range(len(row)):
        count_edge[e] += inside[row[e]] and inside[col[e]]
out["count.node"], out["count.edge"] = count_node, count_edge
agg = np.zeros(len(row))
for e in range(len(row)):  # norm_aggr: numerator is the row's count, clipped at 1e4; 0 / 0 becomes 0.1
    if count_edge[e] > 0:
        agg[e] = min(count_node[row[e]] / count_edge[e], 1e4)
    else:
        agg[e] = 1e4 if count_node[row[e]] > 0 else 0.1
out["agg"] = agg
degree = adjacency.sum(1)
out["coefficient"] = agg / degree[row]
seen = np.where(count_node == 0, 0.1, count_node)
loss = len(subgraphs) / seen / TRAIN
loss[TRAIN:] = 0
out["loss_weight"] = loss

# The network on the whole graph: S = D^-1 A, whose entries are stored as floats.
S = torch.tensor((adjacency / np.maximum(degree, 1)[:, None]).astype(np.float32).astype(np.float64))
F_IN, HIDDEN, CLASSES, ARCH = 5, 4, 3, [2, 1, 0]
x = torch.tensor(numbers(N, F_IN, seed=50), requires_grad=True)
out["net.x"] = x.detach().numpy().copy()
parameters = {}


def parameter(name, *shape):
    p = torch.tensor(numbers(*shape, seed=60 + len(parameters)), requires_grad=True)
    parameters[name] = p
    out["net." + name] = p.detach().numpy().copy().reshape(-1, shape[-1])
    return p


h = x
for layer, order in enumerate(ARCH):
    hops = [h]
    for _ in range(order):
        hops.append(S @ hops[-1])
    parts = []
    for k, hop in enumerate(hops):
        name = f"convs.{layer}."
        z = torch.relu(hop @ parameter(f"{name}lins.{k}.weight", h.shape[1], HIDDEN) +
                       parameter(f"{name}lins.{k}.bias", HIDDEN))
        mean = z.mean(dim=1, keepdim=True)
        var = z.var(dim=1, unbiased=False, keepdim=True) + 1e-9
        parts.append((z - mean) * parameter(f"{name}norms.{k}.weight", HIDDEN) * torch.rsqrt(var) +
                     parameter(f"{name}norms.{k}.bias", HIDDEN))
    h = torch.cat(parts, dim=1)
h = torch.nn.functional.normalize(h, p=2, dim=1)
y = h @ parameter("classifier.weight", h.shape[1], CLASSES) + parameter("classifier.bias", CLASSES)
cotangent = torch.tensor(numbers(N, CLASSES, seed=51))
(y * cotangent).sum().backward()
out["net.y"] = y.detach().numpy()
out["net.g"] = cotangent.numpy()
out["net.x.grad"] = x.grad.numpy()
for name, p in parameters.items():
    out[f"net.{name}.grad"] = p.grad.numpy().reshape(out["net." + name].shape)

for name, array in list(out.items()):
    if array.ndim == 1 and array.dtype == np.float64:
        out[name] = array.reshape(1, -1)
np.savez(sys.argv[1], **out)
