// SPDX-License-Identifier: MIT
// The search for widths as it is meant: steps of the weights on training nodes and of the logits on validation nodes, in
// turns.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "support/quant_cases.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/quant/bit_search.hpp"
#include "tessera/train/metrics.hpp"
#include "tessera/train/role_targets.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr std::size_t kClasses = 4;

/// A quantised GCN on a planted partition, and a search of its widths.
class Searched {
 public:
  const Dataset data = community_task(400, kClasses, 20);
  Quantized<GcnNet<>> model{GcnNet<>(
      {.in = data.features.cols(), .hidden = 16, .out = kClasses, .layers = 2, .dropout = 0.1f, .seed = 2})};
  BitSearch<float> search;

  explicit Searched(BitSearchOptions options) : search(model.plan(), std::move(options)) {}

  Adjacency adjacency() const { return prepared_.adjacency(); }
  Tensor<float> logits() const { return run_once(model, adjacency(), data.features.view()); }
  double accuracy(Role role) const {
    const RoleTargets rows = targets_of(data, role);
    return tessera::accuracy<float>(logits().view(), data.labels.classes.span(), rows.rows.span());
  }
  /// The loss of one role's nodes; fills the gradients of the weights and of the search.
  double backward(Role role, bool training) {
    const RoleTargets rows = targets_of(data, role);
    model.parameters().zero_grads();
    search.parameters().zero_grads();
    Tape<float> tape;
    const Adjacency a = adjacency();
    const Pass pass{.training = training, .dropout_key = make_key(3, step_++, Purpose::dropout)};
    const Var y =
        std::as_const(model).forward(tape, AdjacencyStack({&a, 1}), tape.input(data.features.view()), pass);
    const Var loss = CrossEntropy{}(tape, y, rows.targets(data));
    tape.backward(loss);
    return static_cast<double>(tape.value(loss)(0, 0));
  }
  double train(std::size_t steps) {
    double loss = 0;
    for (std::size_t k = 0; k < steps; ++k) {
      loss = backward(Role::train, true);
      weight_rule_.step(weight_state_, model.parameters(), 1);
    }
    return loss;
  }
  void search_widths(std::size_t steps) {
    model.search(&search);
    for (std::size_t k = 0; k < steps; ++k) {
      train(1);
      backward(Role::val, false);
      search.add_size_gradient();
      logit_rule_.step(logit_state_, search.parameters(), 1);
    }
  }
  /// Of the widths the forward pass uses, every quantiser counted once.
  double mean_bits() const {
    double sum = 0;
    for (std::size_t p = 0; p < model.plan().points.size(); ++p) sum += search.chosen(p);
    return sum / static_cast<double>(model.plan().points.size());
  }

 private:
  PreparedAdjacency prepared_ =
      prepare_adjacency(data.graph.view(), data.graph.symmetric, model.aggregation());
  Adam weight_rule_{.lr = 0.02};
  Adam logit_rule_{.lr = 0.05};
  AdamState<float> weight_state_ = weight_rule_.start(model.parameters());
  AdamState<float> logit_state_ = logit_rule_.start(search.parameters());
  std::uint64_t step_ = 0;
};

double size_of(std::span<const float> numbers) {
  double sum = 0;
  for (const float v : numbers) sum += std::abs(static_cast<double>(v));
  return sum;
}

std::vector<float> copy_of(std::span<const float> numbers) { return {numbers.begin(), numbers.end()}; }

}  // namespace

TEST_CASE("one backward pass fills the gradients of weights and widths, and steps of one leave the other",
          "[quant]") {
  Searched s({.widths = {8, 4, 2}});
  s.model.search(&s.search);
  s.backward(Role::train, true);
  CHECK(size_of(s.model.parameters().grads()) > 0);
  for (std::size_t p = 0; p < s.model.plan().points.size(); ++p) {
    const ParameterBlock<float>& logits = s.search.parameters();
    CAPTURE(s.model.plan().points[p].name);
    CHECK(size_of(logits.grad(logits.find(s.model.plan().points[p].name)).row(0)) > 0);
  }

  const auto widths = copy_of(s.search.parameters().values());
  s.train(1);
  CHECK(copy_of(s.search.parameters().values()) == widths);
  // A pass outside training moves neither weights nor ranges.
  const auto weights = copy_of(s.model.parameters().values());
  s.backward(Role::val, false);
  CHECK(copy_of(s.model.parameters().values()) == weights);

  s.model.search(nullptr);
  s.backward(Role::train, true);
  CHECK(size_of(s.search.parameters().grads()) == 0);
}

