#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a small seed corpus for every fuzz program: make_seeds.py FOLDER. Needs the standard library only."""
import gzip
import io
import json
import os
import pickle
import struct
import sys
import zipfile


def npy(descr, shape, data, fortran=False):
    text = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }" % (descr, fortran, shape)
    text += " " * (64 - (10 + len(text) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def i4(*values):
    return npy("<i4", "(%d,)" % len(values), struct.pack("<%di" % len(values), *values))


def i8(*values, shape=None):
    return npy("<i8", shape or "(%d,)" % len(values), struct.pack("<%dq" % len(values), *values))


def f4(rows, cols, *values):
    return npy("<f4", "(%d, %d)" % (rows, cols), struct.pack("<%df" % len(values), *values))


def f8(rows, cols, *values):
    return npy("<f8", "(%d, %d)" % (rows, cols), struct.pack("<%dd" % len(values), *values))


def npz(compressed=True, **arrays):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for key, value in arrays.items():
            archive.writestr(zipfile.ZipInfo(key + ".npy"), value)
    return out.getvalue()


def folder(**files):
    out = b""
    for name, content in files.items():
        if isinstance(content, str):
            content = content.encode()
        out += name.encode() + b"\n%d\n" % len(content) + content
    return out


def gz(text):
    return gzip.compress(text.encode(), mtime=0)


def csr4(prefix="", data="<f4"):
    """A path 0-1-2-3 in csr, both directions."""
    width = {"<f4": "f", "<i8": "q", "|b1": "?"}[data]
    return {prefix + "indices": i4(1, 0, 2, 1, 3, 2), prefix + "indptr": i4(0, 1, 3, 5, 6),
            prefix + "shape": i8(4, 4), prefix + "data": npy(data, "(6,)", struct.pack("<6" + width, *[1] * 6))}


def coo4():
    return {"row": i4(0, 1, 2), "col": i4(1, 2, 3), "format": npy("|S3", "()", b"coo"), "shape": i8(4, 4),
            "data": npy("<f4", "(3,)", struct.pack("<3f", 1, 1, 1))}


ROLES = '{"tr": [0, 1], "va": [2], "te": [3]}'
CLASSES = '{"0": 0, "1": 1, "2": 0, "3": 1}'
FEATS = f4(4, 2, 1, 2, 3, 4, 5, 6, 7, 8)

FOLDERS = {
    "graphsaint": folder(**{"adj_full.npz": npz(**csr4()), "adj_train.npz": npz(False, **csr4()), "feats.npy": FEATS,
                            "class_map.json": CLASSES, "role.json": ROLES}),
    "graphsage": folder(**{
        "t-G.json": json.dumps({"directed": False, "graph": {}, "multigraph": False,
                                "nodes": [{"id": i, "val": i == 2, "test": i == 3} for i in range(4)],
                                "links": [{"source": 0, "target": 1}, {"source": 1, "target": 2}]}),
        "t-id_map.json": '{"0": 0, "1": 1, "2": 2, "3": 3}', "t-class_map.json": CLASSES, "t-feats.npy": FEATS}),
    "shchur": folder(**{"a.npz": npz(labels=i8(0, 1, 0, 1), attr_matrix=FEATS, **csr4("adj_")), "role.json": ROLES}),
    "heterophilous": folder(**{"h.npz": npz(
        edges=i8(0, 1, 1, 2, shape="(2, 2)"), node_features=FEATS, node_labels=i8(0, 1, 0, 1),
        train_masks=npy("|b1", "(1, 4)", b"\1\1\0\0"), val_masks=npy("|b1", "(1, 4)", b"\0\0\1\0"),
        test_masks=npy("|b1", "(1, 4)", b"\0\0\0\1"))}),
    "dgl-reddit": folder(**{"reddit_graph.npz": npz(**coo4()),
                            "reddit_data.npz": npz(feature=f8(4, 2, 1, 2, 3, 4, 5, 6, 7, 8), label=i8(0, 1, 0, 1),
                                                   node_types=i8(1, 1, 2, 3))}),
    "dgl-ppi": folder(**{name: content for part, first in (("train", 1), ("valid", 2), ("test", 3)) for name, content in {
        part + "_graph.json": json.dumps({"directed": True, "nodes": [{"id": 0}, {"id": 1}],
                                          "links": [{"source": 0, "target": 1}, {"source": 1, "target": 0}]}),
        part + "_feats.npy": f4(2, 2, 1, 2, 3, 4), part + "_labels.npy": f4(2, 2, 0, 1, 1, 0),
        part + "_graph_id.npy": i8(first, first)}.items()}),
    "fastgcn": folder(**{"r_adj.npz": npz(**coo4()), "r.npz": npz(
        feats=FEATS, train_index=i8(0, 1), val_index=i8(2), test_index=i8(3), y_train=i8(0, 1), y_val=i8(0), y_test=i8(1))}),
    "amazon2m": folder(**{"graph.npz": npz(y=i4(0, 1, 0, 1), train_map=i4(1, 1, 0, 0), edge=i8(0, 1, 1, 2, shape="(2, 2)")),
                          "feats.npy": FEATS}),
    "gbp": folder(**{"g.txt": "4\n0 1\n1 0\n2 3\n3 2\n", "g_feat.npy": FEATS, "g_labels.npz": npz(
        labels=i8(0, 1, 0, 1), idx_train=i8(0), idx_val=i8(1), idx_test=i8(2))}),
    "graphsaint-bin": folder(**{
        "dims.bin": struct.pack("<11i", 2, 5, 6, 5, 2, 1, 1, 4, 2, 4, 2),
        "adj_train_indptr.bin": struct.pack("<5i", 0, 1, 2, 2, 2), "adj_train_indices.bin": struct.pack("<2i", 1, 0),
        "adj_full_indptr.bin": struct.pack("<5i", 0, 1, 3, 5, 6),
        "adj_full_indices.bin": struct.pack("<6i", 1, 0, 2, 1, 3, 2),
        "node_train.bin": struct.pack("<2i", 0, 1), "node_val.bin": struct.pack("<i", 2),
        "node_test.bin": struct.pack("<i", 3), "feats_norm_col.bin": struct.pack("<8d", *range(8)),
        "labels_col.bin": struct.pack("<8d", 1, 0, 1, 0, 0, 1, 0, 1)}),
    "ogb": folder(**{"raw/edge.csv.gz": gz("0,1\n1,2\n2,3\n"), "raw/num-node-list.csv.gz": gz("4\n"),
                     "raw/num-edge-list.csv": "3\n", "raw/node-feat.csv": "1.0,2\n-3e1,.5\n5,6\n7,8\n",
                     "raw/node-label.csv": "0\n1.0\nnan\n1\n", "split/s/train.csv": "0\n", "split/s/valid.csv": "1\n",
                     "split/s/test.csv": "3\n"}),
    "ogb-proteins": folder(**{"raw/edge.csv": "0,1\n1,2\n", "raw/num-node-list.csv": "3\n", "raw/num-edge-list.csv": "2\n",
                              "raw/edge-feat.csv": "0.5,1\n1,0\n", "raw/node-label.csv": "0,1\n1,1\n0,0\n"}),
    "ogb-binary": folder(**{"raw/data.npz": npz(num_nodes_list=i8(4), edge_index=i8(0, 1, 2, 1, 2, 3, shape="(2, 3)"),
                                                num_edges_list=i8(3), node_feat=FEATS),
                            "raw/node-label.npz": npz(node_label=f4(4, 1, 0, 1, float("nan"), 1)),
                            "split/time/train.csv": "0\n", "split/time/valid.csv": "1\n", "split/time/test.csv": "3\n"}),
    "ogb-graphs": folder(**{"raw/num-node-list.csv": "2\n1\n", "raw/num-edge-list.csv": "1\n0\n", "raw/edge.csv": "0,1\n",
                            "raw/node-feat.csv": "1,0\n2,1\n3,0\n", "raw/edge-feat.csv": "4\n",
                            "raw/graph-label.csv": "1,\n0,1\n", "split/s/train.csv": "0\n", "split/s/valid.csv": "",
                            "split/s/test.csv": "1\n"}),
    "tu": folder(**{"T_A.txt": "1, 2\n2, 1\n3, 4\n4, 3\n", "T_graph_indicator.txt": "1\n1\n2\n2\n",
                    "T_graph_labels.txt": "1\n-1\n", "T_node_labels.txt": "0\n1\n2\n0\n",
                    "T_node_attributes.txt": "0.5, 1\n1,2\n3,4\n5,6\n", "T_edge_labels.txt": "0\n0\n1\n1\n"}),
    "csv": folder(**{"x_edges.csv": "id_1,id_2\n0,1\n1,2\n", "x_target.csv": 'id,name,kind\n0,"a, b",u\n2,c,v\n1,d,u\n',
                     "x_features.json": '{"0": [1, 2], "2": [0], "1": []}'}),
    "planetoid": folder(**{"ind.t." + part: content for part, content in {
        "x": b"", "y": b"", "tx": b"", "ty": b"", "allx": b"", "ally": b"",
        "graph": pickle.dumps({0: [1], 1: [0]}, 2), "test.index": b"1\n"}.items()}),
    "metis": folder(**{"w.graph": "3 2\n2\n1 3\n2\n"}),
    "matrix-market": folder(**{"w.mtx": "%%MatrixMarket matrix coordinate pattern symmetric\n3 3 2\n2 1\n3 2\n"}),
    "edge-list": folder(**{"w.edges": "# Nodes: 3 Edges: 2\n1\t5\n5\t9\n"}),
}

TABLES = ["0,1\n1,2\r\n", " 12 34\n5\t6", "1.5,-2e3\nnan,.25\n", "-1\n5\n\n", "0,1\n", "\xef\xbb\xbf1,2\n3,4\n"]

GRAPHS = {
    0: ["7 11\n5 3 2\n1 3 4\n5 4 2 1\n2 3 6 7\n1 3 6\n5 4 7\n6 4\n", "% c\n2 1 011 1\n1 2 3\n1 1 3\n", "2 1 111 2\n1 1 1 2 5\n1 1 1 1 5\n", "2 0\n\n\n"],
    1: ["%%MatrixMarket matrix coordinate real general\n% c\n3 3 2\n1 2 0.5\n3 1 2\n",
        "%%matrixmarket MATRIX Coordinate Integer Symmetric\n2 2 2\n2 1 3\n2 2 1\n"],
    2: ["c x\np edge 3 2\ne 1 2\ne 2 3\n", "p sp 3 2\na 1 2 4\na 2 3 0.5\n"],
    3: ["# Nodes: 3 Edges: 2\n0\t1\n1\t7\n", "a,b,0.5\nb,c,1\n", "source;target\n1;2\n2;3\n", "1 2 1 9\n2 3 1 9\n"],
}


def container(multi=False):
    """Three nodes in a ring as fuzz_container takes them: the header's fields, then all behind its page."""
    labels = (13, 2, (3, 2), struct.pack("<3Q", 1, 2, 3)) if multi else (6, 1, (3,), struct.pack("<3i", 0, 1, -1))
    sections = [
        ("csr.indptr", 7, 1, (4,), struct.pack("<4Q", 0, 2, 4, 6)),
        ("csr.indices", 5, 1, (6,), struct.pack("<6I", 1, 2, 0, 2, 0, 1)),
        ("x", 11, 2, (3, 2), struct.pack("<6f", 1, 2, 3, 4, 5, 6)),
        ("y.multi" if multi else "y",) + labels,
        ("split", 1, 1, (3,), b"\1\2\3"),
        ("meta", 1, 1, (14,), b'{"name": "a" }'),
    ]
    at = 4096 + 128 * len(sections)
    table = b""
    data = b""
    for name, kind, rank, dims, content in sections:
        extents = struct.pack("<4Q", *(dims + (0,) * (4 - len(dims))))
        table += struct.pack("<32sHBBI", name.encode(), kind, rank, 0, 1 if name != "meta" else 0) + extents
        table += struct.pack("<QQQ24x", 0, at, len(content))
        padded = content + b"\0" * (-len(content) % 64)
        data += padded
        at += len(padded)
    head = b"\x89GNN\r\n\x1a\n" + struct.pack("<HHIIIQQQIIQ16xQ8x", 1, 0, 0x01020304, 4096, len(sections), at, 3, 6, 2,
                                              2, 1, 4096)
    return head + table + data


def main(target):
    def write(program, name, content):
        os.makedirs(os.path.join(target, program), exist_ok=True)
        with open(os.path.join(target, program, name), "wb") as out:
            out.write(content)

    for name, content in FOLDERS.items():
        write("fuzz_folder", name, content)
        write("fuzz_folder", name + "-odd", content + b" " * (1 - len(content) % 2))
    for number, text in enumerate(TABLES):
        for kind in (0, 1, 2, 3, 4, 8, 9, 16, 33, 66):
            write("fuzz_text", "%d-%d" % (number, kind), bytes([kind, 5]) + text.encode("latin-1"))
        write("fuzz_text", "gz-%d" % number, bytes([1, 9]) + gzip.compress(text.encode("latin-1"), mtime=0) * 2)
    for kind, texts in GRAPHS.items():
        for number, text in enumerate(texts):
            for mode in (0, 8, 16, 24, 32):
                write("fuzz_graph_files", "%d-%d-%d" % (kind, number, mode), bytes([kind + mode, 7]) + text.encode())
    for compressed in (False, True):
        content = npz(compressed, **csr4(), x=FEATS, y=f8(2, 2, 1, 2, 3, 4), big=npy(">f4", "(2,)", struct.pack(">2f", 1, 2)))
        write("fuzz_npz", "csr-%d" % compressed, content)
        write("fuzz_npz_stream", "csr-%d" % compressed, content)
        write("fuzz_npz", "coo-%d" % compressed, npz(compressed, **coo4()))
    write("fuzz_npy", "f4", FEATS)
    write("fuzz_npy", "fortran", npy("|b1", "(2, 3)", b"\0\1\0\1\1\0", True))
    write("fuzz_npy", "text", npy("<U2", "(1,)", "ab".encode("utf-32-le")))
    write("fuzz_json", "class_map", CLASSES.encode())
    write("fuzz_json", "role", ROLES.encode())
    write("fuzz_links", "plain", json.dumps([{"source": k % 5, "target": 3 * k % 5} for k in range(20)]).encode())
    write("fuzz_links", "mixed", b'[{"source":0,"target":1} ,\n {"test_removed": false, "target" : 4, "source": 2 }]')
    write("fuzz_json", "graph", json.dumps({"nodes": [{"id": "a"}], "links": [{"source": "a", "target": "a"}]}).encode())
    write("fuzz_pickle", "lists", pickle.dumps({0: [1, 2], 1: [0]}, 2))
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    write("fuzz_container", "one", container())
    write("fuzz_container", "bits", container(True))
    write("fuzz_safetensors", "one", struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1, 2))


if __name__ == "__main__":
    main(sys.argv[1])
