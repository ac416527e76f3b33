# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/neighbors.npz: what neighbour samplers and shaDow pick, and the coefficients they give it.

    python3 -m venv env && env/bin/pip install numpy
    env/bin/python tests/golden/make_neighbors_golden.py tests/data/golden/neighbors.npz

An independent implementation, from Philox-4x32-10 up, of: Floyd's choice of k of d, draws with replacement, exponential
keys with the threshold of rank conditioning, Vose's alias tables, the ego graphs of shaDow by hops. Coefficients are
those of D^-1/2 (A + I) D^-1/2 as a dense matrix (of the subgraph alone for shaDow) times what makes up for what was
not picked. Everything is float64.
"""

import math
import sys

import numpy as np

N, SEED, EPOCH, BATCH, FANOUT, PICK = 40, 7, 2, 0, 3, 3
M32, M64 = 2**32 - 1, 2**64 - 1
out = {}


def split_mix(state):
    z = (state + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


KEY = split_mix(split_mix(SEED) ^ split_mix(EPOCH * 256 + PICK))


def philox(c):
    k0, k1 = KEY & M32, KEY >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & M32, (p0 >> 32) ^ c[3] ^ k1, p0 & M32]
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c


class Stream:
    def __init__(self, entity):
        self.entity, self.words = int(entity), []
        self.used = 0

    def word(self):
        if not self.words:
            self.words = philox([self.used // 4, BATCH, self.entity & M32, self.entity >> 32])
        self.used += 1
        return self.words.pop(0)

    def below(self, n):
        if n <= 1:
            return 0
        while True:
            m = self.word() * n
            if (m & M32) >= (2**32 - n) % n:
                return m >> 32

    def uniform_open(self):
        low = self.word()
        return (((low | self.word() << 32) >> 11) + 0.5) * 2.0**-53


def links():
    """A ring of all nodes but the last, with a hub (node 0) and chords from a hash."""
    pairs = {(i, (i + 1) % (N - 1)) for i in range(N - 1)} | {(0, i) for i in range(2, 20)}
    state = 2024
    while len(pairs) < 120:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        a, b = (state >> 33) % (N - 1), (state >> 13) % (N - 1)
        if a != b and (b, a) not in pairs:
            pairs.add((min(a, b), max(a, b)))
    return sorted({(min(a, b), max(a, b)) for a, b in pairs})


A = np.zeros((N, N))
W = np.zeros((N, N))  # eighths, exact in float32
for n, (a, b) in enumerate(links()):
    A[a, b] = A[b, a] = 1.0
    W[a, b] = W[b, a] = (1 + (n * 37) % 24) / 8
out["graph.source"] = np.array([a for a, _ in links()], dtype=np.int64)
out["graph.target"] = np.array([b for _, b in links()], dtype=np.int64)
out["graph.weight"] = np.array([W[a, b] for a, b in links()])


def prepared(matrix):
    loops = matrix + np.eye(len(matrix))
    d = loops.sum(1)
    return loops / np.sqrt(d[:, None] * d[None, :])


def floyd(node, row):
    d, k = len(row), min(FANOUT, len(row))
    if k == d:
        return [(t, 1.0) for t in range(d)]
    draws, taken = Stream(node), []
    for last in range(d - k, d):
        t = draws.below(last + 1)
        taken.append(last if t in taken else t)
    return [(t, d / k) for t in taken]


def replacing(node, row):
    draws = Stream(node)
    return [(draws.below(len(row)), len(row) / FANOUT) for _ in range(FANOUT if len(row) else 0)]


def exponential_keys(node, row):
    weight = W[node, row]
    if len(row) <= FANOUT:
        return [(t, 1.0) for t in range(len(row))]
    draws = Stream(node)
    keys = [(-math.log(draws.uniform_open()) / w, t) for t, w in enumerate(weight)]
    keys.sort()
    threshold = keys[FANOUT][0]
    return sorted((t, 1.0 / (1.0 - math.exp(-weight[t] * threshold))) for _, t in keys[:FANOUT])


def alias(node, row):
    weight = W[node, row]
    n = len(row)
    if n == 0:
        return []
    share = weight / weight.sum() * n
    small = [i for i in reversed(range(n)) if share[i] < 1]
    large = [i for i in range(n) if share[i] >= 1]
    keep, other = np.zeros(n), np.arange(n)
    while small and large:
        less, more = small.pop(), large[0]
        keep[less], other[less] = int(share[less] * 2**32), more
        share[more] -= 1 - share[less]
        if share[more] < 1:
            small.append(large.pop(0))
    draws, picked = Stream(node), []
    for _ in range(FANOUT):
        i = draws.below(n)
        picked.append(i if draws.word() < keep[i] else other[i])
    return [(t, weight.sum() / (FANOUT * weight[t])) for t in picked]


for name, matrix, pick in (("uniform", A, floyd), ("replace", A, replacing), ("weighted", W, exponential_keys),
                           ("alias", W, alias)):
    S = prepared(matrix)
    rows, cols, coefficients = [], [], []
    for node in range(N):
        row = np.flatnonzero(A[node])
        for column, factor in [(node, 1.0)] + [(row[t], f) for t, f in pick(node, row)]:
            rows.append(node)
            cols.append(column)
            coefficients.append(S[node, column] * factor)
    out[f"{name}.row"] = np.array(rows, dtype=np.int64)
    out[f"{name}.col"] = np.array(cols, dtype=np.int64)
    out[f"{name}.coefficient"] = np.array(coefficients)

# shaDow: two hops, at most 3 draws with replacement from the rows that have more neighbours.
entries = []
for target in range(N):
    scope, level = {target}, [target]
    for _ in range(2):
        found = set()
        for node in level:
            row = np.flatnonzero(A[node])
            if len(row) <= FANOUT:
                found |= set(row)
            else:
                draws = Stream(target << 32 | int(node))
                found |= {row[draws.below(len(row))] for _ in range(FANOUT)}
        level = sorted(found - scope)
        scope |= found
    nodes = sorted(scope)
    S = prepared(A[np.ix_(nodes, nodes)])
    entries += [(target, i, j, S[a, b]) for a, i in enumerate(nodes) for b, j in enumerate(nodes) if S[a, b] > 0]
for k, name in enumerate(("target", "row", "col")):
    out[f"shadow.{name}"] = np.array([e[k] for e in entries], dtype=np.int64)
out["shadow.coefficient"] = np.array([e[3] for e in entries])

np.savez(sys.argv[1], **out)
