// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/io/npy.hpp"
#include "tessera/io/npy_convert.hpp"

// Any bytes are either a .npy array or refused with one of our errors.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const io::Limits limits{.max_bytes = 1 << 24};
  try {
    const auto array = io::NpyArray::borrow(std::as_bytes(std::span(data, size)), io::Place("fuzz"),
                                            io::NpyArray::Tail::allow, limits);
    if (array.type().is_text()) {
      if (array.size() > 0) io::to_text(array, array.size() - 1);
    } else if (array.rank() == 2) {
      io::to_matrix(array, io::NanPolicy::zero, nullptr, limits);
    } else {
      io::to_floats(array);
    }
    if (array.type().is_integer()) io::to_integers<std::int16_t>(array);
  } catch (const Error&) {
  }
  return 0;
}
