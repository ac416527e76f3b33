// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>

#include "tessera/core/bf16.hpp"

namespace tessera {

/// Element types a tensor may hold.
template <class T>
concept Scalar = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bf16> ||
    std::same_as<T, std::int8_t> || std::same_as<T, std::uint8_t> || std::same_as<T, std::int32_t>;

/// Element types gradients exist for: float to train, double to check.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

namespace detail {
template <class T>
struct accumulator {
  using type = float;
};
template <>
struct accumulator<double> {
  using type = double;
};
template <>
struct accumulator<std::int8_t> {
  using type = std::int32_t;
};
}  // namespace detail

/// The type sums of T are kept in: float for float and bf16, double for double, int32 for int8.
template <Scalar T>
using Accumulator = typename detail::accumulator<T>::type;

}  // namespace tessera
