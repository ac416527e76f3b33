// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/quant/bit_search.hpp"
#include "tessera/quant/fake_quantize.hpp"
#include "tessera/quant/quant_plan.hpp"

namespace tessera {

/// What a pass through a quantised model does.
enum class QuantMode {
  plan,       ///< writes down the quantisers it meets
  train,      ///< observes, quantises, protects
  infer,      ///< quantises with what was observed
  calibrate,  ///< observes and leaves the numbers as they are
};

/// What the passes of one model share.
///
/// Training passes of one model run one at a time, and a tape is rewound before the next one.
template <Real T>
struct QuantWorkspace {
  Array<std::uint8_t> keep;  ///< who is protected in this pass
  std::vector<Array<float>>
      entry_codes;  ///< entries of sparse inputs and coefficients as quantisers leave them
  std::vector<std::pair<Var, Var>> twins;  ///< operands and what became of them
  std::vector<Var> quantized;              ///< results that are codes already
  const BitSearch<T>* search = nullptr;    ///< chooses widths; null: the plan's
};

/// A tape (or none) that quantises what operators are given: the context layers run in inside a quantised model.
///
/// Layers call operators as functions of their context. Those that multiply, sum over neighbours or add a bias have an
/// overload for this context (quant/quant_ops.hpp) which quantises operands and results and runs the operator
/// of the tape inside; all others run on the tape as they are. So no layer knows of quantisers.
/// Threads  as the tape inside
template <class C>
class QuantScope {
 public:
  using Scalar = typename C::Scalar;
  using T = Scalar;
  static constexpr bool kRecords = C::kRecords;

  /// What a pass is about.
  struct Run {
    QuantMode mode = QuantMode::infer;
    std::size_t first_point = 0;
    std::size_t layer = 0;
    RngKey key{};
    std::span<const std::uint8_t> keep{};  ///< protected rows of the first layer's input
    const Adjacency* readout = nullptr;
  };

  QuantScope(C& base, QuantPlan& plan, const ParameterBlock<T>& block, QuantWorkspace<T>& workspace,
             const Run& run)
      : base_(base),
        plan_(plan),
        block_(block),
        workspace_(workspace),
        twins_(workspace.twins),
        quantized_(workspace.quantized),
        run_(run),
        next_(run.first_point) {
    twins_.clear();
    quantized_.clear();
  }
  QuantScope(const QuantScope&) = delete;
  QuantScope& operator=(const QuantScope&) = delete;
  ~QuantScope() {
    for (const auto& [x, q] : twins_) base_.forget(q);
  }

  C& base() noexcept { return base_; }
  const QuantPlan& plan() const noexcept { return plan_; }
  const Run& run() const noexcept { return run_; }
  bool fused() const noexcept { return plan_.settings.placement == Placement::fused; }
  /// The published quantisers of graph convolution are those of X W, whichever width is smaller.
  bool multiplies_first() const noexcept { return !fused(); }
  bool plans() const noexcept { return run_.mode == QuantMode::plan; }
  bool reads_out(const Adjacency& a) const noexcept { return &a == run_.readout; }
  /// Rows of the batch that are protected among the first `rows`.
  std::span<const std::uint8_t> keep(std::size_t rows) const noexcept {
    return run_.keep.empty() ? run_.keep : run_.keep.first(std::min(rows, run_.keep.size()));
  }

  // What operators ask of a context.
  template <class... A>
  Var input(const A&... value) {
    return base_.input(value...);
  }
  Var parameter(ParameterView<T> p) { return base_.parameter(p); }
  template <class Op>
  Var record(Tensor<T> value, Op op) {
    return base_.record(std::move(value), std::move(op));
  }
  template <class Op>
  Var record_view(Var x, MatrixView<const T> value, Op op) {
    return base_.record_view(x, value, std::move(op));
  }
  MatrixView<const T> value(Var v) const { return base_.value(v); }
  std::size_t rows(Var v) const { return base_.rows(v); }
  std::size_t cols(Var v) const { return base_.cols(v); }
  const SparseInput* sparse(Var v) const noexcept { return base_.sparse(v); }
  bool needs_grad(Var v) const { return base_.needs_grad(v); }
  Tensor<T> take(Var v) { return base_.take(v); }
  void forget(Var v) {
    for (std::size_t k = 0; k < twins_.size(); ++k) {
      if (twins_[k].first != v) continue;
      base_.forget(twins_[k].second);
      twins_.erase(twins_.begin() + static_cast<std::ptrdiff_t>(k));
      break;
    }
    base_.forget(v);
  }

