// SPDX-License-Identifier: MIT
#include "tessera/kernels/quant_attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/kernels/reference/quant_attention.hpp"

namespace {

using namespace tessera;
using test::Dense;
using test::SparseCase;

/// What a problem rounds.
struct Rounds {
  bool scores = false;
  bool messages = false;
  bool shares = false;
  bool keeps = false;
  QuantGradient gradient = QuantGradient::straight;
};

/// Codes whose extreme ones are met: some scores and messages are clamped.
template <class T>
struct Codes {
  std::array<T, 4> score{T(0.11), T(1 / 0.11), T(-9), T(8)};
  std::array<T, 4> message{T(0.013), T(1 / 0.013), T(-11), T(12)};
  std::vector<std::uint8_t> keep;
  AttentionCodes<T> view;

  Codes(const Rounds& rounds, std::size_t num_cols) {
    if (rounds.keeps) {
      for (std::size_t j = 0; j < num_cols; ++j) keep.push_back(j % 3 == 1 ? 1 : 0);
    }
    if (rounds.scores) view.score = grid(score);
    if (rounds.messages) view.message = grid(message);
    view.shares = rounds.shares;
    view.keep = keep;
    view.gradient = rounds.gradient;
  }
  Codes(const Codes&) = delete;
  Codes& operator=(const Codes&) = delete;

 private:
  static QuantGrid<T> grid(const std::array<T, 4>& n) {
    const std::span<const T> all(n);
    return {all.subspan(0, 1), all.subspan(1, 1), all.subspan(2, 1), all.subspan(3, 1)};
  }
};

template <class T>
struct Problem {
  AttentionOptions options;
  Codes<T> codes;
  Dense<T> x, source, target, grad;
  Dense<T> y, norm, grad_x, grad_source, grad_target;

  Problem(const SparseCase& c, std::size_t heads, std::size_t width, float dropout, const Rounds& rounds)
      : options{heads, 0.2, {dropout, make_key(1, 2, Purpose::dropout), 3}},
        codes(rounds, c.num_cols),
        x(Dense<T>::random(c.num_cols, heads * width, 1, 3)),
        source(Dense<T>::random(c.num_cols, heads, 2)),
        target(Dense<T>::random(c.num_rows(), heads, 3, 1)),
        grad(Dense<T>::random(c.num_rows(), heads * width, 4, 2)),
        y(c.num_rows(), heads * width, 1),
        norm(c.num_rows(), 3 * heads, 2),
        grad_x(c.num_cols, heads * width, 1),
        grad_source(c.num_cols, heads),
        grad_target(c.num_rows(), heads) {}

  void run(const SparseCase& c, const SparseCase& transpose) {
    quant_attention_norm<T>(c.view(), source, target, options, codes.view, norm.view());
    quant_attention_sum<T>(c.view(), x, source, target, options, codes.view, norm, y.view());
    quant_attention_backward<T>(c.view(), transpose.view(), x, source, target, options, codes.view, norm,
                                grad, grad_x.view(), grad_source.view(), grad_target.view());
  }
};

template <class T, class Want>
double worst(const Dense<T>& got, const Dense<Want>& want) {
  double out = 0;
  for (std::size_t i = 0; i < got.rows(); ++i) {
    for (std::size_t j = 0; j < got.cols(); ++j) {
      const double w = static_cast<double>(want(i, j));
      const double d = std::abs(static_cast<double>(got(i, j)) - w) / (1 + std::abs(w));
      if (!(d <= out)) out = d;
    }
  }
  return out;
}

/// The share of numbers that differ by more than a few roundings of a sum of some hundred terms.
template <class T>
double share_apart(const Dense<T>& got, const Dense<double>& want) {
  std::size_t apart = 0;
  for (std::size_t i = 0; i < got.rows(); ++i) {
    for (std::size_t f = 0; f < got.cols(); ++f) {
      const double w = want(i, f);
      if (!(std::abs(static_cast<double>(got(i, f)) - w) <= 1e-4 * (1 + std::abs(w)))) ++apart;
    }
  }
  return static_cast<double>(apart) / std::max(1.0, static_cast<double>(got.rows() * got.cols()));
}

/// Against the twin in the same precision. `bound` is in roundings of the longest sum; numbers near the middle between two
/// codes are none of double's random ones, so codes are the twin's.
template <class T>
void check(const SparseCase& c, std::size_t heads, std::size_t width, float dropout, const Rounds& rounds) {
  const SparseCase transpose = test::transpose_of(c.view());
  std::size_t longest = 0;
  for (std::size_t i = 0; i < c.num_rows(); ++i) longest = std::max(longest, c.view().degree(i));
  for (std::size_t j = 0; j < transpose.num_rows(); ++j) {
    longest = std::max(longest, transpose.view().degree(j));
  }
  Problem<T> fast(c, heads, width, dropout, rounds);
  fast.run(c, transpose);
  Dense<T> y(c.num_rows(), heads * width), grad_x(c.num_cols, heads * width), grad_source(c.num_cols, heads),
      grad_target(c.num_rows(), heads);
  reference::quant_attention<T>(c.view(), fast.x, fast.source, fast.target, fast.options, fast.codes.view,
                                fast.grad, y.view(), grad_x.view(), grad_source.view(), grad_target.view());
  const double u = test::unit_roundoff<T>();
  const double bound = (static_cast<double>(longest + width) + 40) * u * 4;
  INFO(c.name << ", " << heads << " heads of " << width << ", dropout " << dropout << ", scores "
              << rounds.scores << ", messages " << rounds.messages << ", shares " << rounds.shares
              << ", keeps " << rounds.keeps << ", gradient " << static_cast<int>(rounds.gradient));
  CHECK(worst(fast.y, y) <= bound);
  CHECK(worst(fast.grad_x, grad_x) <= bound);
  CHECK(worst(fast.grad_source, grad_source) <= bound);
  CHECK(worst(fast.grad_target, grad_target) <= bound);
  CHECK(fast.y.gaps_untouched());
  CHECK(fast.grad_x.gaps_untouched());
}

using Sizes = std::vector<std::pair<std::size_t, std::size_t>>;

/// The awkward matrices, and the one with a hub turned around.
std::vector<SparseCase> cases_of_both_sides() {
  std::vector<SparseCase> cases = test::awkward_cases(false);
  cases.push_back(test::transpose_of(cases.back().view()));
  return cases;
}

std::vector<Rounds> all_roundings() {
  std::vector<Rounds> out{{.shares = true}, {.scores = true, .shares = true, .keeps = true}};
  for (const QuantGradient g :
       {QuantGradient::straight, QuantGradient::clipped, QuantGradient::clipped_inclusive}) {
    out.push_back({.scores = true, .messages = true, .keeps = true, .gradient = g});
    out.push_back({.scores = false, .messages = true, .keeps = false, .gradient = g});
  }
  return out;
}

}  // namespace

