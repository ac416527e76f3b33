# SPDX-License-Identifier: MIT
"""What the suite runs: which program, on which data, with which arguments."""
from dataclasses import dataclass, field


@dataclass
class Scale:
    """How big a run is."""

    name: str
    amazon2m: float  # share of the published size of generated graphs
    reddit: float
    bench: float  # --scale of the bench programs
    epochs: int
    hidden: int
    repeats: int
    depths: tuple
    eval_every: int = 1


SCALES = {
    "quick": Scale("quick", 0.005, 0.02, 0.005, 5, 128, 3, (2, 3)),
    "small": Scale("small", 0.03, 0.1, 0.03, 3, 400, 3, (3,)),  # what peers are run at in a quarter of an hour
    "tenth": Scale("tenth", 0.1, 0.1, 0.1, 3, 400, 3, (3,)),
    # Two timed epochs after the one that warms up, one evaluation: every row within minutes.
    "full": Scale("full", 1.0, 1.0, 1.0, 3, 400, 2, (3, 4, 2, 5), eval_every=3),
}


@dataclass
class Case:
    """One run of one program. `method` groups charts; `work` says what an epoch computes at least: "nodes" where every
    node is computed once per epoch, "none" where that depends on the sampler."""

    name: str
    program: str
    args: list
    method: str = ""
    work: str = "none"
    layers: int = 2
    hidden: int = 0
    data: str = ""
    kind: str = "training"  # or "kernels": a bench program with rows of its own
    peer: list = field(default_factory=list)
    figures: tuple = ("epoch",)  # compared with peers
    heavy: bool = False  # hours an epoch at millions of nodes: --full generates a tenth for it


def parts_of(nodes):
    """15,000 parts for the 2.45 million nodes of Amazon2M, at least 20."""
    return max(20, round(nodes / 163))


def training_cases(data, path, nodes, scale):
    """Every method on one data set. Settings are equal wherever methods share them."""
    common = ["--data", path, "--hidden", str(scale.hidden), "--epochs", str(scale.epochs), "--eval-every",
              str(scale.eval_every),
              "--keep", "last", "--dropout", "0.2", "--weight-decay", "0", "--features", "raw"]
    parts = parts_of(nodes)
    batch = str(max(256, min(1024, nodes // 20)))
    walks = str(max(200, min(3000, nodes // 40)))

    def case(name, program, *args, method="", work="none", layers=2, peer=None, figures=("epoch",), heavy=False):
        return Case(f"{data}: {name}", program, [*common, "--layers", str(layers), *args], method or name, work, layers,
                    scale.hidden, data, "training", peer or [], figures, heavy)

    cluster = ["--parts", str(parts), "--clusters-per-batch", "10"]
    found = [case("full batch", "full_graph", "--model", "gcn", work="nodes", peer=["full"], figures=("epoch", "inference"))]
    for depth in scale.depths:
        peer = ["cluster", "--parts", str(parts), "--clusters-per-batch", "10"] if depth == 3 else None
        found.append(case(f"Cluster-GCN, {depth} layers", "cluster_gcn", "--model", "gcn", *cluster, method="Cluster-GCN",
                          work="nodes", layers=depth, peer=peer))
    for sampler, size in (("node", str(max(400, nodes // 30))), ("edge", walks), ("rw", walks)):
        second = ["--second", "2"] if sampler == "rw" else []
        peer = ["saint", "--roots", walks, "--walk-length", "2"] if sampler == "rw" else None
        found.append(case(f"GraphSAINT, {sampler}", "graphsaint", "--model", "gcn", "--sampler", sampler, "--size", size,
                          "--coverage", "5", "--inductive=false", *second, method="GraphSAINT", peer=peer))
    found.append(case("neighbour sampling 15, 10, 5", "neighbor_sampling", "--model", "sage", "--fanouts", "15", "10", "5",
                      "--batch-size", batch, layers=3, heavy=True,
                      peer=["neighbor", "--fanouts", "15", "10", "5", "--batch-size", batch]))
    found.append(case("GAS", "gas", *cluster, work="nodes"))
    found.append(case("VR-GCN", "vrgcn", "--fanout", "2", "--batch-size", batch))
    found.append(Case(f"{data}: SGC", "sgc", drop(common, "--hidden", "--dropout"), "SGC", "none", 2, 0, data, "training",
                      ["sgc"], ("precompute", "epoch")))
    found.append(Case(f"{data}: SIGN", "sign", [*common, "--batch-size", batch], "SIGN", "none", 2, scale.hidden, data))
    # Several aggregates of every basis: at millions of nodes wider layers do not fit 24 GB.
    narrow = ["--hidden", "64"] if nodes * scale.hidden > 2**28 else []
    found.append(Case(f"{data}: EGC-M", "egc", [*(drop(common, "--hidden") if narrow else common), "--layers", "2", "--model",
                                                "egc-m", *narrow], "EGC", "none", 2, scale.hidden, data))
    return found


def drop(args, *names):
    """The arguments without some options and their values."""
    out, skip = [], False
    for arg in args:
        if skip:
            skip = False
        elif arg in names:
            skip = True
        else:
            out.append(arg)
    return out


def kernel_cases(scale):
    """The bench programs, each with its own rows, bounds and peers."""
    size = ["--scale", str(scale.bench), "--repeats", str(scale.repeats)]

    def case(name, *args):
        return Case(name, f"bench_{name}", list(args), name, kind="kernels")

    full = scale.name == "full"
    less = ["--scale", "0.1", "--repeats", "2"] if full else size
    shape = ["--shapes", "amazon2m"]
    return [
        case("spmm", *size),
        Case("reordering", "bench_spmm", [*size, *shape, "--reorder", "--widths", "128"], "reordering", kind="kernels"),
        case("gemm", *size),
        case("epoch", *size, "--only", "job", "--bf16-only") if full else case("epoch", *size),
        case("int8", *size, *(shape if full else [])),
        case("layers", *less),
        case("sampling", *less),
        case("precompute", "--scale", str(max(float(less[1]), 0.01)), "--repeats", str(scale.repeats)),
        case("partition", "--only", "grid", "--effort", "fast"),
    ]


def bound_flops(case, dataset):
    """Multiplications and additions of an epoch in which every node is computed once, forward and backward; None where
    that is not what the method does."""
    if case.work != "nodes":
        return None
    n, e = dataset["nodes"], dataset["edges"] + dataset["nodes"]
    total = 0.0
    for layer in range(case.layers):
        first, last = layer == 0, layer + 1 == case.layers
        width_in = dataset["features"] if first else case.hidden
        width_out = dataset["classes"] if last else case.hidden
        width = min(width_in, width_out)
        total += 2.0 * n * width_in * width_out * (2 if first else 3)
        total += 2.0 * e * width * (1 if first and width_in < width_out else 2)
    return total
