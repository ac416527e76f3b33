// SPDX-License-Identifier: MIT
#include "tessera/io/dataset_name.hpp"

#include "support/catch.hpp"

using tessera::io::dataset_name;

TEST_CASE("a data set is called after its folder, not after its layout", "[io]") {
  CHECK(dataset_name("/data/cora/graphsaint") == "cora");
  CHECK(dataset_name("/data/cora/graphsaint/") == "cora");
  CHECK(dataset_name("/data/yelp") == "yelp");
  CHECK(dataset_name("/data/yelp/.") == "yelp");
  CHECK(dataset_name("/npz") == "npz");
}
