#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch Geometric on a graph that `convert --to graphsaint` wrote: the network, batches and settings of our programs.

Adjacencies of whole graphs are torch.sparse CSR matrices, normalised once; batches come from its own ClusterLoader,
NeighborLoader and GraphSAINTRandomWalkSampler. The last two need pyg-lib or torch-sparse. Each method has the documented
settings that were fastest on four threads: batches of clusters and neighbours as SparseTensor where torch-sparse is there
(GraphSAINT's are slower so), neighbours trimmed layer by layer and drawn by two workers (workers slow the other loaders).
"""
import time

import numpy as np
import torch
import torch.nn.functional as F
import torch_geometric
from torch_geometric.data import Data
from torch_geometric.loader import ClusterData, ClusterLoader, GraphSAINTRandomWalkSampler, NeighborLoader
from torch_geometric.nn import GCNConv, SAGEConv
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor
from torch_geometric.utils import trim_to_layer

import peer_common


class Net(torch.nn.Module):
    """Convolutions with ReLU and dropout between them; with `hops`, a layer leaves out what later ones do not read."""

    def __init__(self, conv, sizes, dropout):
        super().__init__()
        self.convs = torch.nn.ModuleList([conv(a, b) for a, b in zip(sizes, sizes[1:])])
        self.dropout = dropout

    def forward(self, x, edges, hops=None):
        for i, conv in enumerate(self.convs):
            if hops:
                x, edges, _ = trim_to_layer(i, *hops, x, edges)
            x = conv(x, edges)
            if i + 1 < len(self.convs):
                x = F.dropout(F.relu(x), self.dropout, self.training)
        return x


class GivenParts(ClusterData):
    """ClusterData of parts made elsewhere: METIS is neither timed nor needed."""

    def __init__(self, data, parts):
        self.parts = parts
        super().__init__(data, num_parts=int(parts.max()) + 1, log=False)

    def _metis(self, edge_index, num_nodes):
        return self.parts


def hops_of(batch, layers):
    """Nodes and edges of every hop of a batch of neighbours, which lie hop by hop (torch-sparse does not count them)."""
    source, target = batch.edge_index
    nodes, edges, first, seen = [batch.batch_size], [], 0, batch.batch_size
    for _ in range(layers):
        last = first + int((target[first:] < seen).sum())
        known = max(seen, int(source[first:last].max()) + 1) if last > first else seen
        nodes.append(known - seen)
        edges.append(last - first)
        first, seen = last, known
    return nodes, edges


def normalised_csr(graph):
    """D^-1/2 (A + I) D^-1/2 as torch.sparse CSR."""
    import scipy.sparse

    a = scipy.sparse.csr_matrix((np.ones(len(graph.indices), np.float32), graph.indices, graph.indptr),
                                shape=(graph.nodes, graph.nodes))
    a.setdiag(1)
    d = scipy.sparse.diags(1 / np.sqrt(np.asarray(a.sum(axis=1)).ravel()).astype(np.float32))
    a = (d @ a @ d).tocsr()
    return torch.sparse_csr_tensor(torch.from_numpy(a.indptr.astype(np.int64)), torch.from_numpy(a.indices.astype(np.int64)),
                                   torch.from_numpy(a.data.astype(np.float32)), a.shape)


def main():
    options = peer_common.parse(__doc__)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    started = time.perf_counter()
    graph = peer_common.Graph(options.data)
    x, y = torch.from_numpy(graph.features), torch.from_numpy(graph.labels)
    train = torch.zeros(graph.nodes, dtype=torch.bool)
    train[graph.train] = True
    seconds = {"load": time.perf_counter() - started}
    sizes = [x.shape[1]] + [options.hidden] * (options.layers - 1) + [graph.classes]
    loss_of = F.binary_cross_entropy_with_logits if graph.multilabel else F.cross_entropy
    sgc = options.method == "sgc"
    whole = options.method in ("full", "sgc")
    conv = SAGEConv if options.method == "neighbor" else (lambda a, b: GCNConv(a, b, normalize=not whole))
    model = torch.nn.Linear(x.shape[1], graph.classes) if sgc else Net(conv, sizes, options.dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    clock = peer_common.Clock()

    def step(logits, target):
        loss = loss_of(logits.float(), target)
        loss.backward()
        optimizer.step()
        return loss

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16")

    started = time.perf_counter()
    if whole:
        adjacency = normalised_csr(graph)
        seconds["adjacency"] = time.perf_counter() - started  # SciPy's time, not counted as PyG's
        started = time.perf_counter()
        if sgc:
            with torch.no_grad():
                for _ in range(options.layers):
                    x = adjacency @ x
            rows, targets = x[train], y[train]
    else:
        edges = torch.from_numpy(np.stack([graph.indices, graph.rows()]))
        data = Data(x=x, y=y, edge_index=edges, train_mask=train)
        if options.method == "cluster":
            parts = torch.from_numpy(np.loadtxt(options.parts_file, dtype=np.int64))
            loader = ClusterLoader(GivenParts(data, parts), batch_size=options.clusters_per_batch, shuffle=True)
        elif options.method == "saint":
            loader = GraphSAINTRandomWalkSampler(data, batch_size=options.roots, walk_length=options.walk_length,
                                                 num_steps=peer_common.saint_steps(graph, options), sample_coverage=0)
        else:
            loader = NeighborLoader(data, num_neighbors=options.fanouts, batch_size=options.batch_size, shuffle=True,
                                    input_nodes=train, num_workers=2)
    seconds["precompute"] = time.perf_counter() - started

    model.train()
    for _ in range(options.epochs):
        with clock:
            if whole:
                optimizer.zero_grad()
                with autocast():
                    logits = model(rows) if sgc else model(x, adjacency)
                step(logits if sgc else logits[train], targets if sgc else y[train])
                continue
            for batch in loader:
                optimizer.zero_grad()
                hops = hops_of(batch, options.layers) if options.method == "neighbor" else None
                batch_edges = batch.edge_index
                if WITH_TORCH_SPARSE and options.method != "saint":
                    batch_edges = SparseTensor(row=batch_edges[1], col=batch_edges[0], trust_data=True,
                                               sparse_sizes=(batch.num_nodes, batch.num_nodes))
                with autocast():
                    logits = model(batch.x, batch_edges, hops)
                if options.method == "neighbor":
                    step(logits[:batch.batch_size], batch.y[:batch.batch_size])
                elif batch.train_mask.any():
                    step(logits[batch.train_mask], batch.y[batch.train_mask])

    metric = None
    if whole and not graph.multilabel:
        model.eval()
        infer = peer_common.Clock()
        with torch.no_grad():
            for _ in range(4):
                with infer:
                    logits = model(x) if sgc else model(x, adjacency)
        seconds["infer"] = sorted(infer.epochs[1:])[1]
        metric = float((logits[graph.test].argmax(1) == y[graph.test]).float().mean())
    versions = f"torch {torch.__version__}, torch_geometric {torch_geometric.__version__}"
    peer_common.report(options, graph, "pyg_train", versions, clock, metric, seconds)


if __name__ == "__main__":
    main()
