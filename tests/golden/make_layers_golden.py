# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/layers.npz: attention, EGC, GIN, PNA, SAGE and the several-hop layers as PyTorch Geometric computes them.

    python3 -m venv env && env/bin/pip install torch torch_geometric numpy
    env/bin/python tests/golden/make_layers_golden.py tests/data/golden/layers.npz

Everything is float64. Weights are stored [F_in, F_out], the transpose of PyTorch's; vectors as one row. For each case the
arrays are <case>.x, <case>.<parameter>, <case>.y, the cotangent <case>.g, and gradients <case>.x.grad,
<case>.<parameter>.grad, parameters under our names.
"""

import sys

import numpy as np
import torch
from torch.nn import BatchNorm1d, Linear, ReLU, Sequential
from torch_geometric.nn import (APPNP, ChebConv, EGConv, GATConv, GATv2Conv, GCN2Conv, GINConv, PNAConv, SAGEConv, SGConv,
                                TAGConv)
from torch_geometric.nn.aggr import Aggregation, VarAggregation

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


# A directed graph of 7 nodes: a hub (0), a node with a loop (3), no in-neighbours (5), nothing at all (6).
SOURCE = [1, 2, 3, 4, 5, 0, 2, 0, 3, 1, 0, 2]
TARGET = [0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 4, 4]
edge_index = torch.tensor([SOURCE, TARGET])
# PyTorch Geometric takes the number of nodes from the largest id when it adds loops: give them to it.
with_loops = torch.tensor([SOURCE + [0, 1, 2, 4, 5, 6], TARGET + [0, 1, 2, 4, 5, 6]])
N, F_IN = 7, 5
out["graph.source"] = np.array(SOURCE, dtype=np.int64)
out["graph.target"] = np.array(TARGET, dtype=np.int64)


def store(name, tensor, matrix):
    array = np.asarray(tensor.detach())
    out[name] = np.ascontiguousarray(array.T) if matrix else array.reshape(1, -1)


def case(name, module, names, run, width=F_IN):
    """Runs `run(module, x)`; `names` maps our parameter names to the module's."""
    named = dict(module.named_parameters())
    assert set(named) == set(names.values()), (name, sorted(named))
    with torch.no_grad():
        for k, p in enumerate(sorted(named)):
            named[p].copy_(numbers(*named[p].shape, seed=10 + k))
    x = numbers(N, width, seed=1).requires_grad_()
    y = run(module, x)
    g = numbers(*y.shape, seed=2)
    (y * g).sum().backward()
    out[f"{name}.x"], out[f"{name}.y"] = x.detach().numpy(), y.detach().numpy()
    out[f"{name}.g"], out[f"{name}.x.grad"] = g.numpy(), x.grad.numpy()
    for ours, theirs in names.items():
        matrix = named[theirs].ndim == 2
        if isinstance(module, GCN2Conv):  # stores [F_in, F_out] already
            out[f"{name}.{ours}"] = named[theirs].detach().numpy()
            out[f"{name}.{ours}.grad"] = named[theirs].grad.numpy()
            continue
        store(f"{name}.{ours}", named[theirs], matrix)
        store(f"{name}.{ours}.grad", named[theirs].grad, matrix)


gat = {"lin.weight": "lin.weight", "att_src": "att_src", "att_dst": "att_dst", "bias": "bias"}
case("gat", GATConv(F_IN, 3, heads=2), gat, lambda m, x: m(x, edge_index))
case("gat_mean", GATConv(F_IN, 4, heads=3, concat=False), gat, lambda m, x: m(x, edge_index))

gatv2 = {"lin_l.weight": "lin_l.weight", "lin_l.bias": "lin_l.bias", "lin_r.weight": "lin_r.weight",
         "lin_r.bias": "lin_r.bias", "att": "att", "bias": "bias"}
case("gatv2", GATv2Conv(F_IN, 3, heads=2), gatv2, lambda m, x: m(x, edge_index))
case("gatv2_mean", GATv2Conv(F_IN, 4, heads=3, concat=False), gatv2, lambda m, x: m(x, edge_index))

egc = {"bases.weight": "bases_lin.weight", "comb.weight": "comb_lin.weight", "comb.bias": "comb_lin.bias", "bias": "bias"}
case("egc_s", EGConv(F_IN, 6, num_heads=2, num_bases=3), egc, lambda m, x: m(x, with_loops))
case("egc_m", EGConv(F_IN, 6, aggregators=["symnorm", "max", "mean"], num_heads=2, num_bases=3), egc,
     lambda m, x: m(x, with_loops))
case("egc_other", EGConv(F_IN, 6, aggregators=["sum", "var", "min"], num_heads=3, num_bases=2), egc,
     lambda m, x: m(x, with_loops))

mlp = Sequential(Linear(F_IN, 4), BatchNorm1d(4), ReLU(), Linear(4, 4))
case("gin", GINConv(mlp, train_eps=True),
     {"nn.0.weight": "nn.0.weight", "nn.0.bias": "nn.0.bias", "nn.norm.weight": "nn.1.weight",
      "nn.norm.bias": "nn.1.bias", "nn.1.weight": "nn.3.weight", "nn.1.bias": "nn.3.bias", "eps": "eps"},
     lambda m, x: m(x, edge_index))

