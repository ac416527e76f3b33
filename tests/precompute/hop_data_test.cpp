// SPDX-License-Identifier: MIT
#include "tessera/precompute/hop_data.hpp"

#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/sign_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/precompute/propagate.hpp"
#include "tessera/sampling/row_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;
using namespace tessera::testing;

TEST_CASE("hop data: a head trained from a mapped file, from memory and on a matrix is the same",
          "[hop_data]") {
  const Dataset data = generate_community_graph({.nodes = 3000, .classes = 5, .features = 16, .seed = 3});
  const PropagationOperator gcn(data.graph), row(data.graph, {.kind = OperatorKind::row});
  const std::vector<PropagationFamily> families{{&gcn, 2}, {&row, 1}};
  const auto x = std::as_const(data.features).view();
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() / ("tessera-hop-data-" + std::to_string(::getpid()) + ".hops");
  const FitOptions options{.epochs = 6, .seed = 2};
  const auto fit = [&](const auto& task, double& test) {
    SignNet<> model({.features = 16, .blocks = 4, .hidden = 32, .out = 5, .dropout = 0.2f});
    Trainer trainer{model, RowSampler({.batch_size = 500}), CrossEntropy{}, Adam{.lr = 0.01}};
    test = trainer.fit(task, options).evaluation.test.metric;
    return Array<float>::copy_of(std::as_const(model).parameters().values());
  };
  for (const ElementType element : {ElementType::f32, ElementType::bf16, ElementType::f16}) {
    std::filesystem::remove(file);
    const HopFeatures memory = propagate(families, x, {.element = element});
    const HopFeatures mapped = propagate(families, x, {.element = element, .file = file});
    Tensor<float> wide(memory.rows(), memory.cols());
    std::vector<NodeId> all(memory.rows());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<NodeId>(i);
    memory.gather(all, wide.view());
    DatasetView matrix = data;
    const Array<EdgeId> row_ptr(data.num_nodes() + 1, EdgeId{0});
    matrix.graph = {{data.num_nodes(), data.num_nodes(), row_ptr, {}, {}}, true};
    matrix.features = std::as_const(wide).view();
    double a = 0, b = 0, c = 0;
    const Array<float> from_matrix = fit(matrix, a);
    CHECK(same_bits<float>(fit(HopData(data, memory), b), from_matrix));
    CHECK(same_bits<float>(fit(HopData(data, mapped), c), from_matrix));
    CHECK(a == b);
    CHECK(a == c);
    // A head without neighbours' features reads one noisy row; chance is 0.2.
    CHECK(a > 0.7);
  }
  std::filesystem::remove(file);
}

TEST_CASE("hop data: chosen rows stand for no data set", "[hop_data]") {
  const Dataset data = generate_community_graph({.nodes = 200, .classes = 2, .features = 4});
  const PropagationOperator gcn(data.graph);
  const std::vector<NodeId> rows{1, 2};
  const HopFeatures some = propagate(gcn, 1, data.features, {.rows = rows});
  CHECK_THROWS_AS(HopData(data, some), ShapeError);
}
