// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/fingerprint.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/batch_norm.hpp"
#include "tessera/precompute/detail/hop_sink.hpp"
#include "tessera/precompute/hop_features.hpp"
#include "tessera/precompute/operator.hpp"
#include "tessera/precompute/propagate_options.hpp"

namespace tessera::detail {

/// One run of `propagate`.
class Propagation {
  using Family = PropagationFamily;
  using Options = PropagateOptions;

 public:
  Propagation(std::span<const Family> families, MatrixView<const float> x, const Options& options)
      : families_(families), x_(x), options_(options) {
    check();
    layout_.rows = options.rows.empty() ? x.rows() : options.rows.size();
    layout_.features = x.cols();
    layout_.element = options.element;
    name_blocks();
    choose_panel();
  }

  HopFeatures run() {
    if (!options_.file.empty()) {
      layout_.key = key();
      std::error_code ignored;
      if (std::filesystem::exists(options_.file, ignored)) {
        return HopFeatures::open(options_.file, layout_.key);
      }
    }
    HopSink sink(layout_, options_.rows, options_.file, panel_);
    const std::size_t per_panel = std::max<std::size_t>(1, families_.size());
    const std::size_t panels = (x_.cols() + panel_ - 1) / panel_;
    progress_ = {0, panels, 0, panels * total_hops()};
    for (std::size_t unit = 0; unit < panels * per_panel; ++unit) {
      const std::size_t f = unit % per_panel;
      progress_.panel = unit / per_panel;
      const std::size_t hops = families_.empty() ? 0 : families_[f].hops;
      if (unit < sink.finished_units()) {
        progress_.hops_done += hops;
        continue;
      }
      const std::size_t first = progress_.panel * panel_;
      const std::size_t width = std::min(panel_, x_.cols() - first);
      if (plain_bf16(f)) {
        run_family<bf16>(sink, f, first, width);
      } else {
        run_family<float>(sink, f, first, width);
      }
      sink.finish_unit();
    }
    return sink.finish();
  }

  static std::size_t bytes(std::span<const Family> families, std::size_t rows, std::size_t cols,
                           std::size_t panel, const Options& options) {
    std::size_t panels = 0;
    for (const Family& family : families) {
      const bool half = holds_bf16(family, options);
      panels =
          std::max(panels, family.op->panels() * (half ? 2 : 4) + (options.emit == Emit::combined ? 4 : 0));
    }
    // Panels of a cache line and more are padded to whole lines; scratch of sums and of stored rows.
    const std::size_t width = panel < 16 ? panel : (panel + 31) / 32 * 32;
    const std::size_t nodes = families.empty() ? rows : families.front().op->num_nodes();
    HopLayout layout;
    layout.rows = options.rows.empty() ? nodes : options.rows.size();
    layout.features = cols;
    layout.element = options.element;
    const std::size_t kept = blocks_of(families, options);
    layout.blocks.resize(kept);
    const std::size_t scratch = max_threads() * (std::size_t{6} << 20);
    return nodes * width * panels + (options.file.empty() ? layout.bytes() : 0) + scratch;
  }

 private:
  static bool holds_bf16(const Family& family, const Options& options) {
    return options.element == ElementType::bf16 && !family.op->is_series() &&
           options.emit != Emit::combined && !options.standardize;
  }
  bool plain_bf16(std::size_t f) const { return !families_.empty() && holds_bf16(families_[f], options_); }

  static std::size_t blocks_of(std::span<const Family> families, const Options& options) {
    if (options.emit != Emit::all) return families.size();
    std::size_t count = options.include_input ? 1 : 0;
    for (const Family& family : families) count += family.hops;
    return count;
  }

