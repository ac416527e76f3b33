#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sparse x dense of PyTorch Geometric or DGL for bench_spmm --peers, which writes the graph and sends lines: `run` computes
y = A x once, `sum` answers with the sum of y, the end of input ends.

DGL's product with a weight per entry leaves its fast kernel, so that `dgl` is the sum without weights, which its GraphConv
takes, and `dgl-weighted` the same product as ours. x[i, j] = ((31 i + 17 j) mod 64) / 64 on both sides, so that nothing but the graph travels through files.
"""
import argparse
import pathlib
import sys

import numpy as np
import torch


def features(rows, cols):
    i = (torch.arange(rows, dtype=torch.int64) * 31 % 64).to(torch.uint8)
    j = (torch.arange(cols, dtype=torch.int64) * 17 % 64).to(torch.uint8)
    return ((i[:, None] + j[None, :]) % 64).to(torch.float32) / 64


def pyg_product(indptr, indices, weight, x):
    """torch.sparse in CSR, which PyG documents as its fastest aggregation on a CPU; 32-bit ids spare MKL a conversion."""
    import torch_geometric
    from torch_geometric.utils import spmm

    a = torch.sparse_csr_tensor(indptr.to(torch.int32), indices, weight, (len(indptr) - 1, x.shape[0]))
    return f"PyG {torch_geometric.__version__}", lambda: spmm(a, x)


def dgl_product(indptr, indices, weight, x):
    """Without weights: `weight` is None."""
    import dgl

    graph = dgl.graph(("csc", (indptr.to(torch.int32), indices, torch.empty(0, dtype=torch.int32))),
                      num_nodes=x.shape[0], idtype=torch.int32)
    graph = graph.formats(["csc"])
    if weight is None:
        return f"DGL {dgl.__version__} unweighted", lambda: dgl.ops.copy_u_sum(graph, x)
    return f"DGL {dgl.__version__}", lambda: dgl.ops.u_mul_e_sum(graph, x, weight)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=["pyg", "dgl", "dgl-weighted"])
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--features", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    torch.set_num_threads(options.threads)

    def load(name, dtype):
        return torch.from_numpy(np.fromfile(options.folder / name, dtype=dtype))

    indptr = load("indptr.bin", np.int64)
    x = features(len(indptr) - 1, options.features)
    make = pyg_product if options.peer == "pyg" else dgl_product
    weight = None if options.peer == "dgl" else load("weight.bin", np.float32)
    y = None
    with torch.no_grad():
        name, product = make(indptr, load("indices.bin", np.int32), weight, x)
        print(name, file=answers, flush=True)
        for line in sys.stdin:
            if line.strip() == "run":
                y = product()
                print("done", file=answers, flush=True)
            else:
                print(float(y.sum(dtype=torch.float64)), file=answers, flush=True)


if __name__ == "__main__":
    main()