  /// The quantised twin of x, made once per pass: several operators of a layer share the codes of one operand. A
  /// quantised x is its own.
  Var twin(Var x, QuantRole role) {
    if (const Var known = find_twin(x)) return known;
    const Var q = sparse(x) != nullptr ? quantize_entries(x, role) : quantize(x, role);
    if (q != x) twins_.emplace_back(x, q);
    if (q == x) quantized_.push_back(x);
    return q;
  }
  Var find_twin(Var x) const noexcept {
    for (const auto& [from, q] : twins_) {
      if (from == x || q == x) return q;
    }
    return std::find(quantized_.begin(), quantized_.end(), x) == quantized_.end() ? Var{} : x;
  }
  void set_twin(Var x, Var q) { twins_.emplace_back(x, q); }
  void mark_quantized(Var x) { quantized_.push_back(x); }

  /// Takes the next quantiser of the plan: observes x in training, and rounds it to codes.
  ///
  /// Errors   ConfigError if a range is asked for that nobody observed, or the model's operators come in another order
  ///          than they did when it was made
  Var quantize(Var x, QuantRole role, std::span<const float> row_factor = {}) {
    QuantPoint& point = take_point(role, rows(x), cols(x));
    if (plans() || !point.active || value(x).size() == 0) return x;
    QuantRows which{point.masked ? keep(rows(x)) : std::span<const std::uint8_t>{}, row_factor};
    if (observes()) observe_point(point, x, which);
    if (run_.mode == QuantMode::calibrate || nothing_seen(point)) return x;
    if (workspace_.search != nullptr) {
      return workspace_.search->mix(base_, x, next_ - 1, point.format, block_.value(point.state), point.name,
                                    which);
    }
    FakeQuantizeOptions options{.gradient = gradient_of(point), .rows = which};
    if (run_.mode == QuantMode::train && role == QuantRole::weight && plan_.settings.noise_rate < 1) {
      options.exact = {static_cast<float>(1 - plan_.settings.noise_rate), run_.key,
                       0x4e000000u + static_cast<std::uint32_t>(next_)};
    }
    return fake_quantize(base_, x, grid(point), options);
  }

  /// The next quantiser, for operators that round numbers themselves; observe_* is the caller's.
  QuantPoint& take_point(QuantRole role, std::size_t rows, std::size_t cols) {
    if (plans()) return write_down(role, rows, cols);
    if (next_ >= plan_.points.size() || plan_.points[next_].role != role) {
      throw ConfigError(message("QuantScope: the model quantizes ", role_name(role), " as number ", next_,
                                ", its plan has ",
                                next_ < plan_.points.size() ? plan_.points[next_].name : "nothing",
                                "; its operators must come in one order for all data"));
    }
    return plan_.points[next_++];
  }
  bool observes() const noexcept {
    return run_.mode == QuantMode::train || run_.mode == QuantMode::calibrate;
  }
  MatrixView<T> state(const QuantPoint& point) const noexcept { return block_.state(point.state); }
  OwnedGrid<T> grid(const QuantPoint& point) const {
    return OwnedGrid<T>(block_.value(point.state), point.format, point.name);
  }
  /// In training, where all rows are protected from the first step on, there is no range to round with.
  bool nothing_seen(const QuantPoint& point) const {
    return run_.mode == QuantMode::train && block_.value(point.state)(2, 0) == T{0};
  }
  const QuantSettings& settings() const noexcept { return plan_.settings; }
  std::uint32_t point_number() const noexcept { return static_cast<std::uint32_t>(next_); }
  QuantWorkspace<T>& workspace() noexcept { return workspace_; }

