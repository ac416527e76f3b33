// SPDX-License-Identifier: MIT
#include "tessera/train/metrics.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/train/roc_auc.hpp"

namespace {

using namespace tessera;

/// Logits and labels of both kinds; few distinct logits, so that ties are common.
struct Case {
  Tensor<float> logits;
  std::vector<std::int32_t> classes;
  Tensor<float> indicators;
  std::vector<NodeId> rows;

  LabelView single() const { return {classes, {}}; }
  LabelView multi() const { return {{}, indicators.view()}; }
};

Case draw(std::size_t n, std::size_t c, std::uint64_t seed) {
  CounterRng rng(make_key(seed, 0, Purpose::generic), 0, 0);
  Case out;
  out.logits.resize(n, c);
  out.indicators.resize(n, c);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < c; ++j) {
      out.logits(i, j) = static_cast<float>(static_cast<int>(rng.below(7)) - 3) / 2;
      out.indicators(i, j) =
          rng.below(12) == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(rng.below(2));
    }
    out.classes.push_back(static_cast<std::int32_t>(rng.below(c + 1)) - 1);
    if (rng.below(3) != 0) out.rows.push_back(static_cast<NodeId>(i));
  }
  return out;
}

std::size_t naive_argmax(std::span<const float> row) {
  std::size_t best = 0;
  for (std::size_t j = 1; j < row.size(); ++j) best = row[j] > row[best] ? j : best;
  return best;
}

double naive_accuracy(const Case& c) {
  double right = 0, all = 0;
  for (const NodeId i : c.rows) {
    if (c.classes[i] < 0) continue;
    all += 1;
    right += naive_argmax(c.logits.row(i)) == static_cast<std::size_t>(c.classes[i]) ? 1 : 0;
  }
  return right / all;
}

/// F1 of one class: decide(i) -> {predicted, actual, counted}.
template <class Decide>
double naive_f1(const Case& c, Decide&& decide) {
  double tp = 0, fp = 0, fn = 0;
  for (const NodeId i : c.rows) decide(i, tp, fp, fn);
  return tp + fp + fn == 0 ? 0 : 2 * tp / (2 * tp + fp + fn);
}

/// The definition: the share of (positive, negative) pairs in the right order, ties half.
double naive_auc(const std::vector<ScoredLabel>& scored) {
  double won = 0, pairs = 0;
  for (const ScoredLabel& p : scored) {
    if (!p.positive) continue;
    for (const ScoredLabel& q : scored) {
      if (q.positive) continue;
      pairs += 1;
      won += p.score > q.score ? 1 : p.score == q.score ? 0.5 : 0;
    }
  }
  return won / pairs;
}

}  // namespace

TEST_CASE("Accuracy by hand: lowest index on ties, unlabelled rows left out", "[metrics]") {
  Tensor<double> logits(4, 3);
  const double values[4][3] = {{1, 1, 0}, {0, 2, 2}, {5, 1, 2}, {0, 0, 9}};
  for (std::size_t i = 0; i < 4; ++i) std::copy(values[i], values[i] + 3, logits.row(i).begin());
  const std::vector<std::int32_t> classes{0, 2, -1, 2};
  const std::vector<NodeId> all{0, 1, 2, 3}, none, hidden{2};
  CHECK(accuracy<double>(logits, classes, all) == 2.0 / 3);
  CHECK_THROWS_AS(accuracy<double>(logits, classes, none), ConfigError);
  CHECK_THROWS_AS(accuracy<double>(logits, classes, hidden), ConfigError);
  CHECK_THROWS_AS(accuracy<double>(logits, std::span(classes).first(3), all), ShapeError);
}

TEST_CASE("Metrics equal their definitions on random cases", "[metrics]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const std::size_t classes = 2 + seed % 4;
    const Case c = draw(300 + 100 * seed, classes, seed);
    CHECK(accuracy<float>(c.logits, c.classes, c.rows) == naive_accuracy(c));
    CHECK(micro_f1<float>(c.logits, c.single(), c.rows) == naive_accuracy(c));

    double sum = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      sum += naive_f1(c, [&](NodeId i, double& tp, double& fp, double& fn) {
        if (c.classes[i] < 0) return;
        const bool predicted = naive_argmax(c.logits.row(i)) == k;
        const bool actual = static_cast<std::size_t>(c.classes[i]) == k;
        tp += predicted && actual ? 1 : 0;
        fp += predicted && !actual ? 1 : 0;
        fn += !predicted && actual ? 1 : 0;
      });
    }
    CHECK(macro_f1<float>(c.logits, c.single(), c.rows) == sum / static_cast<double>(classes));

    const auto cell = [&](NodeId i, std::size_t k, double& tp, double& fp, double& fn) {
      if (std::isnan(c.indicators(i, k))) return;
      const bool predicted = c.logits(i, k) > 0, actual = c.indicators(i, k) == 1;
      tp += predicted && actual ? 1 : 0;
      fp += predicted && !actual ? 1 : 0;
      fn += !predicted && actual ? 1 : 0;
    };
    CHECK(micro_f1<float>(c.logits, c.multi(), c.rows) ==
          naive_f1(c, [&](NodeId i, double& tp, double& fp, double& fn) {
            for (std::size_t k = 0; k < classes; ++k) cell(i, k, tp, fp, fn);
          }));
    sum = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      sum += naive_f1(c, [&](NodeId i, double& tp, double& fp, double& fn) { cell(i, k, tp, fp, fn); });
    }
    CHECK(macro_f1<float>(c.logits, c.multi(), c.rows) == sum / static_cast<double>(classes));

    // Sums of halves below 2^53 are exact in both; one division and a mean remain.
    double auc = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      std::vector<ScoredLabel> scored;
      for (const NodeId i : c.rows) {
        if (std::isnan(c.indicators(i, k))) continue;
        scored.push_back({static_cast<double>(c.logits(i, k)), c.indicators(i, k) == 1});
      }
      auc += naive_auc(scored);
    }
    CHECK(std::abs(roc_auc<float>(c.logits, c.multi(), c.rows) - auc / static_cast<double>(classes)) <=
          8 * 0x1p-53);
  }
}