  void check() const {
    for (const Family& family : families_) {
      if (family.op == nullptr) throw ConfigError("propagate: a family has no operator");
      if (family.op->num_nodes() != x_.rows()) {
        throw ShapeError(message("propagate: x has ", x_.rows(), " rows, operator ", family.op->name(),
                                 " has ", family.op->num_nodes(), " nodes"));
      }
      if (options_.standardize && family.op->factorised()) {
        throw ConfigError(message("propagate: standardize does not go with operator ", family.op->name(),
                                  ", want one without D^-1/2: row, row_loops, triangle, bethe or sum"));
      }
      if (options_.emit == Emit::combined && options_.weights.size() != family.hops + 1) {
        throw ConfigError(
            message("propagate: ", options_.weights.size(), " weights, want hops + 1 = ", family.hops + 1));
      }
    }
    if (options_.emit == Emit::combined && options_.standardize) {
      throw ConfigError("propagate: standardize does not go with Emit::combined");
    }
    if (x_.cols() == 0) throw ConfigError("propagate: x has no columns");
    if (blocks_of(families_, options_) == 0) {
      throw ConfigError("propagate: nothing to keep: hops is 0 and include_input is off");
    }
    for (const NodeId row : options_.rows) {
      if (row >= x_.rows())
        throw IndexError(message("propagate: rows holds ", row, ", want below ", x_.rows()));
    }
  }

  void name_blocks() {
    auto& names = layout_.blocks;
    if (options_.emit == Emit::all && options_.include_input) names.emplace_back("x");
    for (const Family& family : families_) {
      const std::string& op = family.op->name();
      if (options_.emit == Emit::combined) {
        names.push_back("combined " + op);
      } else if (options_.emit == Emit::last) {
        names.push_back(family.hops == 0 ? "x" : message(op, "^", family.hops));
      } else {
        for (std::size_t k = 1; k <= family.hops; ++k) names.push_back(message(op, "^", k));
      }
    }
  }

  std::size_t total_hops() const {
    std::size_t count = 0;
    for (const Family& family : families_) count += family.hops;
    return count;
  }

  /// Columns at a time where memory does not matter: neighbours' rows of a narrow panel stay in the cache, and reading
  /// the ids again costs 2 % from 256 bytes a row on. `bench_precompute --only reddit` times these panels, others of 128
  /// columns and one of all; rows of up to 512 bytes are not worth cutting.
  std::size_t best_panel() const noexcept {
    constexpr std::size_t kWhole = 512;
    constexpr std::size_t kPiece = 256;
    const std::size_t element = options_.element == ElementType::bf16 ? 2 : 4;
    return x_.cols() * element <= kWhole ? x_.cols() : kPiece / element;
  }

