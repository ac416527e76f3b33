// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tessera/core/bf16.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/graph_key.hpp"
#include "tessera/kernels/rows.hpp"

namespace tessera {

namespace detail {

/// A matrix kept as float or bf16, owned or borrowed.
class StoredMatrix {
 public:
  StoredMatrix() = default;
  explicit StoredMatrix(Tensor<float> owned) : owned_(std::move(owned)), full_(owned_.view()) {}
  explicit StoredMatrix(MatrixView<const float> borrowed) : full_(borrowed) {}
  explicit StoredMatrix(MatrixView<const bf16> borrowed) : half_(borrowed) {}
  StoredMatrix(StoredMatrix&&) noexcept = default;
  StoredMatrix& operator=(StoredMatrix&&) noexcept = default;

  std::size_t rows() const noexcept { return is_half() ? half_.rows() : full_.rows(); }
  std::size_t cols() const noexcept { return is_half() ? half_.cols() : full_.cols(); }
  bool is_half() const noexcept { return half_.data() != nullptr; }
  MatrixView<const float> full() const noexcept { return full_; }
  MatrixView<const bf16> half() const noexcept { return half_; }

  void halve() {
    if (is_half() || full_.empty()) return;
    Tensor<bf16> half(full_.rows(), full_.cols());
    parallel_for(full_.rows(), 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (std::size_t j = 0; j < full_.cols(); ++j) half(i, j) = bf16(full_(i, j));
      }
    });
    owned_half_ = std::move(half);
    half_ = std::as_const(owned_half_).view();
    owned_ = Tensor<float>();
    full_ = {};
  }

  /// Rows `ids`, or the first `count` where ids is empty: the matrix itself where it can be seen as one of T, else
  /// copied into `scratch`.
  template <Real T>
  MatrixView<const T> rows_of(std::span<const NodeId> ids, std::size_t count, Tensor<T>& scratch) const {
    if constexpr (std::is_same_v<T, float>) {
      if (ids.empty() && !is_half()) return full_.middle_rows(0, count);
    }
    scratch.resize(count, cols());
    if (!ids.empty()) {
      is_half() ? gather_rows(half_, ids, scratch.view()) : gather_rows(full_, ids, scratch.view());
    } else {
      is_half() ? copy(half_, scratch.view()) : copy(full_, scratch.view());
    }
    return std::as_const(scratch).view();
  }

  /// The first row with a number that is not finite; rows() where there is none.
  std::size_t first_bad_row() const { return is_half() ? bad_row(half_) : bad_row(full_); }

 private:
  template <class X, class T>
  static void copy(MatrixView<const X> from, MatrixView<T> to) {
    parallel_for(to.rows(), 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (std::size_t j = 0; j < to.cols(); ++j) to(i, j) = static_cast<T>(static_cast<float>(from(i, j)));
      }
    });
  }
  template <class X>
  static std::size_t bad_row(MatrixView<const X> x) {
    return parallel_reduce(
        x.rows(), 1024, x.rows(),
        [&](std::size_t i, std::size_t end) {
          for (; i < end; ++i) {
            for (const X value : x.row(i)) {
              if (!std::isfinite(static_cast<float>(value))) return i;
            }
          }
          return x.rows();
        },
        [](std::size_t a, std::size_t b) { return std::min(a, b); });
  }

  Tensor<float> owned_;
  Tensor<bf16> owned_half_;
  MatrixView<const float> full_;
  MatrixView<const bf16> half_;
};

}  // namespace detail

/// What a frozen teacher says of every node, computed once: its logits and, for distilling representations, the rows
/// that enter its last layer. `teacher_outputs` (run_teacher.hpp) makes them layer by layer.
///
/// Shapes   logits [N, C], hidden [N, F_t] or empty; row = node of the graph
/// Cost     4 (N C + N F_t) bytes, half of it after `halve`, nothing where the matrices are borrowed (a mapped file)
/// Threads  constant: any number of readers
class TeacherOutputs {
 public:
  TeacherOutputs() = default;
  /// Takes the matrices; `graph` names the graph they belong to (graph_key), 0 for any.
  ///
  /// Errors   ShapeError if their rows differ; ConfigError naming the first row that is not finite
  explicit TeacherOutputs(Tensor<float> logits, Tensor<float> hidden = {}, std::uint64_t graph = 0)
      : TeacherOutputs(detail::StoredMatrix(std::move(logits)), detail::StoredMatrix(std::move(hidden)),
                       graph, nullptr) {}
  /// The same borrowed, from a mapped file, say, which `owner` keeps open.
  ///
  /// Errors   as the constructor
  template <class X>
    requires(std::is_same_v<X, float> || std::is_same_v<X, bf16>)
  static TeacherOutputs borrow(MatrixView<const X> logits, std::type_identity_t<MatrixView<const X>> hidden,
                               std::uint64_t graph, std::shared_ptr<const void> owner = nullptr) {
    return TeacherOutputs(detail::StoredMatrix(logits), detail::StoredMatrix(hidden), graph,
                          std::move(owner));
  }

