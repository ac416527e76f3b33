// SPDX-License-Identifier: MIT
// What the observers of quantised attention see, against plain loops over entries and heads.
#include "tessera/quant/quant_attention.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "support/quant_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/quant/calibrate.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr std::size_t kHeads = 2;
constexpr std::size_t kWidth = 5;  // of a head: no multiple of a vector

/// Three blocks of rows, the last one short, every fifth row empty; sources of which a third are kept.
struct Case {
  OwnedAdjacency owned = random_block(2 * 1024 + 100, 90, 4, 3);
  CsrView<> a = owned.forward.view();
  std::vector<std::uint8_t> keep = std::vector<std::uint8_t>(90);

  Case() {
    for (std::size_t j = 0; j < keep.size(); ++j) keep[j] = j % 3 == 1 ? 1 : 0;
  }
};

template <class T>
struct Messages {
  Tensor<T> x;
  Tensor<T> factor;

  /// Factors of both signs in one head, none below 0 in the other; one kept source has far larger numbers.
  explicit Messages(const Case& c)
      : x(random_matrix<T>(c.a.num_cols, kHeads * kWidth, 5)),
        factor(random_matrix<T>(c.a.num_edges(), kHeads, 6)) {
    for (std::size_t e = 0; e < factor.rows(); ++e) factor(e, 1) = std::max(T{0}, factor(e, 1));
    for (T& v : x.row(4)) v *= T{1000};
  }
  detail::HeadMessages<T> of(const Case& c, std::span<const std::uint8_t> keep,
                             detail::RowSample sample = {}) const {
    return {c.a, x.view(), factor.view(), keep, sample};
  }
  std::vector<T> plain(const Case& c, std::span<const std::uint8_t> keep,
                       detail::RowSample sample = {}) const {
    std::vector<T> out;
    for (std::size_t i = 0; i < c.a.num_rows; ++i) {
      for (auto e = c.a.begin(i); e < c.a.end(i); ++e) {
        const std::size_t j = c.a.col[e];
        if (!keep.empty() && keep[j] != 0) continue;
        if (!sample.takes(e)) continue;
        for (std::size_t h = 0; h < kHeads; ++h) {
          for (std::size_t f = 0; f < kWidth; ++f) out.push_back(factor(e, h) * x(j, h * kWidth + f));
        }
      }
    }
    return out;
  }
};

template <class T>
struct Scores {
  Tensor<T> source;
  Tensor<T> target;

  explicit Scores(const Case& c)
      : source(random_matrix<T>(c.a.num_cols, kHeads, 7)), target(random_matrix<T>(c.a.num_rows, kHeads, 8)) {
    for (T& v : source.row(4)) v *= T{1000};
  }
  std::vector<T> plain(const Case& c, std::span<const std::uint8_t> keep,
                       detail::RowSample sample = {}) const {
    std::vector<T> out;
    for (std::size_t i = 0; i < c.a.num_rows; ++i) {
      for (auto e = c.a.begin(i); e < c.a.end(i); ++e) {
        const std::size_t j = c.a.col[e];
        if (!keep.empty() && keep[j] != 0) continue;
        if (!sample.takes(e)) continue;
        for (std::size_t h = 0; h < kHeads; ++h) out.push_back(source(j, h) + target(i, h));
      }
    }
    return out;
  }
};

/// The numbers a sort puts at the percentiles; floats, as the observers keep of doubles.
template <class T>
ValueRange<T> sorted_range(const std::vector<T>& numbers, double p) {
  std::vector<float> sorted(numbers.begin(), numbers.end());
  std::sort(sorted.begin(), sorted.end());
  const PercentileRanks rank(sorted.size(), p);
  return {static_cast<T>(sorted[rank.low - 1]), static_cast<T>(sorted[rank.high - 1])};
}

template <class T>
ValueRange<T> extremes(const std::vector<T>& numbers) {
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  return {*low, *high};
}

