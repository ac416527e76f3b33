# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/edge_layers.npz: layers with edge features, jumping by LSTM and the attention read-out as PyTorch
Geometric computes them.

    python3 -m venv env && env/bin/pip install torch torch_geometric numpy
    env/bin/python tests/golden/make_edge_layers_golden.py tests/data/golden/edge_layers.npz

As make_layers_golden.py: float64, weights [F_in, F_out], <case>.x, <case>.<parameter>, <case>.y, the cotangent <case>.g and
gradients. `edge_attr` [L, 3] belongs to the links in the order of graph.source.
"""

import sys

import numpy as np
import torch
from torch.nn import Linear, ReLU, Sequential
from torch_geometric.nn import GENConv, GINEConv, JumpingKnowledge, ResGatedGraphConv
from torch_geometric.nn.aggr import AttentionalAggregation

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


SOURCE = [1, 2, 3, 4, 5, 0, 2, 0, 3, 1, 0, 2]
TARGET = [0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 4, 4]
edge_index = torch.tensor([SOURCE, TARGET])
N, F_IN, D = 7, 5, 3
edge_attr = numbers(len(SOURCE), D, seed=3)
out["graph.source"] = np.array(SOURCE, dtype=np.int64)
out["graph.target"] = np.array(TARGET, dtype=np.int64)
out["edge_attr"] = edge_attr.numpy()


def put(name, array):
    array = np.asarray(array)
    out[name] = np.ascontiguousarray(array.reshape(1, -1) if array.ndim < 2 else array)


def case(name, module, stored, run, width=F_IN):
    """Runs run(module, x); stored(parameters, gradients) lists (our name, value, gradient) in our layout."""
    named = dict(module.named_parameters())
    with torch.no_grad():
        for k, p in enumerate(sorted(named)):
            named[p].copy_(numbers(*named[p].shape, seed=10 + k))
            if p.endswith(("aggr_module.t", "aggr_module.p", "msg_norm.scale")):
                named[p].fill_(1.5)
    x = numbers(N, width, seed=1).requires_grad_()
    y = run(module, x)
    g = numbers(*y.shape, seed=2)
    (y * g).sum().backward()
    put(f"{name}.x", x.detach().numpy())
    put(f"{name}.y", y.detach().numpy())
    put(f"{name}.g", g.numpy())
    put(f"{name}.x.grad", x.grad.numpy())
    values = {p: v.detach().numpy() for p, v in named.items()}
    grads = {p: v.grad.numpy() for p, v in named.items()}
    for ours, value, grad in stored(values, grads):
        put(f"{name}.{ours}", value)
        put(f"{name}.{ours}.grad", grad)


def same(names):
    """Parameters that differ in nothing but the transpose of matrices."""
    def stored(values, grads):
        assert set(values) == set(names.values()), sorted(values)
        turn = lambda m: m.T if m.ndim == 2 else m
        return [(ours, turn(values[theirs]), turn(grads[theirs])) for ours, theirs in names.items()]
    return stored


mlp = Sequential(Linear(F_IN, 4), ReLU(), Linear(4, 4))
case("gine", GINEConv(mlp, train_eps=True, edge_dim=D),
     same({"lin.weight": "lin.weight", "lin.bias": "lin.bias", "nn.0.weight": "nn.0.weight", "nn.0.bias": "nn.0.bias",
           "nn.1.weight": "nn.2.weight", "nn.1.bias": "nn.2.bias", "eps": "eps"}),
     lambda m, x: m(x, edge_index, edge_attr))


def gated(values, grads):
    """Their maps read [x | edge]; the two of the gate's edges are one of ours."""
    part = {"lin_key": "key", "lin_query": "query", "lin_value": "value"}
    rows = []
    for name in part:
        rows.append((f"{name}.weight", values[f"{name}.weight"][:, :F_IN].T, grads[f"{name}.weight"][:, :F_IN].T))
        rows.append((f"{name}.bias", values[f"{name}.bias"], grads[f"{name}.bias"]))
    rows.append(("lin_skip.weight", values["lin_skip.weight"].T, grads["lin_skip.weight"].T))
    rows.append(("bias", values["bias"], grads["bias"]))
    if values["lin_key.weight"].shape[1] > F_IN:
        edge = lambda m, name: m[f"{name}.weight"][:, F_IN:].T
        assert np.allclose(edge(grads, "lin_key"), edge(grads, "lin_query"))
        rows.append(("lin_edge.weight", edge(values, "lin_key") + edge(values, "lin_query"), edge(grads, "lin_key")))
        rows.append(("lin_edge_value.weight", edge(values, "lin_value"), edge(grads, "lin_value")))
    return rows