  std::size_t num_nodes() const noexcept { return logits_.rows(); }
  std::size_t num_classes() const noexcept { return logits_.cols(); }
  std::size_t hidden_width() const noexcept { return hidden_.cols(); }
  bool has_hidden() const noexcept { return hidden_.rows() > 0; }
  std::uint64_t graph() const noexcept { return graph_; }

  /// Rounds everything to bf16: half the memory, three significant digits.
  void halve() {
    logits_.halve();
    hidden_.halve();
  }

  /// Logits of the nodes `ids`, or of the first `count` where ids is empty; `scratch` is used where they must be
  /// copied.
  ///
  /// Shapes   -> [count, C]; with ids, count = ids.size()
  template <Real T>
  MatrixView<const T> logits(std::span<const NodeId> ids, std::size_t count, Tensor<T>& scratch) const {
    return logits_.rows_of(ids, count, scratch);
  }
  /// Hidden rows likewise.
  template <Real T>
  MatrixView<const T> hidden(std::span<const NodeId> ids, std::size_t count, Tensor<T>& scratch) const {
    return hidden_.rows_of(ids, count, scratch);
  }

  /// Refuses data the teacher did not look at.
  ///
  /// Cost     one pass over the graph's entries
  /// Errors   ConfigError for another graph or another number of classes, ShapeError for another number of nodes
  template <NodeData D>
  void check_data(const D& data) const {
    const CsrView<> matrix = data.graph.view();
    const std::size_t targets = tessera::num_targets(data);
    if (num_nodes() != targets) {
      throw ShapeError(
          message("TeacherOutputs: the teacher speaks of ", num_nodes(), " nodes, the data has ", targets));
    }
    if (num_classes() != data.labels.num_classes) {
      throw ConfigError(message("TeacherOutputs: the teacher knows ", num_classes(),
                                " classes, the data has ", data.labels.num_classes));
    }
    if (graph_ != 0 && graph_ != graph_key(matrix)) {
      throw ConfigError("TeacherOutputs: the teacher looked at another graph: run it on this one");
    }
  }

  /// Shows everything to a file: f(name, matrix of float or bf16), f("graph", number). Borrow them back from the file
  /// by `borrow`.
  template <class F>
  void visit(F&& f) const {
    const auto show = [&](std::string_view name, const detail::StoredMatrix& m) {
      m.is_half() ? f(name, m.half()) : f(name, m.full());
    };
    show("logits", logits_);
    if (has_hidden()) show("hidden", hidden_);
    f("graph", graph_);
  }

 private:
  TeacherOutputs(detail::StoredMatrix logits, detail::StoredMatrix hidden, std::uint64_t graph,
                 std::shared_ptr<const void> owner)
      : logits_(std::move(logits)), hidden_(std::move(hidden)), graph_(graph), owner_(std::move(owner)) {
    if (hidden_.rows() != 0 && hidden_.rows() != logits_.rows()) {
      throw ShapeError(message("TeacherOutputs: hidden has ", hidden_.rows(), " rows, want ", logits_.rows(),
                               " as logits"));
    }
    refuse_bad("logits", logits_);
    refuse_bad("hidden", hidden_);
  }
  static void refuse_bad(std::string_view name, const detail::StoredMatrix& m) {
    if (const std::size_t bad = m.first_bad_row(); bad < m.rows()) {
      throw ConfigError(message("TeacherOutputs: row ", bad, " of ", name,
                                " holds a number that is not finite; did the teacher diverge?"));
    }
  }

  detail::StoredMatrix logits_;
  detail::StoredMatrix hidden_;
  std::uint64_t graph_ = 0;
  std::shared_ptr<const void> owner_;
};

}  // namespace tessera