  /// While planning: graph isomorphism's perceptron is not masked, from its sum on.
  void leave_masks(bool leave) noexcept { unmasked_ = leave; }

 private:
  void observe_point(const QuantPoint& point, Var x, const QuantRows& which) {
    if (point.channels > 1) return observe_columns<T>(state(point), value(x), settings());
    observe<T>(state(point), value(x), which, settings(), run_.key, static_cast<std::uint32_t>(next_));
  }

  /// A column's range is its extremes, so there is always a weight at the extreme code. The published rule, which passes
  /// no gradient to extreme codes, would hold every column's largest weight where it started.
  QuantGradient gradient_of(const QuantPoint& point) const noexcept {
    const QuantGradient rule = plan_.settings.gradient;
    const bool columns = point.role == QuantRole::weight && plan_.settings.per_channel;
    return columns && rule == QuantGradient::clipped ? QuantGradient::clipped_inclusive : rule;
  }

  QuantPoint& write_down(QuantRole role, std::size_t rows, std::size_t cols) {
    const bool weight = role == QuantRole::weight || role == QuantRole::attention;
    QuantPoint& point = plan_.points.emplace_back();
    point.role = role;
    point.layer = run_.layer;
    point.channels = role == QuantRole::weight && plan_.settings.per_channel ? cols : 1;
    point.elements = weight ? rows * cols : 0;
    point.columns = cols;
    // The plan's graph has two nodes: other numbers of rows are those of weights or of whole graphs.
    point.masked = !weight && role != QuantRole::norm && rows == 2 && !unmasked_;
    point.active = (weight ? plan_.settings.weight_bits : plan_.settings.activation_bits) != 32;
    if (point.active) point.format = format_of(role, plan_.settings);
    return point;
  }

  /// The entries of a sparse input, rounded; zeros are codes anyhow. Entries are dropped afterwards.
  Var quantize_entries(Var x, QuantRole role) {
    SparseInput input = *sparse(x);
    const CsrView<> entries = input.entries.forward;
    QuantPoint& point = take_point(role, entries.num_rows, entries.num_cols);
    if (plans() || !point.active || entries.num_edges() == 0) return x;
    const std::span<const std::uint8_t> kept =
        point.masked ? keep(entries.num_rows) : std::span<const std::uint8_t>{};
    if (observes()) observe_entries<T>(state(point), entries, kept, settings(), run_.key, point_number());
    if (run_.mode == QuantMode::calibrate || nothing_seen(point)) return x;
    const OwnedGrid<T> codes = grid(point);
    input.entries.forward.weight = rounded(entries, codes, kept, false);
    input.entries.transpose.weight = rounded(input.entries.transpose, codes, kept, true);
    return base_.input(input);
  }
  std::span<const float> rounded(const CsrView<>& entries, const OwnedGrid<T>& codes,
                                 std::span<const std::uint8_t> kept, bool transposed) {
    Array<float>& out = workspace_.entry_codes.emplace_back(entries.num_edges());
    const QuantGrid<T> g = codes.view();
    parallel_for(entries.num_rows, 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (auto e = entries.begin(i); e < entries.end(i); ++e) {
          const T w = entries.weighted() ? static_cast<T>(entries.weight[e]) : T{1};
          const bool exact = !kept.empty() && kept[transposed ? entries.col[e] : i] != 0;
          out[e] = static_cast<float>(
              exact ? w : detail::round_clamped(w * g.inverse[0], g.low[0], g.high[0]) * g.scale[0]);
        }
      }
    });
    return out.span();
  }

  C& base_;
  QuantPlan& plan_;
  const ParameterBlock<T>& block_;
  QuantWorkspace<T>& workspace_;
  std::vector<std::pair<Var, Var>>& twins_;
  std::vector<Var>& quantized_;
  Run run_;
  std::size_t next_;
  bool unmasked_ = false;
};

}  // namespace tessera