  void choose_panel() {
    const std::size_t machine = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES)) *
                                static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t budget = options_.memory_budget == 0 ? machine : options_.memory_budget;
    const std::size_t held = [&] {
      std::size_t sum = 0;
      for (const Family& family : families_) sum += family.op->owned_bytes();
      return sum;
    }();
    const auto fits = [&](std::size_t panel) {
      return held + bytes(families_, x_.rows(), x_.cols(), panel, options_) <= budget;
    };
    const std::size_t most = options_.panel == 0 ? best_panel() : std::min(options_.panel, x_.cols());
    panel_ = most;
    constexpr std::size_t kLine = 32;  // whole cache lines for every element type
    while (!fits(panel_) && options_.panel == 0 && panel_ > 1) {
      panel_ = panel_ > kLine ? (panel_ - 1) / kLine * kLine : panel_ / 2;
    }
    if (fits(panel_)) return;
    const char* const advice = options_.file.empty() ? "; name a file to put the result on disk" : "";
    throw ConfigError(message("propagate: memory_budget is ", budget, " bytes, panels of ", panel_,
                              " column(s) need ",
                              held + bytes(families_, x_.rows(), x_.cols(), panel_, options_), advice));
  }

  std::uint64_t key() const {
    Fingerprint print;
    print.add(x_).add(options_.rows).add(std::span<const double>(options_.weights));
    print.add(static_cast<std::uint64_t>(options_.emit)).add(static_cast<std::uint64_t>(options_.element));
    print.add(std::uint64_t{options_.include_input}).add(std::uint64_t{options_.standardize});
    for (const Family& family : families_)
      print.add(family.op->fingerprint()).add(std::uint64_t{family.hops});
    return print.value();
  }

  template <class X>
  void run_family(HopSink& sink, std::size_t f, std::size_t first, std::size_t width) {
    const MatrixView<const float> input = x_.middle_cols(first, width);
    const auto one = [](std::size_t) { return 1.0f; };
    std::size_t b = f == 0 ? 0 : first_block(f);
    if (f == 0 && options_.emit == Emit::all && options_.include_input) sink.put(b++, first, input, one);
    if (families_.empty()) return;
    const Family& family = families_[f];
    const auto scale = [op = family.op](std::size_t i) { return op->scale(i); };
    if (family.hops == 0 && options_.emit == Emit::last) sink.put(b, first, input, one);
    if (family.hops == 0 && options_.emit != Emit::combined) return;

    Tensor<X> now(x_.rows(), width);
    Tensor<X> next(x_.rows(), width);
    Tensor<X> scratch(family.op->is_series() ? x_.rows() : 0, width);
    Tensor<float> sum;
    load(input, *family.op, now.view());
    if (options_.emit == Emit::combined) {
      sum.resize(x_.rows(), width);
      accumulate(input, options_.weights[0], one, true, sum.view());
    }
    for (std::size_t k = 1; k <= family.hops; ++k) {
      family.op->template apply<X>(now, next.view(), scratch.view());
      std::swap(now, next);
      if constexpr (std::is_same_v<X, float>) {
        if (options_.standardize) standardize(now.view());
      }
      const MatrixView<const X> result = std::as_const(now).view();
      if (options_.emit == Emit::all) sink.put(b++, first, result, scale);
      if (options_.emit == Emit::last && k == family.hops) sink.put(b, first, result, scale);
      if (options_.emit == Emit::combined) accumulate(result, options_.weights[k], scale, false, sum.view());
      ++progress_.hops_done;
      if (options_.progress) options_.progress(progress_);
    }
    if (options_.emit == Emit::combined) sink.put(b, first, std::as_const(sum).view(), one);
  }

  std::size_t first_block(std::size_t f) const { return blocks_of(families_.first(f), options_); }

  template <class X, class Op>
  static void load(MatrixView<const float> input, const Op& op, MatrixView<X> to) {
    parallel_for(input.rows(), 256, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const float by = static_cast<float>(op.unscale(i));
        for (std::size_t f = 0; f < input.cols(); ++f) to(i, f) = static_cast<X>(input(i, f) * by);
      }
    });
  }

  template <class X, class Factor>
  static void accumulate(MatrixView<const X> x, double weight, const Factor& factor, bool start,
                         MatrixView<float> sum) {
    parallel_for(x.rows(), 256, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const float by = static_cast<float>(weight * static_cast<double>(factor(i)));
        for (std::size_t f = 0; f < x.cols(); ++f) {
          const float term = by * static_cast<float>(x(i, f));
          sum(i, f) = start ? term : sum(i, f) + term;
        }
      }
    });
  }

  // Sums of a column depend on the extents only through the number of rows per block, which depends on the width
  // of the panel; so columns are treated one cache line at a time, whatever the panel.
  static void standardize(MatrixView<float> x) {
    constexpr std::size_t kCols = 16;
    for (std::size_t first = 0; first < x.cols(); first += kCols) {
      const MatrixView<float> part = x.middle_cols(first, std::min(kCols, x.cols() - first));
      Array<float> mean(kCols);
      Array<float> inv_std(kCols);
      mean.resize(part.cols());
      inv_std.resize(part.cols());
      column_statistics(MatrixView<const float>(part), mean.span(), inv_std.span());
      for (float& v : inv_std) v = 1 / std::sqrt(v + 1e-5f);
      batch_norm(MatrixView<const float>(part), {}, {}, mean, inv_std, part);
    }
  }

  std::span<const Family> families_;
  MatrixView<const float> x_;
  const Options& options_;
  HopLayout layout_;
  std::size_t panel_ = 0;
  PropagateProgress progress_{};
};

}  // namespace tessera::detail
