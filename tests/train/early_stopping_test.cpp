// SPDX-License-Identifier: MIT
#include "tessera/train/early_stopping.hpp"

#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace tessera;

struct Trace {
  std::vector<std::uint64_t> best;  // epochs judged best
  std::uint64_t epochs = 0;         // epochs run
};

/// Runs a rule over given validation losses and metrics.
template <class Rule>
Trace run(const Rule& rule, const std::vector<double>& losses, const std::vector<double>& metrics) {
  Trace out;
  std::vector<EpochRecord> history;
  std::size_t best = kNoBest;
  for (std::size_t e = 0; e < losses.size(); ++e) {
    EpochRecord record{.epoch = history.size(), .evaluated = true};
    record.evaluation.val = {losses[e], metrics[e], 1};
    history.push_back(record);
    ++out.epochs;
    const Verdict verdict = rule.judge({history, best, losses.size()});
    if (verdict.best) {
      best = history.size() - 1;
      out.best.push_back(record.epoch);
    }
    if (verdict.stop) break;
  }
  return out;
}

/// The metric is the negative of the loss.
template <class Rule>
Trace run(const Rule& rule, const std::vector<double>& losses) {
  std::vector<double> metrics;
  for (const double loss : losses) metrics.push_back(-loss);
  return run(rule, losses, metrics);
}

double mean(const std::vector<double>& x, std::size_t begin, std::size_t end) {
  double sum = 0;
  for (std::size_t i = begin; i < end; ++i) sum += x[i];
  return sum / static_cast<double>(end - begin);
}

}  // namespace

TEST_CASE("Patience counts the epochs since the best", "[early_stopping]") {
  const std::vector<double> losses{5, 4, 4, 3, 3, 3.5, 3, 9, 1};
  const Trace three = run(BestLoss{.patience = 3}, losses);
  CHECK(three.best == std::vector<std::uint64_t>{0, 1, 3});
  CHECK(three.epochs == 7);  // equals are no improvement
  const Trace patient = run(BestLoss{}, losses);
  CHECK(patient.best.back() == 8);
  CHECK(patient.epochs == 9);
  CHECK(run(BestMetric{.patience = 3}, losses).best == three.best);
  CHECK(run(KeepLast{}, losses).epochs == 9);
  CHECK(run(KeepLast{}, losses).best.empty());
}

TEST_CASE("Both keeps where loss and metric were best together and waits for either", "[early_stopping]") {
  //                                 0    1    2    3    4    5    6    7
  const std::vector<double> losses{4.0, 3.0, 3.5, 2.5, 2.6, 2.6, 2.6, 1.0};
  const std::vector<double> metric{0.5, 0.6, 0.7, 0.6, 0.7, 0.6, 0.6, 0.9};
  const Trace two = run(BestBoth{.patience = 2}, losses, metric);
  CHECK(two.best ==
        std::vector<std::uint64_t>{0, 1});  // 2: loss rose; 3: metric fell; 4: equals count, loss rose
  CHECK(two.epochs == 7);                   // 5 and 6 have neither
  CHECK(run(BestBoth{.patience = 3}, losses, metric).best == std::vector<std::uint64_t>{0, 1, 7});
}

TEST_CASE("Ranked keeps the best metric and, among equals, the lowest loss", "[early_stopping]") {
  const std::vector<double> losses{4.0, 3.0, 3.5, 3.6, 3.2, 2.0, 3.0, 3.0};
  const std::vector<double> metric{0.5, 0.6, 0.7, 0.7, 0.7, 0.6, 0.6, 0.6};
  const Trace two = run(BestRanked{.patience = 2}, losses, metric);
  CHECK(two.best == std::vector<std::uint64_t>{0, 1, 2, 4});
  CHECK(two.epochs == 8);  // 5 has the lowest loss, 6 and 7 have nothing
}

TEST_CASE("The window mean stops as the published GCN code does", "[early_stopping]") {
  // epoch > window and cost[-1] > mean(cost[-(window + 1):-1])
  std::vector<double> losses;
  for (int i = 0; i < 40; ++i) losses.push_back(i < 20 ? 2.0 - 0.05 * i : 1.0 + 0.01 * (i - 20) * (i - 20));
  for (const std::size_t window : {std::size_t{3}, std::size_t{10}}) {
    std::size_t want = losses.size();
    for (std::size_t e = 0; e < losses.size(); ++e) {
      if (e > window && losses[e] > mean(losses, e - window, e)) {
        want = e + 1;
        break;
      }
    }
    CHECK(want < losses.size());
    CHECK(run(WindowMean{.window = window}, losses).epochs == want);
  }
  // A rise inside the first `window` epochs does not count.
  CHECK(run(WindowMean{.window = 3}, {1, 2, 3, 4, 2, 2, 2, 2}).epochs == 8);
}

TEST_CASE("The second-half rule stops as PyTorch Geometric's benchmark does", "[early_stopping]") {
  // for epoch 1 ... n: best by loss; from epoch > n // 2: stop if loss > mean of the `window` before
  std::vector<double> losses;
  for (int i = 0; i < 40; ++i) losses.push_back(1 + 0.1 * ((i * 7) % 5) - 0.001 * i);
  for (const std::size_t window : {std::size_t{4}, std::size_t{10}, std::size_t{100}}) {
    std::size_t want = losses.size();
    double best = 1e9;
    std::vector<std::uint64_t> best_epochs;
    for (std::size_t epoch = 1; epoch <= losses.size(); ++epoch) {
      const double loss = losses[epoch - 1];
      if (loss < best) {
        best = loss;
        best_epochs.push_back(epoch - 1);
      }
      const std::size_t begin = epoch - 1 > window ? epoch - 1 - window : 0;
      if (epoch > losses.size() / 2 && loss > mean(losses, begin, epoch - 1)) {
        want = epoch;
        break;
      }
    }
    CHECK(want < losses.size());
    const Trace got = run(SecondHalf{.window = window}, losses);
    CHECK(got.epochs == want);
    CHECK(got.best == best_epochs);
  }
}
