# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/samplers.npz: sampling probabilities and PageRank, computed with dense matrices.

    python3 -m venv env && env/bin/pip install numpy
    env/bin/python tests/golden/make_samplers_golden.py tests/data/golden/samplers.npz

An independent implementation in numpy of what the samplers compute on sparse rows: exact PageRank by solving a linear
system, Andersen-Chung-Lang's push with a list for a stack, LADIES' and FastGCN's probabilities as column norms of a
dense matrix, LABOR's c and pi by bisection (the library iterates a fixed point). Everything is float64.
"""

import sys

import numpy as np

N = 40
out = {}


def links():
    """A connected ring with chords from a hash; node 39 is isolated."""
    pairs = {(i, (i + 1) % (N - 1)) for i in range(N - 1)}
    state = 12345
    while len(pairs) < 110:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        a, b = (state >> 33) % (N - 1), (state >> 13) % (N - 1)
        if a != b:
            pairs.add((min(a, b), max(a, b)))
    return sorted(pairs)


A = np.zeros((N, N))
for a, b in links():
    A[a, b] = A[b, a] = 1.0
out["graph.source"] = np.array([a for a, _ in links()], dtype=np.int64)
out["graph.target"] = np.array([b for _, b in links()], dtype=np.int64)
degree = A.sum(1)

# Personalised PageRank: rows of alpha (I - (1 - alpha) D^-1 A)^-1; a node without links keeps alpha and loses the rest.
P = np.divide(A, degree[:, None], out=np.zeros_like(A), where=degree[:, None] > 0)
for alpha in (0.15, 0.25):
    out[f"ppr.{alpha}"] = alpha * np.linalg.inv(np.eye(N) - (1 - alpha) * P)


def push(source, alpha, eps):
    r, p, stack = {source: alpha}, {}, [source]
    while stack:
        u = stack.pop()
        mass = r[u]
        p[u] = p.get(u, 0.0) + mass
        r[u] = 0.0
        for w in np.flatnonzero(A[u]):
            r[w] = r.get(w, 0.0) + (1 - alpha) * mass / degree[u]
            if r[w] >= alpha * eps * degree[w] and w not in stack:
                stack.append(w)
    return np.array([p.get(u, 0.0) for u in range(N)])


out["push.0.25.0.001"] = np.stack([push(s, 0.25, 1e-3) for s in range(N)])

# FastGCN and LADIES: squared column norms of the prepared matrix, over all rows and over some.
loops = A + np.eye(N)
d = loops.sum(1)
ROWS = [3, 7, 8, 20, 39]
out["rows"] = np.array(ROWS, dtype=np.int64)
for name, M in (("row", loops / d[:, None]), ("symmetric", loops / np.sqrt(d[:, None] * d[None, :]))):
    q = (M**2).sum(0)
    out[f"fastgcn.{name}"] = (q / q.sum()).reshape(1, -1)
    p = (M[ROWS] ** 2).sum(0)
    out[f"ladies.{name}"] = (p / p.sum()).reshape(1, -1)


def solve_c(s, pi, k):
    """c with sum over the neighbours of 1 / min(1, c pi) = d^2 / min(k, d), by bisection; all kept if d <= k."""
    near = np.flatnonzero(A[s])
    if len(near) == 0:
        return 0.0
    want = len(near) ** 2 / min(k, len(near))
    low, high = 0.0, 1.0 / pi[near].min()
    for _ in range(200):
        middle = (low + high) / 2
        if middle == 0 or (1 / np.minimum(1, middle * pi[near])).sum() > want:
            low = middle
        else:
            high = middle
    return high


# LABOR-i: chances of every (row, source), zero where there is no link.
K = 3
LABOR_ROWS = [0, 1, 2, 5, 9, 14, 20, 38, 39]
out["labor.rows"] = np.array(LABOR_ROWS, dtype=np.int64)
pi = np.ones(N)
for iteration in range(3):
    c = np.array([solve_c(s, pi, K) for s in LABOR_ROWS])
    chance = np.minimum(1, c[:, None] * pi[None, :]) * A[LABOR_ROWS]
    out[f"labor.{iteration}"] = chance
    largest = (A[LABOR_ROWS] * c[:, None]).max(0)
    pi = np.where(largest > 0, pi * largest, pi)

np.savez(sys.argv[1], **out)
