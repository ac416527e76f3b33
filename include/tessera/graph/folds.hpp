// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/dataset.hpp"

namespace tessera {

/// Deals items to k folds so that every class is spread evenly: per class and over all, fold sizes differ by at
/// most one. Items without a class (-1) count as a class of their own.
///
/// Shapes   classes [G] -> fold of each item [G], below `folds`
/// Cost     O(G C)
/// Errors   ConfigError if folds is below 2 or above G; IndexError for a class below -1
inline Array<std::uint32_t> stratified_folds(std::span<const std::int32_t> classes, std::size_t folds,
                                             std::uint64_t seed) {
  if (folds < 2 || folds > classes.size()) {
    throw ConfigError(message("stratified_folds: folds is ", folds, ", want 2 to ", classes.size(),
                              ", the number of items"));
  }
  std::int32_t largest = kUnlabelled;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i] < kUnlabelled) {
      throw IndexError(message("stratified_folds: classes[", i, "] is ", classes[i], ", want at least -1"));
    }
    largest = std::max(largest, classes[i]);
  }
  Array<std::uint32_t> fold(classes.size());
  Array<std::uint32_t> members;
  std::size_t dealt = 0;
  for (std::int32_t c = kUnlabelled; c <= largest; ++c) {
    members.clear();
    for (std::size_t i = 0; i < classes.size(); ++i) {
      if (classes[i] == c) members.push_back(static_cast<std::uint32_t>(i));
    }
    shuffle(members.span(),
            CounterRng(make_key(seed, 0, Purpose::split), 0, static_cast<std::uint64_t>(c - kUnlabelled)));
    for (const std::uint32_t i : members) fold[i] = static_cast<std::uint32_t>(dealt++ % folds);
  }
  return fold;
}

/// The roles of one round of cross-validation: one fold is held out, all others train.
///
/// Shapes   fold [G] -> roles [G]
inline Array<Role> fold_roles(std::span<const std::uint32_t> fold, std::uint32_t held_out,
                              Role role = Role::val) {
  Array<Role> roles(fold.size());
  for (std::size_t i = 0; i < fold.size(); ++i) roles[i] = fold[i] == held_out ? role : Role::train;
  return roles;
}

}  // namespace tessera