template <class T>
void check_state(const Tensor<T>& state, const ValueRange<T>& want) {
  CHECK(state(0, 0) == want.min);
  CHECK(state(1, 0) == want.max);
  CHECK(state(2, 0) == T{1});
}

const std::size_t kThreads[] = {1, 2, 16};

}  // namespace

TEMPLATE_TEST_CASE("messages of heads are visited block by block, each once", "[quant]", float, double) {
  using T = TestType;
  const Case c;
  const Messages<T> m(c);
  const std::span<const std::uint8_t> nobody;
  const std::size_t numbers = c.a.num_edges() * kHeads * kWidth;
  const detail::RowSample some(numbers, numbers / 4, make_key(1, 2, Purpose::generate), 9);
  for (const auto& keep : {nobody, std::span<const std::uint8_t>(c.keep)}) {
    for (const auto& sample : {detail::RowSample(), some}) {
      const auto messages = m.of(c, keep, sample);
      CHECK(messages.num_blocks() == 3);
      std::vector<T> seen;
      for (std::size_t b = 0; b < messages.num_blocks(); ++b) {
        messages.for_block(b, [&](T v) { seen.push_back(v); });
      }
      CHECK(seen == m.plain(c, keep, sample));
      CHECK(seen.empty() == false);
    }
  }
  CHECK(m.plain(c, nobody).size() == numbers);
  // A quarter is drawn, entry by entry: 4 deviations of so many draws.
  const double drawn = static_cast<double>(m.plain(c, nobody, some).size() / (kHeads * kWidth));
  const double edges = static_cast<double>(c.a.num_edges());
  CHECK(std::abs(drawn - edges / 4) < 4 * std::sqrt(edges * 0.25 * 0.75));
}

TEMPLATE_TEST_CASE("the range of messages is that of their plain products", "[quant]", float, double) {
  using T = TestType;
  const Case c;
  const Messages<T> m(c);
  for (const std::size_t threads : kThreads) {
    with_threads(threads, [&] {
      for (const auto& keep : {std::span<const std::uint8_t>(), std::span<const std::uint8_t>(c.keep)}) {
        const ValueRange<T> got = m.of(c, keep).range();
        const ValueRange<T> want = extremes(m.plain(c, keep));
        CHECK(got.min == want.min);
        CHECK(got.max == want.max);
      }
    });
  }
  CHECK(m.of(c, {}).range().max > T{100});     // the large source
  CHECK(m.of(c, c.keep).range().max <= T{1});  // which is kept
  const std::vector<std::uint8_t> all(90, 1);
  CHECK(m.of(c, all).range().empty());
  const CsrGraph nothing = empty_graph(0);
  const CsrView<> none = nothing.view();
  const Tensor<T> x(0, kHeads * kWidth), factor(0, kHeads);
  const detail::HeadMessages<T> of_nothing{none, x.view(), factor.view(), {}, {}};
  CHECK(of_nothing.num_blocks() == 0);
  CHECK(of_nothing.range().empty());
}

