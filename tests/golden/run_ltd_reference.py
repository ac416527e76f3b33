#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Learning to distil as its authors publish it, in PyTorch, for students GCN and SGC: what the published rates are worth.

    run_ltd_reference.py cora.npz logits.txt gcn 1.923e-4 2.6e-4 1 1 --seeds 12 0 1 2

cora.npz is gnn-benchmark's file, logits.txt a teacher of BUPT-GAMMA/LTD (outputs/cora/GCN/cascade_random_0_20). Prints
the teacher's accuracy on the authors' split and that of the student of the best validation accuracy, seed by seed.
Gradients run through both updates by autograd, attached features, 1e-6 inside and outside the logarithms.
"""
import argparse

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import nn


def load(path):
    z = np.load(path, allow_pickle=False)
    a = sp.csr_matrix((z["adj_data"], z["adj_indices"], z["adj_indptr"]), shape=z["adj_shape"])
    x = sp.csr_matrix((z["attr_data"], z["attr_indices"], z["attr_indptr"]), shape=z["attr_shape"])
    a = a.maximum(a.T).tolil()
    a.setdiag(0)
    a = a.tocsr()
    a.eliminate_zeros()
    a.data[:] = 1
    component = sp.csgraph.connected_components(a)[1]
    keep = np.where(component == np.bincount(component).argmax())[0]
    x = x[keep]
    x.data[:] = 1
    return a[keep][:, keep].tocsr(), np.asarray(x.todense(), dtype="f4"), z["labels"][keep]


def split(y, classes):
    random, used, parts = np.random.RandomState(0), set(), []
    for size in (20, 20, 10):
        part = [random.choice([i for i in range(len(y)) if y[i] == c and i not in used], size, replace=False)
                for c in range(classes)]
        parts.append(torch.tensor(np.concatenate(part)))
        used |= set(np.concatenate(part))
    return parts + [torch.tensor([i for i in range(len(y)) if i not in used])]


def sparse(m):
    m = m.tocoo()
    return torch.sparse_coo_tensor(np.stack([m.row, m.col]), torch.tensor(m.data.astype("f4")), m.shape).coalesce()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("npz")
    parser.add_argument("logits")
    parser.add_argument("model", choices=["gcn", "sgc"])
    for name in ("alpha", "beta", "k", "lam"):
        parser.add_argument(name, type=float)
    parser.add_argument("--patience", type=int, default=50)
    parser.add_argument("--seeds", type=int, nargs="+", default=[12])
    o = parser.parse_args()
    torch.set_num_threads(1)
    a, x, y = load(o.npz)
    n, classes = len(y), int(y.max()) + 1
    distil, evaluate, val, test = split(y, classes)
    loops = (a + sp.eye(n)).tocsr()
    scale = sp.diags(1 / np.sqrt(np.asarray(loops.sum(1)).ravel()))
    s = sparse(scale @ loops @ scale)
    x, y = torch.tensor(x), torch.tensor(y).long()
    onehot = F.one_hot(y, classes).float()
    t = torch.tensor(np.genfromtxt(o.logits).astype("f4"))
    q = sparse(a) @ t.softmax(1) / torch.tensor(np.asarray(a.sum(1)).astype("f4"))
    entropy = torch.nan_to_num(-(q * q.log()).sum(1), nan=1e-4)[:, None]
    sx = s @ (s @ x) if o.model == "sgc" else s @ x

    def accuracy(z, rows):
        return (z.argmax(1)[rows] == y[rows]).float().mean().item()

    def forward(p, train):
        if o.model == "sgc":
            return sx @ p[0]
        h = F.dropout(F.relu(sx @ p[0] + p[1]), 0.8, train)
        return torch.sparse.mm(s, h @ p[2]) + p[3]

    def glorot(*shape):
        return nn.init.xavier_uniform_(torch.empty(*shape)).requires_grad_()

    print(f"teacher test {accuracy(t, test):.4f} val {accuracy(t, val):.4f}")
    for seed in o.seeds:
        torch.manual_seed(seed)
        p = [glorot(x.shape[1], classes)]
        if o.model == "gcn":
            p = [glorot(x.shape[1], 64), torch.zeros(64, requires_grad=True), glorot(64, classes),
                 torch.zeros(classes, requires_grad=True)]
        maps = nn.Linear(classes + 2, 64), nn.Linear(64, 1)
        w = [maps[0].weight, maps[0].bias, maps[1].weight, maps[1].bias]
        best, waited = (-1.0, 0.0, 0), 0
        for epoch in range(1, 600):
            z = forward(p, True)
            u = torch.cat([z, z.detach().norm(dim=1, keepdim=True), entropy], 1)
            h = F.relu(F.linear(F.dropout(u, 0.4), w[0], w[1]))
            tau = (torch.sigmoid(F.linear(F.dropout(h, 0.4), w[2], w[3])) - 0.2) * o.k
            tau = torch.where(tau.abs() < 1e-4, torch.full_like(tau, 1e-4), tau)
            log_p = (z.softmax(1) + 1e-6).log()
            loss = -(((t / tau).softmax(1) + 1e-6) * log_p).sum() - o.lam * ((onehot + 1e-6) * log_p)[distil].sum()
            grads = torch.autograd.grad(loss, p, create_graph=epoch > 20)
            moved = [v - o.alpha * g for v, g in zip(p, grads)]
            if epoch > 20:
                log_e = (forward(moved, True).softmax(1) + 1e-6).log()
                outer = torch.autograd.grad(-((onehot + 1e-6) * log_e)[evaluate].sum(), w)
                w = [(v - o.beta * g).detach().requires_grad_() for v, g in zip(w, outer)]
            p = [v.detach().requires_grad_() for v in moved]
            with torch.no_grad():
                z = forward(p, False)
            score = accuracy(z, val)
            waited = 0 if score >= best[0] else waited + 1
            if waited == 0:
                best = (score, accuracy(z, test), epoch)
            if waited == o.patience:
                break
        print(f"seed {seed} epoch {best[2]} of {epoch} val {best[0]:.4f} test {best[1]:.4f}", flush=True)


if __name__ == "__main__":
    main()
