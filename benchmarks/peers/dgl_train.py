#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""DGL on a graph that `convert --to graphsaint` wrote: the network, batches and settings of our programs.

Parts come from a file; a batch of them is dgl.node_subgraph, neighbours and walks come from DGL's own DataLoader.
"""
import time

import dgl
import numpy as np
import torch
import torch.nn.functional as F
from dgl.nn import GraphConv, SAGEConv

import peer_common


class Net(torch.nn.Module):
    """Convolutions with ReLU and dropout between them, on one graph or a list of blocks."""

    def __init__(self, conv, sizes, dropout):
        super().__init__()
        self.convs = torch.nn.ModuleList([conv(a, b) for a, b in zip(sizes, sizes[1:])])
        self.dropout = dropout

    def forward(self, graphs, x):
        for i, conv in enumerate(self.convs):
            x = conv(graphs[i] if isinstance(graphs, list) else graphs, x)
            if i + 1 < len(self.convs):
                x = F.dropout(F.relu(x), self.dropout, self.training)
        return x


def main():
    options = peer_common.parse(__doc__)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started = time.perf_counter()
    data = peer_common.Graph(options.data)
    x, y = torch.from_numpy(data.features), torch.from_numpy(data.labels)
    train = torch.zeros(data.nodes, dtype=torch.bool)
    train[data.train] = True
    graph = dgl.graph((torch.from_numpy(data.indices), torch.from_numpy(data.rows())), num_nodes=data.nodes)
    seconds = {"load": time.perf_counter() - started}
    neighbor = options.method == "neighbor"
    sgc = options.method == "sgc"
    if not neighbor:
        graph = dgl.add_self_loop(graph)
    sizes = [x.shape[1]] + [options.hidden] * (options.layers - 1) + [data.classes]
    conv = (lambda a, b: SAGEConv(a, b, "mean")) if neighbor else (lambda a, b: GraphConv(a, b, allow_zero_in_degree=True))
    model = torch.nn.Linear(x.shape[1], data.classes) if sgc else Net(conv, sizes, options.dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    loss_of = F.binary_cross_entropy_with_logits if data.multilabel else F.cross_entropy
    clock = peer_common.Clock()
    started = time.perf_counter()
    if sgc:
        hop = dgl.nn.GraphConv(x.shape[1], x.shape[1], weight=False, bias=False)
        with torch.no_grad():
            for _ in range(options.layers):
                x = hop(graph, x)
    if options.method == "cluster":
        part = np.loadtxt(options.parts_file, dtype=np.int64)
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange(part.max() + 2))
        members = [torch.from_numpy(order[a:b]) for a, b in zip(bounds, bounds[1:])]
    if neighbor:
        sampler = dgl.dataloading.NeighborSampler(list(reversed(options.fanouts)))
        loader = dgl.dataloading.DataLoader(graph, torch.from_numpy(data.train), sampler, batch_size=options.batch_size,
                                            shuffle=True, drop_last=False)
    if options.method == "saint":
        sampler = dgl.dataloading.SAINTSampler(mode="walk", budget=(options.roots, options.walk_length))
        loader = dgl.dataloading.DataLoader(graph, torch.arange(peer_common.saint_steps(data, options)), sampler,
                                            batch_size=1, shuffle=False)
    seconds["precompute"] = time.perf_counter() - started

    def step(logits, target):
        loss = loss_of(logits.float(), target)
        loss.backward()
        optimizer.step()

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16")

    model.train()
    for _ in range(options.epochs):
        with clock:
            if options.method in ("full", "sgc"):
                optimizer.zero_grad()
                with autocast():
                    logits = model(x[train]) if sgc else model(graph, x)[train]
                step(logits, y[train])
            elif neighbor:
                for inputs, seeds, blocks in loader:
                    optimizer.zero_grad()
                    with autocast():
                        logits = model(blocks, x[inputs])
                    step(logits, y[seeds])
            elif options.method == "saint":
                for subgraph in loader:
                    nodes = subgraph.ndata[dgl.NID]
                    mask = train[nodes]
                    if not mask.any():
                        continue
                    optimizer.zero_grad()
                    with autocast():
                        logits = model(subgraph, x[nodes])[mask]
                    step(logits, y[nodes][mask])
            else:
                shuffled = torch.randperm(len(members)).tolist()
                for first in range(0, len(shuffled), options.clusters_per_batch):
                    nodes = torch.cat([members[p] for p in shuffled[first:first + options.clusters_per_batch]])
                    mask = train[nodes]
                    if not mask.any():
                        continue
                    optimizer.zero_grad()
                    with autocast():
                        logits = model(dgl.node_subgraph(graph, nodes), x[nodes])[mask]
                    step(logits, y[nodes][mask])

    metric = None
    if options.method in ("full", "sgc") and not data.multilabel:
        model.eval()
        infer = peer_common.Clock()
        with torch.no_grad():
            for _ in range(4):
                with infer:
                    logits = model(x) if sgc else model(graph, x)
        seconds["infer"] = sorted(infer.epochs[1:])[1]
        metric = float((logits[data.test].argmax(1) == y[data.test]).float().mean())
    versions = f"torch {torch.__version__}, dgl {dgl.__version__}"
    peer_common.report(options, data, "dgl_train", versions, clock, metric, seconds)


if __name__ == "__main__":
    main()