TEMPLATE_TEST_CASE("messages are observed by the settings' rule", "[quant]", float, double) {
  using T = TestType;
  const Case c;
  const Messages<T> m(c);
  for (const auto& keep : {std::span<const std::uint8_t>(), std::span<const std::uint8_t>(c.keep)}) {
    const std::vector<T> plain = m.plain(c, keep);
    for (const std::size_t threads : kThreads) {
      Tensor<T> state = Tensor<T>::zeros(3, 1);
      const auto see = [&](const QuantSettings& settings) {
        with_threads(threads,
                     [&] { detail::observe_head_messages<T>(state.view(), m.of(c, keep), settings); });
      };
      // The percentiles of the first step, and never less afterwards.
      see({.range = RangeRule::percentile, .percentile = 0.05});
      check_state(state, sorted_range(plain, 0.05));
      see({.range = RangeRule::percentile, .percentile = 0.2});
      check_state(state, sorted_range(plain, 0.05));
      see({.range = RangeRule::percentile, .percentile = 0.01});
      check_state(state, sorted_range(plain, 0.01));
      see({.range = RangeRule::absolute});
      check_state(state, extremes(plain));
    }
  }
  Tensor<T> state = Tensor<T>::zeros(3, 1);
  const std::vector<std::uint8_t> all(90, 1);
  for (const RangeRule rule : {RangeRule::absolute, RangeRule::moving, RangeRule::percentile}) {
    detail::observe_head_messages<T>(state.view(), m.of(c, all), {.range = rule});
    CHECK(state(2, 0) == T{0});  // all are kept: nothing to see
  }
  // Moving averages go their share of the way: one rounding of the product, one of the sum.
  const QuantSettings moving{.range = RangeRule::moving, .momentum = 0.25};
  detail::observe_head_messages<T>(state.view(), m.of(c, c.keep), moving);
  const ValueRange<T> first = extremes(m.plain(c, c.keep));
  check_state(state, first);
  detail::observe_head_messages<T>(state.view(), m.of(c, {}), moving);
  const ValueRange<T> second = extremes(m.plain(c, {}));
  const T u = std::numeric_limits<T>::epsilon() * 2;
  CHECK(std::abs(state(0, 0) - (T{0.75} * first.min + T{0.25} * second.min)) <= u * std::abs(second.min));
  CHECK(std::abs(state(1, 0) - (T{0.75} * first.max + T{0.25} * second.max)) <= u * std::abs(second.max));
}

TEMPLATE_TEST_CASE("scores are observed by the settings' rule", "[quant]", float, double) {
  using T = TestType;
  const Case c;
  const Scores<T> s(c);
  const RngKey key = make_key(4, 5, Purpose::generate);
  for (const auto& keep : {std::span<const std::uint8_t>(), std::span<const std::uint8_t>(c.keep)}) {
    const std::vector<T> plain = s.plain(c, keep);
    for (const std::size_t threads : kThreads) {
      Tensor<T> state = Tensor<T>::zeros(3, 1);
      const auto see = [&](const QuantSettings& settings) {
        with_threads(threads, [&] {
          detail::observe_scores<T>(state.view(), c.a, s.source.view(), s.target.view(), keep, settings, key,
                                    9);
        });
      };
      see({.range = RangeRule::percentile, .percentile = 0.05});
      check_state(state, sorted_range(plain, 0.05));
      see({.range = RangeRule::absolute});
      check_state(state, extremes(plain));
    }
    // A percentile of a sample is that of the entries drawn.
    Tensor<T> state = Tensor<T>::zeros(3, 1);
    const std::size_t sample = c.a.num_edges() * kHeads / 4;
    detail::observe_scores<T>(state.view(), c.a, s.source.view(), s.target.view(), keep,
                              {.range = RangeRule::percentile, .percentile = 0.05, .sample = sample}, key, 9);
    const detail::RowSample drawn(c.a.num_edges() * kHeads, sample, key, 9);
    check_state(state, sorted_range(s.plain(c, keep, drawn), 0.05));
  }
  CHECK(extremes(s.plain(c, {})).max > T{100});     // the large source
  CHECK(extremes(s.plain(c, c.keep)).max <= T{2});  // which is kept
  Tensor<T> state = Tensor<T>::zeros(3, 1);
  const std::vector<std::uint8_t> all(90, 1);
  for (const RangeRule rule : {RangeRule::absolute, RangeRule::moving, RangeRule::percentile}) {
    detail::observe_scores<T>(state.view(), c.a, s.source.view(), s.target.view(), all, {.range = rule}, key,
                              9);
    CHECK(state(2, 0) == T{0});
  }
}

