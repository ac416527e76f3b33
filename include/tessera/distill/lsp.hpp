// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/detail/edge_kernel.hpp"
#include "tessera/distill/detail/local_edges.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/distill/detail/unit_rows.hpp"

namespace tessera {

/// Which divergence compares the neighbourhoods, and what the sum over nodes is divided by.
enum class LspDirection { teacher_first, student_first };
enum class LspReduction {
  node_mean,  ///< by the number of rows, those without neighbours included
  edge_mean   ///< by the number of edges
};

struct LspOptions {
  EdgeKernel kernel = EdgeKernel::cosine;
  double sigma = 100;  ///< of rbf
  int degree = 2;      ///< of polynomial
  double offset = 0;   ///< of polynomial
  LspDirection direction = LspDirection::teacher_first;
  LspReduction reduction = LspReduction::node_mean;
};

namespace detail {

/// shares[e] = softmax of the kernel over the entries of each row, in double.
template <Real T>
void local_structure(const CsrView<>& edges, MatrixView<const T> h, const LspOptions& o,
                     std::span<double> shares) {
  const EdgeKernelFunction<T> kernel(h, {o.kernel, o.sigma, o.degree, o.offset});
  parallel_for(edges.num_rows, 64, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const std::size_t first = edges.begin(i);
      const std::size_t last = edges.end(i);
      double top = -INFINITY;
      for (std::size_t e = first; e < last; ++e) {
        shares[e] = kernel(i, edges.col[e]);
        top = std::max(top, shares[e]);
      }
      double total = 0;
      for (std::size_t e = first; e < last; ++e) total += shares[e] = std::exp(shares[e] - top);
      for (std::size_t e = first; e < last; ++e) shares[e] /= total;
    }
  });
}

/// Sums KL over rows and leaves dKL / ds in slope.
inline double divergence(const CsrView<>& edges, std::span<const double> a, std::span<const double> b,
                         LspDirection direction, std::span<double> slope) {
  // 0 log 0 = 0; shares that underflow on one side alone cost as if they were the smallest normal number.
  constexpr double kTiny = 2.3e-308;
  const bool teacher_first = direction == LspDirection::teacher_first;
  return parallel_sum<double>(edges.num_rows, 64, [&](std::size_t i, std::size_t end) {
    double sum = 0;
    for (; i < end; ++i) {
      double kl = 0;
      for (std::size_t e = edges.begin(i); e < edges.end(i); ++e) {
        const double ratio = std::log(std::max(a[e], kTiny)) - std::log(std::max(b[e], kTiny));
        kl += teacher_first ? -b[e] * ratio : a[e] * ratio;
        slope[e] = teacher_first ? a[e] - b[e] : a[e] * ratio;
      }
      for (std::size_t e = edges.begin(i); e < edges.end(i) && !teacher_first; ++e) slope[e] -= a[e] * kl;
      sum += kl;
    }
    return sum;
  });
}

}  // namespace detail

