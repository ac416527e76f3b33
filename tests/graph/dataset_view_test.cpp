// SPDX-License-Identifier: MIT
#include "tessera/graph/dataset_view.hpp"

#include "support/catch.hpp"
#include "tessera/graph/generators.hpp"

using namespace tessera;

TEST_CASE("DatasetView borrows every part of a data set") {
  CommunityGraphOptions options;
  options.nodes = 2000;
  options.multilabel = GENERATE(false, true);
  const Dataset data = generate_community_graph(options);
  DatasetView view = data;
  CHECK(view.name == data.name);
  CHECK(view.num_nodes() == data.num_nodes());
  CHECK(view.num_features() == data.num_features());
  CHECK(view.num_classes() == data.num_classes());
  CHECK(view.multilabel() == data.multilabel());
  CHECK(view.graph.view().col.data() == data.graph.col.data());
  CHECK(view.graph.symmetric == data.graph.symmetric);
  CHECK(view.train_graph.num_nodes() == data.train_graph.num_nodes());
  CHECK(view.features.data() == data.features.view().data());
  CHECK(view.labels.classes.data() == data.labels.classes.data());
  CHECK(view.roles.data() == data.roles.data());

  const DatasetView copy = view;  // a copy, not a view of a view
  view.features = MatrixView<const float>();
  CHECK(copy.num_features() == data.num_features());
  CHECK(view.num_features() == 0);
}