TEST_CASE("percentiles of scores that leave nothing but zero give way to the extremes", "[quant]") {
  const Case c;
  Scores<float> s(c);
  for (std::size_t j = 0; j < s.source.rows(); ++j) s.source(j, 0) = s.source(j, 1) = 0.0f;
  for (std::size_t i = 0; i < s.target.rows(); ++i) s.target(i, 0) = s.target(i, 1) = 0.0f;
  s.source(7, 1) = -3.0f;
  Tensor<float> state = Tensor<float>::zeros(3, 1);
  detail::observe_scores<float>(state.view(), c.a, s.source.view(), s.target.view(), {},
                                {.range = RangeRule::percentile, .percentile = 0.1}, {}, 0);
  check_state<float>(state, {-3.0f, 0.0f});
}

// Extremes are those of all numbers: `sample` is for percentiles.
TEST_CASE("a calibrated GAT has the ranges of plain attention", "[quant]") {
  constexpr std::size_t kNodes = 60, kIn = 6, kOut = 4;
  Quantized<GatNet<>> model(GatNet<>({.in = kIn,
                                      .out = kOut,
                                      .layers = 1,
                                      .dropout = 0,
                                      .seed = 5,
                                      .conv = {.heads = kHeads, .out_heads = kHeads}}),
                            {{.placement = Placement::faithful, .range = RangeRule::absolute, .sample = 50}});
  CsrGraph graph;
  const auto prepared = hub_graph(kNodes, model.aggregation(), graph);
  const Adjacency a = prepared.adjacency();
  const Tensor<float> x = random_matrix<float>(kNodes, kIn, 4);
  calibrate(model, AdjacencyStack({&a, 1}), x.view());

  const ParameterBlock<float>& block = std::as_const(model).parameters();
  const auto number = [&](const char* name, std::size_t k, std::size_t j) {
    return static_cast<double>(block.value(block.find(name))(k, j));
  };
  Tensor<double> z = Tensor<double>::zeros(kNodes, kHeads * kOut);
  Tensor<double> source = Tensor<double>::zeros(kNodes, kHeads);
  Tensor<double> target = Tensor<double>::zeros(kNodes, kHeads);
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (std::size_t f = 0; f < kHeads * kOut; ++f) {
      for (std::size_t k = 0; k < kIn; ++k) {
        z(i, f) += static_cast<double>(x(i, k)) * number("convs.0.lin.weight", k, f);
      }
      source(i, f / kOut) += z(i, f) * number("convs.0.att_src", 0, f);
      target(i, f / kOut) += z(i, f) * number("convs.0.att_dst", 0, f);
    }
  }
  std::vector<double> scores, messages;
  const CsrView<>& view = a.forward;
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (std::size_t h = 0; h < kHeads; ++h) {
      const auto weight = [&](auto e) {
        const double score = source(view.col[e], h) + target(i, h);
        return std::exp(score > 0 ? score : 0.2 * score);
      };
      double total = 0;
      for (auto e = view.begin(i); e < view.end(i); ++e) total += weight(e);
      for (auto e = view.begin(i); e < view.end(i); ++e) {
        const std::size_t j = view.col[e];
        scores.push_back(source(j, h) + target(i, h));
        for (std::size_t f = 0; f < kOut; ++f) messages.push_back(weight(e) / total * z(j, h * kOut + f));
      }
    }
  }
  // A score has 6 + 4 + 1 roundings on a path, a share as many twice and those of a sum of 60; numbers are below 8.
  const double bound = (2 * 11 + 60 + 4) * 8 * 0x1p-24;
  const auto check = [&](const char* name, const std::vector<double>& numbers) {
    const auto state = block.value(model.plan().find(name).state);
    const ValueRange<double> want = extremes(numbers);
    CAPTURE(name, want.min, want.max);
    CHECK(std::abs(static_cast<double>(state(0, 0)) - want.min) < bound);
    CHECK(std::abs(static_cast<double>(state(1, 0)) - want.max) < bound);
  };
  check("quant.0.logit", scores);
  check("quant.0.message", messages);
}