case("appnp", APPNP(K=3, alpha=0.2), {}, lambda m, x: m(x, edge_index))
case("gcn2", GCN2Conv(F_IN, alpha=0.1, theta=0.5, layer=2), {"weight1": "weight1"},
     lambda m, x: m(x.clone(), x, edge_index))
case("gcn2_star", GCN2Conv(F_IN, alpha=0.1, theta=0.5, layer=2, shared_weights=False),
     {"weight1": "weight1", "weight2": "weight2"}, lambda m, x: m(x.clone(), x, edge_index))

case("sage_pool", SAGEConv(F_IN, 4, aggr="max", project=True),
     {"lin_l.weight": "lin_l.weight", "lin_l.bias": "lin_l.bias", "lin_r.weight": "lin_r.weight",
      "lin.weight": "lin.weight", "lin.bias": "lin.bias"}, lambda m, x: m(x, edge_index))
case("sage_gcn", SAGEConv(F_IN, 4, root_weight=False), {"lin_l.weight": "lin_l.weight", "lin_l.bias": "lin_l.bias"},
     lambda m, x: m(x, with_loops))
case("sgconv", SGConv(F_IN, 3, K=2), {"convs.0.lins.0.weight": "lin.weight", "convs.0.bias": "lin.bias"},
     lambda m, x: m(x, edge_index))
case("tag", TAGConv(F_IN, 3, K=2),
     {**{f"convs.0.lins.{k}.weight": f"lins.{k}.weight" for k in range(3)}, "convs.0.bias": "bias"},
     lambda m, x: m(x, edge_index))
# ChebConv drops loops and counts out-degrees: give it the undirected graph without loops.
no_loop = edge_index[:, edge_index[0] != edge_index[1]]
undirected = torch.unique(torch.cat([no_loop, no_loop.flip(0)], dim=1), dim=1)
case("cheb", ChebConv(F_IN, 3, K=3),
     {**{f"convs.0.lins.{k}.weight": f"lins.{k}.weight" for k in range(3)}, "convs.0.bias": "bias"},
     lambda m, x: m(x, undirected, lambda_max=2.0))



class Deviation(Aggregation):
    """sqrt(variance + 1e-5): the paper's; PyTorch Geometric's own has no gradient where all messages are equal."""

    def __init__(self):
        super().__init__()
        self.var = VarAggregation()

    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):
        return torch.sqrt(self.var(x, index, ptr, dim_size, dim) + 1e-5)


def pna(name, towers, width):
    """PNA keeps a map of [x_i | x_j] per tower; ours are its halves, all towers side by side."""
    degrees = torch.bincount(torch.tensor(TARGET), minlength=N)
    module = PNAConv(F_IN, width, ["mean", "min", "max", Deviation()], ["identity", "amplification", "attenuation"],
                     torch.bincount(degrees), towers=towers)
    named = dict(module.named_parameters())
    with torch.no_grad():
        for k, p in enumerate(sorted(named)):
            named[p].copy_(numbers(*named[p].shape, seed=10 + k))
    x = numbers(N, F_IN, seed=1).requires_grad_()
    y = module(x, edge_index)
    g = numbers(*y.shape, seed=2)
    (y * g).sum().backward()
    out[f"{name}.x"], out[f"{name}.y"] = x.detach().numpy(), y.detach().numpy()
    out[f"{name}.g"], out[f"{name}.x.grad"] = g.numpy(), x.grad.numpy()
    for suffix, of in (("", lambda p: p.detach()), (".grad", lambda p: p.grad)):
        pre = [of(named[f"pre_nns.{t}.0.weight"]).T.numpy() for t in range(towers)]
        out[f"{name}.pre_dst.weight{suffix}"] = np.concatenate([w[:F_IN] for w in pre], axis=1)
        out[f"{name}.pre_src.weight{suffix}"] = np.concatenate([w[F_IN:] for w in pre], axis=1)
        out[f"{name}.post.weight{suffix}"] = np.concatenate(
            [of(named[f"post_nns.{t}.0.weight"]).T.numpy() for t in range(towers)])
        for ours, theirs in (("pre", "pre_nns"), ("post", "post_nns")):
            out[f"{name}.{ours}.bias{suffix}"] = np.concatenate(
                [of(named[f"{theirs}.{t}.0.bias"]).numpy() for t in range(towers)]).reshape(1, -1)
        out[f"{name}.lin.weight{suffix}"] = np.ascontiguousarray(of(named["lin.weight"]).T.numpy())
        out[f"{name}.lin.bias{suffix}"] = of(named["lin.bias"]).numpy().reshape(1, -1)


pna("pna", 1, 4)
pna("pna_towers", 2, 6)

np.savez(sys.argv[1], **{name: np.ascontiguousarray(array) for name, array in out.items()})
