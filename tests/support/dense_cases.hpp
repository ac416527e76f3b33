// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"

// Dense matrices with awkward strides, and the loops over levels and thread counts that kernel tests share.

namespace tessera::test {

/// A matrix that owns its elements and whose rows are `gap` elements further apart than they are long. The
/// gaps hold a value that shows when a kernel writes where it must not.
template <class T>
class Dense {
 public:
  Dense(std::size_t rows, std::size_t cols, std::size_t gap = 0)
      : rows_(rows), cols_(cols), stride_(cols + gap), data_(rows * (cols + gap), static_cast<T>(kGap)) {}

  /// Uniform in [-1, 1).
  static Dense random(std::size_t rows, std::size_t cols, std::uint64_t seed, std::size_t gap = 0) {
    Dense out(rows, cols, gap);
    CounterRng rng(make_key(seed, 0, Purpose::generate), 0, 0);
    for (std::size_t i = 0; i < rows; ++i) {
      for (T& x : out.view().row(i)) x = static_cast<T>(static_cast<float>(rng.uniform() * 2 - 1));
    }
    return out;
  }

  MatrixView<T> view() { return {data_.data(), rows_, cols_, stride_}; }
  MatrixView<const T> view() const { return {data_.data(), rows_, cols_, stride_}; }
  operator MatrixView<T>() { return view(); }
  operator MatrixView<const T>() const { return view(); }
  T& operator()(std::size_t i, std::size_t j) { return data_[i * stride_ + j]; }
  const T& operator()(std::size_t i, std::size_t j) const { return data_[i * stride_ + j]; }
  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }

  /// The same values in double, packed.
  Dense<double> widened() const {
    Dense<double> out(rows_, cols_);
    for (std::size_t i = 0; i < rows_; ++i) {
      for (std::size_t j = 0; j < cols_; ++j) out(i, j) = static_cast<double>((*this)(i, j));
    }
    return out;
  }
  Dense<double> magnitudes() const {
    Dense<double> out = widened();
    for (std::size_t i = 0; i < rows_; ++i) {
      for (double& x : out.view().row(i)) x = std::abs(x);
    }
    return out;
  }
  bool gaps_untouched() const {
    for (std::size_t i = 0; i < rows_; ++i) {
      for (std::size_t j = cols_; j < stride_; ++j) {
        if (static_cast<double>(data_[i * stride_ + j]) != kGap) return false;
      }
    }
    return true;
  }
  bool same_bits(const Dense& other) const {
    return data_.size() == other.data_.size() &&
           (data_.empty() || std::memcmp(data_.data(), other.data_.data(), data_.size() * sizeof(T)) == 0);
  }

 private:
  static constexpr double kGap = 77;
  std::size_t rows_, cols_, stride_;
  std::vector<T> data_;
};

template <class T>
std::vector<T> random_values(std::size_t count, std::uint64_t seed) {
  const Dense<T> row = Dense<T>::random(1, count, seed);
  const std::span<const T> values = row.view().row(0);
  return {values.begin(), values.end()};
}

/// Half a unit in the last place of 1.
template <class T>
constexpr double unit_roundoff() {
  return 0.5 * static_cast<double>(std::numeric_limits<T>::epsilon());
}

/// Equal but for this many roundings of a double, on top of the few of a formula written two ways.
inline bool close(double got, double want, double roundings = 0) {
  return std::abs(got - want) <= (roundings + 8) * unit_roundoff<double>() * (1 + std::abs(want));
}

/// |got - want| <= bound for every element; NaN fails. Returns the number of elements that miss it.
template <class T>
std::size_t misses(const Dense<T>& got, const Dense<double>& want, const Dense<double>& bound) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < got.rows(); ++i) {
    for (std::size_t j = 0; j < got.cols(); ++j) {
      if (!(std::abs(static_cast<double>(got(i, j)) - want(i, j)) <= bound(i, j))) ++count;
    }
  }
  return count;
}

/// The same with one bound.
template <class T>
std::size_t misses(const Dense<T>& got, const Dense<double>& want, double bound) {
  Dense<double> bounds(got.rows(), got.cols());
  for (std::size_t i = 0; i < got.rows(); ++i) {
    for (double& b : bounds.view().row(i)) b = bound;
  }
  return misses(got, want, bounds);
}

inline std::vector<Isa> dense_levels() {
  std::vector<Isa> out;
  for (const Isa level : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (level <= detected_isa()) out.push_back(level);
  }
  return out;
}

/// Whether make() gives the same bits at 1, 2, 4 and 16 threads, at every level. make returns a Dense.
template <class Make>
bool same_at_any_thread_count(Make make) {
  for (const Isa level : dense_levels()) {
    const IsaScope scope(level);
    const auto one = with_threads(1, make);
    for (const std::size_t threads : {std::size_t{2}, std::size_t{4}, std::size_t{16}}) {
      if (!one.same_bits(with_threads(threads, make))) return false;
    }
  }
  return true;
}

/// The largest |analytic - numeric| of d loss / d x over the elements of x, relative to 1 + |numeric|, by
/// central differences with step cbrt(u): truncation and rounding both cost about u^(2/3).
template <class Loss>
double gradient_error(Dense<double>& x, const Dense<double>& analytic, Loss loss) {
  const double step = std::cbrt(std::numeric_limits<double>::epsilon());
  double worst = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) {
      const double keep = x(i, j);
      x(i, j) = keep + step;
      const double above = loss();
      x(i, j) = keep - step;
      const double below = loss();
      x(i, j) = keep;
      const double numeric = (above - below) / (2 * step);
      const double error = std::abs(analytic(i, j) - numeric) / (1 + std::abs(numeric));
      worst = error <= worst ? worst : error;  // a NaN stays visible
    }
  }
  return worst;
}

/// What gradient_error may be for a loss of magnitude `size`: the constant covers third derivatives of
/// order 10.
inline double gradient_tolerance(double size) {
  return 100 * (1 + size) * std::pow(std::numeric_limits<double>::epsilon(), 2.0 / 3.0);
}

}  // namespace tessera::test