TEST_CASE("quantised attention: equals its twin, gradients included, on awkward matrices at every level",
          "[quant_attention]") {
  const auto cases = cases_of_both_sides();
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const SparseCase& c : cases) {
      for (const auto& [heads, width] : Sizes{{1, 7}, {8, 16}, {3, 5}, {12, 20}}) {
        for (const Rounds& rounds : all_roundings()) check<double>(c, heads, width, 0.5f, rounds);
        check<float>(c, heads, width, 0.25f, {});
      }
    }
  }
}

TEST_CASE("quantised attention: nothing rounded is attention itself", "[quant_attention]") {
  for (const SparseCase& c : test::awkward_cases(false)) {
    const SparseCase transpose = test::transpose_of(c.view());
    Problem<double> p(c, 4, 6, 0.5f, {});
    p.run(c, transpose);
    Dense<double> y(c.num_rows(), 24), norm(c.num_rows(), 8), grad_x(c.num_cols, 24),
        grad_source(c.num_cols, 4), grad_target(c.num_rows(), 4);
    attention_sum<double>(c.view(), p.x, p.source, p.target, p.options, y.view(), norm.view());
    attention_sum_backward<double>(c.view(), transpose.view(), p.x, p.source, p.target, p.options, norm,
                                   p.grad, grad_x.view(), grad_source.view(), grad_target.view());
    INFO(c.name);
    CHECK(worst(p.y, y) < 1e-12);
    CHECK(worst(p.grad_x, grad_x) < 1e-11);
    CHECK(worst(p.grad_source, grad_source) < 1e-11);
    CHECK(worst(p.grad_target, grad_target) < 1e-11);
  }
}

// A float and a double differ by a few units in the 2^24th part of a number whose codes are at least a 255th apart: of random
// numbers about one in 10,000 lies so near the middle of two codes that they round apart, and a sum over a row's entries
// and 16 columns holds up to some hundreds of them.
TEST_CASE("quantised attention: floats round as doubles do but near the middle of two codes",
          "[quant_attention]") {
  const auto cases = cases_of_both_sides();
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const SparseCase& c : cases) {
      for (const Rounds& rounds : all_roundings()) {
        Problem<float> p(c, 8, 16, 0.5f, rounds);
        p.run(c, test::transpose_of(c.view()));
        Dense<double> y(c.num_rows(), 128), grad_x(c.num_cols, 128), grad_source(c.num_cols, 8),
            grad_target(c.num_rows(), 8);
        const Codes<double> codes(rounds, c.num_cols);
        reference::quant_attention<double>(c.view(), p.x.widened().view(), p.source.widened().view(),
                                           p.target.widened().view(), p.options, codes.view,
                                           p.grad.widened().view(), y.view(), grad_x.view(),
                                           grad_source.view(), grad_target.view());
        INFO(c.name << ", scores " << rounds.scores << ", messages " << rounds.messages << ", gradient "
                    << static_cast<int>(rounds.gradient));
        CHECK(share_apart(p.y, y) <= 0.02);
        CHECK(share_apart(p.grad_x, grad_x) <= 0.02);
        CHECK(share_apart(p.grad_source, grad_source) <= 0.05);
        CHECK(share_apart(p.grad_target, grad_target) <= 0.05);
      }
    }
  }
}

