# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/nn.npz: layers, losses and optimisers as PyTorch Geometric computes them.

    python3 -m venv env && env/bin/pip install torch torch_geometric numpy
    env/bin/python tests/golden/make_nn_golden.py tests/data/golden/nn.npz

Everything is float64. Weights are stored [F_in, F_out], the transpose of PyTorch's. For each layer the arrays are
<case>.x, <case>.<parameter>, <case>.y, the cotangent <case>.g, and gradients <case>.x.grad, <case>.<parameter>.grad.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch_geometric.nn import ClusterGCNConv, GCNConv, SAGEConv

torch.set_default_dtype(torch.float64)
out = {}


def numbers(*shape, seed):
    """Small fixed numbers that need no generator: a hash of the position, in (-1, 1), no two alike."""
    count = int(np.prod(shape))
    k = (np.arange(count, dtype=np.uint64) + np.uint64(seed * 7919 + 1)) * np.uint64(0x9E3779B97F4A7C15)
    k ^= k >> np.uint64(29)
    k *= np.uint64(0xBF58476D1CE4E5B9)
    k ^= k >> np.uint64(32)
    return torch.tensor(((k >> np.uint64(40)).astype(np.float64) / 2**23 - 1).reshape(shape))


def put(name, tensor, transpose=False):
    array = np.asarray(tensor.detach() if isinstance(tensor, torch.Tensor) else tensor)
    if array.ndim <= 1 and array.dtype == np.float64:
        array = array.reshape(1, -1)
    out[name] = np.ascontiguousarray(array.T if transpose else array)


# A directed graph of 7 nodes: a hub (0), a node with a loop (3), no in-neighbours (5), nothing at all (6).
SOURCE = [1, 2, 3, 4, 5, 0, 2, 0, 3, 1, 0, 2]
TARGET = [0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 4, 4]
edge_index = torch.tensor([SOURCE, TARGET])
N, F_IN, F_OUT = 7, 5, 3
put("graph.source", np.array(SOURCE, dtype=np.int64))
put("graph.target", np.array(TARGET, dtype=np.int64))


def layer(case, module, weights, biases, *args):
    """Runs `module`; `weights` and `biases` map our parameter names to the module's."""
    named = dict(module.named_parameters())
    assert set(named) == set(weights.values()) | set(biases.values()), (case, sorted(named))
    with torch.no_grad():
        for k, name in enumerate(sorted(named)):
            named[name].copy_(numbers(*named[name].shape, seed=10 + k))
    x = numbers(N, F_IN, seed=1).requires_grad_()
    y = module(x, *args)
    g = numbers(*y.shape, seed=2)
    (y * g).sum().backward()
    put(f"{case}.x", x), put(f"{case}.y", y), put(f"{case}.g", g), put(f"{case}.x.grad", x.grad)
    for ours, theirs in weights.items():
        put(f"{case}.{ours}", named[theirs], transpose=True)
        put(f"{case}.{ours}.grad", named[theirs].grad, transpose=True)
    for ours, theirs in biases.items():
        put(f"{case}.{ours}", named[theirs])
        put(f"{case}.{ours}.grad", named[theirs].grad)


layer("gcn", GCNConv(F_IN, F_OUT), {"lin.weight": "lin.weight"}, {"bias": "bias"}, edge_index)
layer("gcn_wide", GCNConv(F_IN, 2 * F_IN), {"lin.weight": "lin.weight"}, {"bias": "bias"}, edge_index)
sage = {"lin_l.weight": "lin_l.weight", "lin_r.weight": "lin_r.weight"}
layer("sage", SAGEConv(F_IN, F_OUT), sage, {"lin_l.bias": "lin_l.bias"}, edge_index)
layer("sage_wide", SAGEConv(F_IN, 2 * F_IN), sage, {"lin_l.bias": "lin_l.bias"}, edge_index)
layer("sage_normalize", SAGEConv(F_IN, F_OUT, normalize=True), sage, {"lin_l.bias": "lin_l.bias"}, edge_index)
# PyG's ClusterGCNConv has one weight for neighbours (lin_out) and one for the node itself (lin_root), and
# enhances the diagonal of the row-normalised matrix by diag_lambda: our [A_hat H | H] W with W stacked.
layer("cluster", ClusterGCNConv(F_IN, F_OUT, diag_lambda=0.5, bias=False),
      {"lin_out.weight": "lin_out.weight", "lin_root.weight": "lin_root.weight"}, {}, edge_index)
layer("layer_norm", torch.nn.LayerNorm(F_IN, eps=1e-5), {}, {"weight": "weight", "bias": "bias"})


def loss(case, function, z):
    z.requires_grad_()
    value = function(z)
    value.backward()
    put(f"{case}.z", z), put(f"{case}.value", value.reshape(1, 1)), put(f"{case}.z.grad", z.grad)


labels = np.array([2, 0, -1, 1, 3, -1, 3], dtype=np.int64)
put("labels", labels)
y = torch.tensor(labels)
row_weight = numbers(N, seed=5).abs() + 0.1
put("row_weight", row_weight)
bits = (numbers(N, 4, seed=6) > 0).double()
put("indicators", bits)
loss("ce", lambda z: F.cross_entropy(z, y, ignore_index=-1), 4 * numbers(N, 4, seed=4))
loss("ce_smooth", lambda z: F.cross_entropy(z, y, ignore_index=-1, label_smoothing=0.1), 4 * numbers(N, 4, seed=4))
loss("ce_weighted", lambda z: (F.cross_entropy(z, y, ignore_index=-1, reduction="none") * row_weight).sum()
     / row_weight[y >= 0].sum(), 4 * numbers(N, 4, seed=4))
loss("bce", lambda z: F.binary_cross_entropy_with_logits(z, bits), 4 * numbers(N, 4, seed=7))
loss("bce_pos", lambda z: F.binary_cross_entropy_with_logits(z, bits, pos_weight=torch.full((4,), 2.5)),
     4 * numbers(N, 4, seed=7))

# Ten steps of each optimiser on a fixed sequence of gradients: row k of <case>.theta is the parameter after step k.
STEPS, SIZE = 10, 6
gradients = numbers(STEPS, SIZE, seed=8)
put("optim.grad", gradients)
put("optim.start", numbers(SIZE, seed=9))
for case, make in {
        "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.01),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
}.items():
    theta = torch.nn.Parameter(numbers(SIZE, seed=9))
    optimizer = make([theta])
    rows = []
    for k in range(STEPS):
        theta.grad = gradients[k].clone()
        optimizer.step()
        rows.append(theta.detach().clone())
    put(f"optim.{case}.theta", torch.stack(rows))

np.savez(sys.argv[1], **out)
