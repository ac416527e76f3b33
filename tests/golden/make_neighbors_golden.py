# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/neighbors.npz: what samplers pick, and the coefficients they give it.

    python3 -m venv env && env/bin/pip install numpy
    env/bin/python tests/golden/make_neighbors_golden.py tests/data/golden/neighbors.npz

An independent implementation, from Philox-4x32-10 up, of: Floyd's choice of k of d, draws with replacement, exponential
keys with the threshold of rank conditioning, Vose's alias tables, the ego graphs of shaDow by hops, DropEdge's half of
the links, nodes dealt into parts (Fisher and Yates), forests of walks with and without a bias, control variates with and
without columns for noise. Coefficients are those of D^-1/2 (A + I) D^-1/2 as a dense matrix (of what is left of the graph
alone for shaDow, DropEdge and dealt nodes) times what makes up for what was not picked. Everything is float64.
"""

import math
import sys

import numpy as np

N, SEED, EPOCH, BATCH, FANOUT = 40, 7, 2, 0, 3
SHUFFLE, PICK, WALK, DROPOUT = 2, 3, 4, 5  # what numbers are drawn for
M32, M64 = 2**32 - 1, 2**64 - 1
out = {}


def split_mix(state):
    z = (state + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def philox(c, purpose=PICK):
    key = split_mix(split_mix(SEED) ^ split_mix(EPOCH * 256 + purpose))
    k0, k1 = key & M32, key >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & M32, (p0 >> 32) ^ c[3] ^ k1, p0 & M32]
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c


class Stream:
    def __init__(self, entity, purpose=PICK):
        self.entity, self.purpose, self.words = int(entity), purpose, []
        self.used = 0

    def word(self):
        if not self.words:
            self.words = philox([self.used // 4, BATCH, self.entity & M32, self.entity >> 32], self.purpose)
        self.used += 1
        return self.words.pop(0)

    def below(self, n):
        if n <= 1:
            return 0
        while True:
            m = self.word() * n
            if (m & M32) >= (2**32 - n) % n:
                return m >> 32

    def uniform(self):
        low = self.word()
        return ((low | self.word() << 32) >> 11) * 2.0**-53

    def uniform_open(self):
        return self.uniform() + 2.0**-54


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


def floyd(node, row, entity=None):
    d, k = len(row), min(FANOUT, len(row))
    if k == d:
        return [(t, 1.0) for t in range(d)]
    draws, taken = Stream(node if entity is None else entity), []
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


def keep_dense(name, matrix):
    rows, cols = np.nonzero(matrix)
    out[f"{name}.row"], out[f"{name}.col"], out[f"{name}.coefficient"] = rows, cols, matrix[rows, cols]


# DropEdge at 1/2: the half of the links whose first 64 bits are smallest.
drawn = []
for a, b in links():
    words = philox([a, 0, 0, b], DROPOUT)
    drawn.append((words[0] | words[1] << 32, b, a))
left = np.zeros((N, N))
for _, i, j in sorted(drawn)[: len(drawn) // 2]:
    left[i, j] = left[j, i] = 1.0
keep_dense("drop_edge", prepared(left))

# All nodes dealt into 3 parts, the links inside each: one block diagonal matrix.
order, draws = list(range(N)), Stream(0, SHUFFLE)
for i in range(N, 1, -1):
    j = draws.below(i)
    order[i - 1], order[j] = order[j], order[i - 1]
together = np.zeros((N, N), dtype=bool)
for part in np.array_split(order, 3):
    together[np.ix_(part, part)] = True
keep_dense("random_nodes", np.where(together, prepared(np.where(together, A, 0)), 0))

# Forests of two levels, 3 and 2 wide, from every node; the bias gives neighbour j of a path that began at i weight
# 1 + (i + j) % 3. -1: the walk ended.
for name in ("uniform", "bias"):
    level = list(range(N))
    roots = list(range(N))
    for depth, width in enumerate((3, 2)):
        reached = []
        for at, node in enumerate(level):
            row = np.flatnonzero(A[node]) if node >= 0 else []
            draws = Stream(depth << 32 | at, WALK)
            for _ in range(width):
                if len(row) == 0:
                    reached.append(-1)
                elif name == "uniform":
                    reached.append(row[draws.below(len(row))])
                else:
                    sums = np.cumsum([1 + (roots[at] + j) % 3 for j in row])
                    reached.append(row[np.searchsorted(sums, draws.uniform() * sums[-1], side="right")])
        level, roots = reached, [r for r in roots for _ in range(width)]
        out[f"walks.{name}.{depth + 1}"] = np.array(level, dtype=np.int64)

# Control variates, the layer nearest the loss, all nodes as targets: per row the loop, the sampled neighbours scaled up,
# all neighbours from the history less what is sampled, then for noise the computed ones with the root of the scale.
S = prepared(A)
entries = []
for node in range(N):
    row = np.flatnonzero(A[node])
    picked = floyd(node, row, 1 << 32 | node)
    sampled = [(row[t], S[node, row[t]], f) for t, f in picked]
    history = []
    if len(picked) < len(row):
        shares = {t: f for t, f in picked}
        history = [S[node, j] * (1 - shares.get(t, 0.0)) for t, j in enumerate(row)]
    computed = [(node, S[node, node], 1.0)] + sampled
    entries += [(node, j, 0, s * f) for j, s, f in computed]
    entries += [(node, j, 1, c) for j, c in zip(row, history)]
    entries += [(node, j, 2, s * math.sqrt(f)) for j, s, f in computed]
for k, name in enumerate(("row", "col", "kind")):
    out[f"variates.{name}"] = np.array([e[k] for e in entries], dtype=np.int64)
out["variates.coefficient"] = np.array([e[3] for e in entries])

np.savez(sys.argv[1], **out)