TEST_CASE("quantised attention: what clamping holds back may be infinite", "[quant_attention]") {
  const auto cases = test::awkward_cases(false);
  const SparseCase& c = cases[4];
  Problem<float> p(c, 2, 10, 0.0f, {.messages = true, .gradient = QuantGradient::clipped});
  p.x(3, 4) = std::numeric_limits<float>::infinity();
  p.x(5, 19) = std::numeric_limits<float>::quiet_NaN();
  p.run(c, test::transpose_of(c.view()));
  for (const Dense<float>* const out : {&p.y, &p.grad_x, &p.grad_source, &p.grad_target}) {
    for (std::size_t i = 0; i < out->rows(); ++i) {
      for (std::size_t f = 0; f < out->cols(); ++f) CHECK(std::isfinite((*out)(i, f)));
    }
  }
}

TEST_CASE("quantised attention: factors of a row's shares add up to one and are whole codes",
          "[quant_attention]") {
  for (const SparseCase& c : test::awkward_cases(false)) {
    for (const std::size_t heads : {std::size_t{1}, std::size_t{3}, std::size_t{12}}) {
      Problem<double> p(c, heads, 2, 0.0f, {.shares = true});
      Dense<double> factor(c.view().num_edges(), heads);
      quant_attention_norm<double>(c.view(), p.source, p.target, p.options, p.codes.view, p.norm.view());
      quant_attention_factors<double>(c.view(), p.source, p.target, p.options, p.codes.view, p.norm,
                                      factor.view());
      for (std::size_t i = 0; i < c.num_rows(); ++i) {
        if (c.view().degree(i) == 0) continue;
        for (std::size_t h = 0; h < heads; ++h) {
          double sum = 0;
          double largest = 0;
          for (auto e = c.view().begin(i); e < c.view().end(i); ++e) {
            sum += factor(e, h);
            largest = std::max(largest, factor(e, h));
          }
          CHECK(std::abs(sum - 1) < 1e-9);
          for (auto e = c.view().begin(i); e < c.view().end(i); ++e) {
            const double code = factor(e, h) / largest * 255;
            if (!(std::abs(code - std::nearbyint(code)) < 1e-6)) FAIL_CHECK("share of " << code << " codes");
          }
        }
      }
    }
  }
}

TEST_CASE("quantised attention: same bits at any thread count", "[quant_attention]") {
  const auto cases = cases_of_both_sides();
  const Rounds faithful{.scores = true, .messages = true, .keeps = true, .gradient = QuantGradient::clipped};
  for (const SparseCase& hub : {cases[cases.size() - 2], cases.back()}) {
    const SparseCase transpose = test::transpose_of(hub.view());
    for (const Rounds& rounds : {faithful, Rounds{.shares = true}}) {
      for (const auto output : {&Problem<float>::y, &Problem<float>::norm, &Problem<float>::grad_x,
                                &Problem<float>::grad_source, &Problem<float>::grad_target}) {
        CHECK(test::same_at_any_thread_count([&] {
          Problem<float> p(hub, 4, 9, 0.3f, rounds);
          p.run(hub, transpose);
          return p.*output;
        }));
      }
    }
  }
}

TEST_CASE("quantised attention: what does not fit is refused", "[quant_attention]") {
  const auto cases = test::awkward_cases(false);
  const SparseCase& c = cases[4];
  Problem<float> p(c, 2, 3, 0.0f, {.scores = true});
  const auto norm = [&](const AttentionOptions& options, const AttentionCodes<float>& codes) {
    quant_attention_norm<float>(c.view(), p.source, p.target, options, codes, p.norm.view());
  };
  CHECK_THROWS_AS(norm({3, 0.2, {}}, p.codes.view), ShapeError);
  CHECK_THROWS_AS(norm({2, 2.0, {}}, p.codes.view), ConfigError);
  AttentionCodes<float> codes = p.codes.view;
  const std::vector<std::uint8_t> keep(c.num_cols + 1);
  codes.keep = keep;
  CHECK_THROWS_AS(norm(p.options, codes), ShapeError);
  codes = p.codes.view;
  codes.score.low = {};
  CHECK_THROWS_AS(norm(p.options, codes), ShapeError);
  Dense<float> narrow(c.num_rows(), 4);
  CHECK_THROWS_AS(quant_attention_sum<float>(c.view(), p.x, p.source, p.target, p.options, p.codes.view,
                                             narrow, p.y.view()),
                  ShapeError);
}
