#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/data/golden/quant.npz: one quantised layer of GCN, GAT and GIN as Degree-Quant's code computes them, with
gradients, in PyTorch and double precision.

Ranges are those of the layer's own numbers (first step of the observer), scales and rounded norms are stored as float; asymmetric, one
scale per tensor, unsigned for rows and signed for weights. Gradients are clipped strictly inside the extreme codes."""

import sys

import numpy as np
import torch

torch.set_default_dtype(torch.float64)


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, inverse, scale, zero, low, high):
        r = torch.round(x * inverse) + zero
        ctx.save_for_backward((r > low) & (r < high))
        return (torch.clamp(r, low, high) - zero) * scale

    @staticmethod
    def backward(ctx, g):
        (inside,) = ctx.saved_tensors
        return g * inside, None, None, None, None, None


def quantize(x, bits, signed):
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits - 1
    least, largest = min(0.0, x.min().item()), max(0.0, x.max().item())
    exact = (largest - least) / (high - low)
    zero = float(np.clip(low - np.rint(least / exact), low, high))
    scale = np.float32(exact)
    return Round.apply(x, float(np.float32(1) / scale), float(scale), zero, low, high)


def rows(x, bits):
    return quantize(x, bits, False)


def weights(w, bits):
    return quantize(w, bits, True)


def gcn(x, w, b, src, dst, norm, bits):
    h = rows(rows(x, bits) @ weights(w, bits), bits)
    message = rows(rows(norm, bits).float().double()[:, None] * h[src], bits)
    total = rows(torch.zeros(len(x), w.shape[1]).index_add(0, dst, message), bits)
    return rows(total + b, bits)


def gat(x, wide, b, att_src, att_dst, src, dst, heads, bits):
    h = rows(rows(x, bits) @ weights(wide, bits), bits)
    n, width = h.shape
    per_head = h.view(n, heads, -1)
    score_src = (per_head * weights(att_src, bits).view(1, heads, -1)).sum(-1)
    score_dst = (per_head * weights(att_dst, bits).view(1, heads, -1)).sum(-1)
    score = torch.nn.functional.leaky_relu(rows(score_src[src] + score_dst[dst], bits), 0.2)
    top = torch.full((n, heads), -1e30).scatter_reduce(0, dst[:, None].expand(-1, heads), score.detach(), "amax")
    e = torch.exp(score - top[dst])
    share = e / torch.zeros(n, heads).index_add(0, dst, e)[dst]
    message = rows(share[:, :, None] * per_head[src], bits)
    total = rows(torch.zeros(n, heads, width // heads).index_add(0, dst, message), bits)
    return rows(total.mean(1) + b, bits)


def gin(x, w, b, eps, src, dst, bits):
    total = rows(torch.zeros_like(x).index_add(0, dst, rows(x[src], bits)), bits)
    mixed = total + (1 + eps) * x
    return rows(rows(mixed, bits) @ weights(w, bits) + b, bits)


def main(path):
    rng = np.random.default_rng(7)
    n, fan_in, fan_out, heads = 14, 6, 8, 2
    pairs = sorted({(int(i), int(j)) for i, j in rng.integers(0, n - 1, (34, 2)) if i != j})
    pairs = sorted(set(pairs) | {(j, i) for i, j in pairs})  # node n - 1 has no neighbour
    loops = sorted(pairs + [(i, i) for i in range(n)])
    degree = np.bincount([i for i, _ in loops], minlength=n)
    norm = np.array([1 / np.sqrt(degree[i] * degree[j]) for i, j in loops], dtype=np.float32)
    out = {"n": np.array([n], dtype=np.int64)}
    for name, entries in (("pairs", pairs), ("loops", loops)):
        out[name + "_dst"] = np.array([i for i, _ in entries], dtype=np.int64)
        out[name + "_src"] = np.array([j for _, j in entries], dtype=np.int64)
    out["norm"] = norm.astype(np.float64)

    def leaf(*shape):
        return torch.tensor(rng.normal(size=shape), requires_grad=True)

    x, w, b = leaf(n, fan_in), leaf(fan_in, fan_out), leaf(1, fan_out)
    wide = leaf(fan_in, heads * fan_out)
    att_src, att_dst = leaf(1, heads * fan_out), leaf(1, heads * fan_out)
    eps = torch.tensor([[0.3]], requires_grad=True)
    cotangent = torch.tensor(rng.normal(size=(n, fan_out)))
    leaves = {"x": x, "w": w, "wide": wide, "b": b, "att_src": att_src, "att_dst": att_dst, "eps": eps}
    for name, value in leaves.items():
        out[name] = value.detach().numpy().copy()
    out["cotangent"] = cotangent.numpy()

    t = lambda name: torch.tensor(out[name])
    for bits in (8, 4):
        layers = {
            "gcn": lambda: gcn(x, w, b, t("loops_src"), t("loops_dst"), t("norm"), bits),
            "gat": lambda: gat(x, wide, b, att_src, att_dst, t("loops_src"), t("loops_dst"), heads, bits),
            "gin": lambda: gin(x, w, b, eps, t("pairs_src"), t("pairs_dst"), bits),
        }
        for name, layer in layers.items():
            for value in leaves.values():
                value.grad = None
            y = layer()
            y.backward(cotangent)
            key = f"{name}{bits}_"
            out[key + "y"] = y.detach().numpy()
            for leaf_name, value in leaves.items():
                if leaf_name != "x" and value.grad is not None:
                    out[key + "d_" + leaf_name] = value.grad.numpy().copy()
    np.savez(path, **out)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/data/golden/quant.npz")
