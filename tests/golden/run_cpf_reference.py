#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""CPF ("ind") from a GCN teacher in PyTorch, as its authors publish it: what the published settings are worth.

    run_cpf_reference.py citeseer.npz 6 64 --patience 50 200 --seeds 0 1 2

citeseer.npz is gnn-benchmark's file, 6 and 64 are K and the perceptron's width. Prints, per seed, the teacher's accuracy
on the split that RandomState(0) draws, and that of the student's best validation epoch for each patience.
"""
import argparse

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from run_ltd_reference import load, sparse
from torch import nn


def split(y, classes):
    random, used, parts = np.random.RandomState(0), set(), []
    for size in (20, 30):
        part = np.concatenate([random.choice([i for i in range(len(y)) if y[i] == c and i not in used], size,
                                             replace=False) for c in range(classes)])
        parts.append(torch.tensor(part))
        used |= set(part)
    return parts + [torch.tensor([i for i in range(len(y)) if i not in used])]


def fit(params, optimizer, step, judge, patience, epochs=500):
    """Best (validation, test, epoch, state) per patience; the run ends with the longest."""
    best, waited, done = (-1.0, 0.0, 0, None), 0, {}
    for epoch in range(1, epochs):
        optimizer.zero_grad()
        step().backward()
        optimizer.step()
        with torch.no_grad():
            val, test, output = judge()
        waited = 0 if val >= best[0] else waited + 1
        if waited == 0:
            best = (val, test, epoch, output)
        for p in patience:
            if waited == p and p not in done:
                done[p] = best
        if len(done) == len(patience):
            break
    return {p: done.get(p, best) for p in patience}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("npz")
    parser.add_argument("steps", type=int)
    parser.add_argument("hidden", type=int)
    parser.add_argument("--dropout", type=float, default=0.8)
    parser.add_argument("--attention-dropout", type=float, default=0.2)
    parser.add_argument("--patience", type=int, nargs="+", default=[50])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    o = parser.parse_args()
    torch.set_num_threads(1)
    a, x, y = load(o.npz)
    n, classes = len(y), int(y.max()) + 1
    train, val, test = split(y, classes)
    loops = (a + sp.eye(n)).tocsr()
    scale = sp.diags(1 / np.sqrt(np.asarray(loops.sum(1)).ravel()))
    s = sparse(scale @ loops @ scale)
    row, col = (torch.tensor(v.astype("i8")) for v in loops.nonzero())
    x, y = torch.tensor(x), torch.tensor(y).long()
    onehot = F.one_hot(y, classes).float()
    labelled = torch.zeros(n, 1, dtype=torch.bool)
    labelled[train] = True
    rest = (~labelled).nonzero()[:, 0]
    words = x.to_sparse().coalesce()
    sx = s @ x

    def thinned(training):
        """x after dropout: what is 0 stays 0, so only its entries are drawn for."""
        return torch.sparse_coo_tensor(words.indices(), F.dropout(words.values(), o.dropout, training), words.shape,
                                       check_invariants=False)

    def accuracy(z, rows):
        return (z.argmax(1)[rows] == y[rows]).float().mean().item()

    def judged(forward):
        def judge():
            z = forward(False)
            return accuracy(z, val), accuracy(z, test), z
        return judge

    for seed in o.seeds:
        torch.manual_seed(seed)
        gcn = [nn.init.xavier_uniform_(torch.empty(x.shape[1], 64)), torch.zeros(64),
               nn.init.xavier_uniform_(torch.empty(64, classes)), torch.zeros(classes)]
        gcn = [p.requires_grad_() for p in gcn]

        def teacher(training):
            h = F.dropout(F.relu(sx @ gcn[0] + gcn[1]), 0.8, training)
            return torch.sparse.mm(s, h @ gcn[2]) + gcn[3]

        taught = fit(gcn, torch.optim.Adam(gcn, lr=0.01, weight_decay=1e-3),
                     lambda: F.cross_entropy(teacher(True)[train], y[train]), judged(teacher), [50])[50]
        p = taught[3].softmax(1)

        alpha = torch.zeros(n, 1, requires_grad=True)
        score = nn.init.xavier_normal_(torch.empty(1, x.shape[1]), nn.init.calculate_gain("relu")).requires_grad_()
        mlp = nn.Linear(x.shape[1], o.hidden), nn.Linear(o.hidden, classes)
        start = torch.where(labelled, onehot, torch.full((n, classes), 1 / classes))

        def student(training):
            f = start
            for _ in range(o.steps):
                e = torch.sparse.mm(thinned(training), score.T)[col, 0]
                top = torch.full((n,), -torch.inf).scatter_reduce(0, row, e.detach(), "amax")
                e = (e - top[row]).exp()
                w = e / torch.zeros(n).index_add(0, row, e)[row]
                w = F.dropout(w, o.attention_dropout, training)
                g = torch.zeros(n, classes).index_add(0, row, w[:, None] * f[col])
                m = F.relu(torch.sparse.mm(thinned(training), mlp[0].weight.T) + mlp[0].bias)
                m = mlp[1](F.dropout(m, o.dropout, training))
                r = F.relu(torch.sigmoid(alpha) * g + torch.sigmoid(-alpha) * m)
                f = torch.where(labelled, onehot, r)
            return f

        params = [alpha, score, *mlp[0].parameters(), *mlp[1].parameters()]
        found = fit(params, torch.optim.Adam(params, lr=1e-3, weight_decay=1e-2),
                    lambda: (student(True).softmax(1) - p)[rest].square().sum().sqrt(), judged(student), o.patience)
        print(f"seed {seed} teacher {taught[1]:.4f}", *(f"patience {k}: {v[1]:.4f} (val {v[0]:.4f}, epoch {v[2]})"
                                                        for k, v in found.items()), flush=True)


if __name__ == "__main__":
    main()