TEST_CASE("Multi-label F1 is 0 when nothing is predicted or present", "[metrics]") {
  const Tensor<float> logits = Tensor<float>::filled(2, 2, -1), truth = Tensor<float>::zeros(2, 2);
  const std::vector<NodeId> rows{0, 1};
  CHECK(micro_f1<float>(logits, {{}, truth.view()}, rows) == 0);
  CHECK(macro_f1<float>(logits, {{}, truth.view()}, rows) == 0);
}

TEST_CASE("ROC-AUC by hand, of two classes and without a usable task", "[metrics]") {
  std::vector<ScoredLabel> scored{{0.1, false}, {0.4, false}, {0.35, true}, {0.8, true}};
  CHECK(roc_auc(scored) == 0.75);
  std::vector<ScoredLabel> tied{{1, true}, {1, false}, {1, true}};
  CHECK(roc_auc(tied) == 0.5);
  std::vector<ScoredLabel> one_sided{{1, true}, {2, true}};
  CHECK(!roc_auc(one_sided).has_value());
  std::vector<ScoredLabel> bad{{std::nan(""), true}, {2, false}};
  CHECK_THROWS_AS(roc_auc(bad), Error);

  Tensor<float> logits(4, 2);
  const float scores[4] = {0.1f, 0.4f, 0.35f, 0.8f};
  for (std::size_t i = 0; i < 4; ++i) {
    logits(i, 0) = 1;
    logits(i, 1) = 1 + scores[i];
  }
  const std::vector<std::int32_t> classes{0, 0, 1, 1}, same{1, 1, 1, 1};
  const std::vector<NodeId> rows{0, 1, 2, 3};
  CHECK(roc_auc<float>(logits, LabelView{classes, {}}, rows) == 0.75);
  CHECK_THROWS_AS(roc_auc<float>(logits, (LabelView{same, {}}), rows), ConfigError);
  const Tensor<float> three(4, 3);
  CHECK_THROWS_AS(roc_auc<float>(three, (LabelView{classes, {}}), rows), ConfigError);
}

TEST_CASE("Metrics are the same bits at any thread count", "[metrics]") {
  const Case c = draw(20'000, 5, 99);
  const auto all = [&] {
    return std::vector<double>{
        accuracy<float>(c.logits, c.classes, c.rows), micro_f1<float>(c.logits, c.multi(), c.rows),
        macro_f1<float>(c.logits, c.single(), c.rows), roc_auc<float>(c.logits, c.multi(), c.rows)};
  };
  const auto one = with_threads(1, all);
  for (const std::size_t threads : {2u, 4u}) CHECK(one == with_threads(threads, all));
}

TEST_CASE("measure() picks by name and by kind of label", "[metrics]") {
  const Case c = draw(100, 2, 5);
  const std::span<const NodeId> rows = c.rows;
  CHECK(measure<float>(Metric::automatic, c.logits, c.single(), rows) ==
        accuracy<float>(c.logits, c.classes, rows));
  CHECK(measure<float>(Metric::automatic, c.logits, c.multi(), rows) ==
        micro_f1<float>(c.logits, c.multi(), rows));
  CHECK(measure<float>(Metric::macro_f1, c.logits, c.multi(), rows) ==
        macro_f1<float>(c.logits, c.multi(), rows));
  CHECK(measure<float>(Metric::roc_auc, c.logits, c.single(), rows) ==
        roc_auc<float>(c.logits, c.single(), rows));
  CHECK_THROWS_AS(measure<float>(Metric::accuracy, c.logits, c.multi(), rows), ConfigError);
  CHECK(name(Metric::roc_auc) == "roc_auc");
}

TEST_CASE("rmse by hand: missing values do not count, nor do other rows") {
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  Tensor<float> got = Tensor<float>::zeros(3, 2);
  Tensor<float> want = Tensor<float>::zeros(3, 2);
  got(0, 0) = 3;
  got(1, 0) = 7;
  got(2, 1) = 1;
  want(0, 1) = kNone;
  want(2, 0) = 4;
  const std::vector<NodeId> rows{0, 2};
  const LabelView labels{{}, want.view()};
  // 9, nothing, 16 and 1 over three elements.
  CHECK(measure(Metric::rmse, std::as_const(got).view(), labels, rows) == std::sqrt(26.0 / 3));
  CHECK(name(Metric::rmse) == "rmse");
  want.fill(kNone);
  CHECK_THROWS_AS(rmse(std::as_const(got).view(), std::as_const(want).view(), rows), ConfigError);
  CHECK_THROWS_AS(rmse(std::as_const(got).view(), std::as_const(want).view().middle_rows(0, 2), rows),
                  ShapeError);
}