TEST_CASE("a search whose bits cost nothing keeps what the network learns", "[quant]") {
  Searched s({.widths = {8, 4, 2}});
  s.search_widths(60);
  CHECK(s.accuracy(Role::test) > 0.7);  // chance: 0.25
}

TEST_CASE("a search whose bits cost much ends with fewer of them", "[quant]") {
  Searched dear({.widths = {8, 4, 2}, .beta = 20});
  const double start = dear.search.expected_bits();
  CHECK(std::abs(start - 14.0 / 3) < 1e-6);
  CHECK(dear.mean_bits() == 8);  // of equal logits the first width
  dear.search_widths(60);
  CHECK(dear.search.expected_bits() < start - 1);
  CHECK(dear.mean_bits() < 4);

  Searched free({.widths = {8, 4, 2}});
  free.search_widths(60);
  CHECK(dear.search.expected_bits() < free.search.expected_bits());
}

TEST_CASE("what a search found is applied: the chosen formats, the same numbers, and a network that trains",
          "[quant]") {
  Searched s({.widths = {8, 4, 2}, .beta = 0.5});
  s.search_widths(40);
  // Every width somewhere, whatever was found.
  const std::size_t points = s.model.plan().points.size();
  for (std::size_t p = 0; p < points; ++p) {
    ParameterBlock<float>& logits = s.search.parameters();
    logits.value(logits.find(s.model.plan().points[p].name))(0, p % 3) += 40.0f;
    CHECK(s.search.chosen(p) == s.search.options().widths[p % 3]);
  }
  const Tensor<float> found = s.logits();
  const std::size_t bytes = s.model.model_bytes();
  std::vector<QuantFormat> before;
  for (const QuantPoint& point : s.model.plan().points) before.push_back(point.format);

  s.model.search(nullptr);
  CHECK_FALSE(same_bits<float>(s.logits().view(), found.view()));
  s.search.apply(s.model);
  for (std::size_t p = 0; p < points; ++p) {
    QuantFormat want = before[p];
    want.bits = s.search.chosen(p);
    CHECK(s.model.plan().points[p].format == want);
    CHECK(s.model.plan().points[p].active);
  }
  CHECK(same_bits<float>(s.logits().view(), found.view()));
  CHECK(s.model.model_bytes() < bytes);

  const double first = s.train(1);
  CHECK(s.train(40) < first);
  CHECK(s.accuracy(Role::test) > 0.5);
}

TEST_CASE("quantisers inside operators keep their width when a search is applied", "[quant]") {
  CsrGraph graph;
  Quantized<GatNet<>> model(small_net<GatNet<>>(1), {{.placement = Placement::faithful}});
  const auto prepared = hub_graph(30, model.aggregation(), graph);
  const Adjacency a = prepared.adjacency();
  const Tensor<float> x = random_matrix<float>(30, 6, 4);
  BitSearch<float> search(model.plan(), {.widths = {4}});
  search.apply(model);
  for (const QuantPoint& point : model.plan().points) CHECK(point.format.bits == 8);  // nothing searched yet
  model.search(&search);
  run_once(model, a, x.view(), training_pass(0));
  model.search(nullptr);
  search.apply(model);
  for (const QuantPoint& point : model.plan().points) {
    CAPTURE(point.name);
    const bool inside = point.role == QuantRole::logit || point.role == QuantRole::message;
    CHECK(point.format.bits == (inside ? 8 : 4));
  }
  run_once(model, a, x.view());
}