case("gated", ResGatedGraphConv(F_IN, 4), gated, lambda m, x: m(x, edge_index))
case("gated_edges", ResGatedGraphConv(F_IN, 4, edge_dim=D), gated, lambda m, x: m(x, edge_index, edge_attr))

gen = {"mlp.0.weight": "mlp.0.weight", "mlp.norm.weight": "mlp.1.weight", "mlp.norm.bias": "mlp.1.bias",
       "mlp.1.weight": "mlp.4.weight"}
case("gen_softmax", GENConv(F_IN, F_IN, aggr="softmax", t=1.5, learn_t=True, norm="layer"),
     same({**gen, "t": "aggr_module.t"}), lambda m, x: m(x, edge_index))
# The authors' range of powers; PyTorch Geometric's own is [1e-4, 100] and gives nodes without neighbours 1e-4.
power = {"p": 1.5, "learn": True, "clamp_min": None, "clamp_max": 10.0}
case("gen_power", GENConv(F_IN, F_IN, aggr="powermean", norm="layer", aggr_kwargs=power),
     same({**gen, "t": "aggr_module.p"}), lambda m, x: m(x, edge_index))
case("gen_edges", GENConv(F_IN, F_IN, aggr="softmax", t=0.7, msg_norm=True, learn_msg_scale=True, norm="layer", edge_dim=D),
     same({**gen, "lin_edge.weight": "lin_edge.weight", "msg_norm.scale": "msg_norm.scale"}),
     lambda m, x: m(x, edge_index, edge_attr))
case("gen_map", GENConv(F_IN, 4, aggr="softmax", t=0.7, norm="layer", edge_dim=D),
     same({**gen, "lin_src.weight": "lin_src.weight", "lin_edge.weight": "lin_edge.weight",
           "lin_dst.weight": "lin_dst.weight"}),
     lambda m, x: m(x, edge_index, edge_attr))


def jump(values, grads):
    """PyTorch stores [4 H, F] and two biases of one effect."""
    rows = [("jump.att.weight", values["att.weight"].T, grads["att.weight"].T), ("jump.att.bias", values["att.bias"], grads["att.bias"])]
    for ours, end in (("forward", ""), ("backward", "_reverse")):
        rows.append((f"jump.lstm.{ours}.w_x", values[f"lstm.weight_ih_l0{end}"].T, grads[f"lstm.weight_ih_l0{end}"].T))
        rows.append((f"jump.lstm.{ours}.w_h", values[f"lstm.weight_hh_l0{end}"].T, grads[f"lstm.weight_hh_l0{end}"].T))
        rows.append((f"jump.lstm.{ours}.bias", values[f"lstm.bias_ih_l0{end}"] + values[f"lstm.bias_hh_l0{end}"],
                     grads[f"lstm.bias_ih_l0{end}"]))
    return rows


case("jump", JumpingKnowledge("lstm", channels=4, num_layers=3), jump, lambda m, x: m([x[:, 0:4], x[:, 4:8], x[:, 8:12]]),
     width=12)

batch = torch.tensor([0, 0, 0, 1, 3, 3, 3])
out["batch.ptr"] = np.array([0, 3, 4, 4, 7], dtype=np.int64)
case("attend", AttentionalAggregation(Linear(F_IN, 1)), same({"weight": "gate_nn.weight", "bias": "gate_nn.bias"}),
     lambda m, x: m(x, batch, dim_size=4))

np.savez(sys.argv[1], **out)