/// weight times the divergence between how student and teacher spread each node over its neighbours: a_i. and b_i. are
/// softmaxes, over the in-neighbours j of i, of k(hs_i, hs_j) and of the teacher's b.
///
/// Shapes   edges [N, M] with its transpose (row i lists the sources of i), hs [>= max(N, M), F] on the tape, b [E] ->
///          [1, 1]. Rows with one entry or none contribute 0
/// Cost     O(E F); memory O(E)
/// Errors   ShapeError if extents do not fit
/// Threads  result independent of T
/// Source   Yang et al., Distilling knowledge from graph convolutional networks, CVPR 2020; teacher first as in the
///          published codes
template <class Ctx>
Var local_structure_loss(Ctx& ctx, const detail::LocalEdges& edges, Var hs, std::span<const double> b,
                         const LspOptions& o, double weight = 1) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> h = ctx.value(hs);
  const CsrView<> forward = edges.forward();
  if (h.rows() < std::max(forward.num_rows, forward.num_cols) || b.size() != forward.num_edges()) {
    throw ShapeError(message("local_structure_loss: hs has ", h.rows(), " rows and b ", b.size(),
                             " shares, the edges are [", forward.num_rows, ", ", forward.num_cols, "] with ",
                             forward.num_edges()));
  }
  Array<double> a(forward.num_edges());
  Array<double> slope(forward.num_edges());
  detail::local_structure(forward, h, o, a.span());
  const double sum = detail::divergence(forward, a.span(), b, o.direction, slope.span());
  const std::size_t count = o.reduction == LspReduction::node_mean ? forward.num_rows : forward.num_edges();
  const double share = count == 0 ? 0 : weight / static_cast<double>(count);

  // Node v is x of its own row's entries and y of those that list it.
  const detail::EdgeKernelFunction<T> kernel(h, {o.kernel, o.sigma, o.degree, o.offset});
  const CsrView<> backward = edges.backward();
  Tensor<T> grad(h.rows(), h.cols());
  parallel_for(h.rows(), 64, [&](std::size_t v, std::size_t end) {
    Array<double> sums(h.cols());
    for (; v < end; ++v) {
      std::fill(sums.begin(), sums.end(), 0.0);
      if (v < forward.num_rows) {
        for (std::size_t e = forward.begin(v); e < forward.end(v); ++e)
          kernel.add_gradient(v, forward.col[e], share * slope[e], sums.span());
      }
      if (v < backward.num_rows) {
        for (std::size_t e = backward.begin(v); e < backward.end(v); ++e)
          kernel.add_gradient(v, backward.col[e], share * slope[edges.position(e)], sums.span());
      }
      for (std::size_t j = 0; j < h.cols(); ++j) grad(v, j) = static_cast<T>(sums[j]);
    }
  });
  return detail::record_pair_loss(ctx, share * sum, hs, std::move(grad));
}

namespace detail {

/// The edges of a batch and the teacher's shares of them, kept where every batch is the same.
struct LspCache {
  LocalEdges edges;
  Array<double> shares;
  const NodeId* of = nullptr;
  std::size_t entries = 0;
};

}  // namespace detail

/// LSP: every node should be spread over its neighbours in the student's hidden rows as in the teacher's.
///
/// The edges are those of the batch's last block without self loops; with on = labelled, those between training
/// targets. Where every batch is the same whole graph, edges and the teacher's shares are found once.
/// Cost     O(E F) per step
/// Errors   ShapeError, IndexError if the teacher does not fit the batch
/// Threads  one training pass at a time per copy
/// Source   Yang et al., CVPR 2020; kernels and reductions of chaitjo/efficient-gnns as options
struct Lsp {
  static constexpr bool kNeedsHidden = true;

  double beta = 100;
  LspOptions options = {};
  DistillOn on = DistillOn::all;
  std::shared_ptr<detail::LspCache> cache = nullptr;  ///< `bind` makes it

  /// The kernels of chaitjo/efficient-gnns, mean over edges.
  static Lsp efficient_gnns(EdgeKernel kernel) {
    Lsp out;
    out.options = {.kernel = kernel, .sigma = 1, .reduction = LspReduction::edge_mean};
    out.on = DistillOn::labelled;
    return out;
  }

  template <Real T>
  void bind(ParameterBlock<T>&, std::size_t, std::size_t, RngKey) {
    cache = std::make_shared<detail::LspCache>();
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const DistillStep& step) const {
    using T = typename Ctx::Scalar;
    const std::size_t rows = ctx.value(step.tap->hidden).rows();
    detail::check_teacher("Lsp", step.teacher, step.targets, rows);
    detail::LspCache& kept = *cache;
    const CsrView<> block = step.tap->adjacency.forward;
    const bool whole = step.targets.node_id.empty();
    if (!whole || kept.of != block.col.data() || kept.entries != block.num_edges()) {
      kept.edges.assign(
          block, [&](std::size_t i) { return on == DistillOn::all || detail::counts(step.targets, i); });
      Array<NodeId> every(rows);
      for (std::size_t i = 0; i < rows; ++i) every[i] = static_cast<NodeId>(i);
      const Tensor<T> t = detail::teacher_hidden<T>(step, every.span());
      kept.shares.resize(kept.edges.forward().num_edges());
      detail::local_structure(kept.edges.forward(), t.view(), options, kept.shares.span());
      kept.of = whole ? block.col.data() : nullptr;
      kept.entries = block.num_edges();
    }
    if (kept.edges.forward().num_edges() == 0) return {};
    return local_structure_loss(ctx, kept.edges, step.tap->hidden, kept.shares.span(), options, beta);
  }
};

}  // namespace tessera
