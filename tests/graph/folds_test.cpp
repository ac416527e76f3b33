// SPDX-License-Identifier: MIT
#include "tessera/graph/folds.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"

using namespace tessera;

TEST_CASE("stratified_folds spreads every class and the whole evenly") {
  std::vector<std::int32_t> classes;
  for (std::int32_t i = 0; i < 187; ++i) classes.push_back(i % 7 == 0 ? kUnlabelled : i % 3);
  const std::size_t folds = GENERATE(2u, 3u, 10u, 187u);
  const Array<std::uint32_t> fold = stratified_folds(classes, folds, 5);
  for (std::int32_t c = kUnlabelled - 1; c < 3; ++c) {  // the first stands for all
    std::vector<std::size_t> count(folds);
    for (std::size_t i = 0; i < classes.size(); ++i) {
      REQUIRE(fold[i] < folds);
      if (c < kUnlabelled || classes[i] == c) ++count[fold[i]];
    }
    const auto [low, high] = std::minmax_element(count.begin(), count.end());
    CHECK(*high - *low <= 1);
  }
  const Array<std::uint32_t> again = stratified_folds(classes, folds, 5);
  const Array<std::uint32_t> other = stratified_folds(classes, folds, 6);
  CHECK(std::equal(fold.begin(), fold.end(), again.begin()));
  CHECK_FALSE(std::equal(fold.begin(), fold.end(), other.begin()));

  const Array<Role> roles = fold_roles(fold, 1);
  for (std::size_t i = 0; i < fold.size(); ++i) CHECK(roles[i] == (fold[i] == 1 ? Role::val : Role::train));
}

TEST_CASE("stratified_folds refuses what cannot be dealt") {
  const std::vector<std::int32_t> classes{0, 1, 0};
  CHECK_THROWS_AS(stratified_folds(classes, 1, 0), ConfigError);
  CHECK_THROWS_AS(stratified_folds(classes, 4, 0), ConfigError);
  CHECK_THROWS_AS(stratified_folds(std::vector<std::int32_t>{0, -2, 1}, 2, 0), IndexError);
}
