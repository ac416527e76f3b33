# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/precompute.npz: propagation, label propagation and Correct & Smooth by PyTorch Geometric.

    python make_precompute_golden.py ../data/golden/precompute.npz
"""
import sys

import numpy as np
import torch
from torch_geometric.nn import CorrectAndSmooth, LabelPropagation
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import to_dense_adj, to_undirected

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(5)
n, classes, width = 60, 4, 5
pairs = rng.integers(0, n - 4, size=(110, 2))  # the last four nodes stay isolated
pairs = pairs[pairs[:, 0] != pairs[:, 1]]
edge_index = to_undirected(torch.from_numpy(pairs.T.copy()), num_nodes=n)
x = torch.from_numpy(rng.standard_normal((n, width)).astype(np.float32)).double()
y = torch.from_numpy(rng.integers(0, classes, n))
train = torch.zeros(n, dtype=torch.bool)
train[torch.from_numpy(rng.permutation(n)[:25].copy())] = True


def power(weights, index, k):
    a = to_dense_adj(index, edge_attr=weights, max_num_nodes=n)[0].T
    out = x
    for _ in range(k):
        out = a @ out
    return out


def sym():  # torch_geometric.transforms.SIGN
    deg = torch.bincount(edge_index[1], minlength=n).double()
    scale = deg.pow(-0.5)
    scale[scale == float("inf")] = 0
    return scale[edge_index[0]] * scale[edge_index[1]]


gcn_index, gcn_weight = gcn_norm(edge_index, None, n, add_self_loops=True, dtype=torch.float64)
ones = torch.ones(edge_index.size(1))  # without weights gcn_norm forgets that improved loops weigh 2
improved_index, improved_weight = gcn_norm(edge_index, ones, n, improved=True, add_self_loops=True)
out = {
    "source": edge_index[0].numpy().astype(np.int32),
    "target": edge_index[1].numpy().astype(np.int32),
    "x": x.numpy().astype(np.float32),
    "y": y.numpy().astype(np.int32),
    "train": torch.nonzero(train).flatten().numpy().astype(np.int32),
    "gcn_2": power(gcn_weight, gcn_index, 2).numpy(),
    "improved_2": power(improved_weight, improved_index, 2).numpy(),
    "symmetric_3": power(sym(), edge_index, 3).numpy(),
}
# LabelPropagation normalises by gcn_norm without loops and clips to [0, 1].
out["label_propagation"] = LabelPropagation(num_layers=30, alpha=0.9)(y, edge_index, train).numpy()
logits = torch.from_numpy(rng.standard_normal((n, classes)))
soft = logits.softmax(-1)
out["soft"] = soft.numpy()
for name, autoscale, alpha, scale in (("auto", True, 0.87, 1.0), ("fixed", False, 1.0, 1.5)):
    post = CorrectAndSmooth(50, alpha, 50, 0.81, autoscale=autoscale, scale=scale)
    corrected = post.correct(soft, y[train], train, edge_index)
    out["corrected_" + name] = corrected.numpy()
    out["smoothed_" + name] = post.smooth(corrected, y[train], train, edge_index).numpy()
np.savez(sys.argv[1], **out)
