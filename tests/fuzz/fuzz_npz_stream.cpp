// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>

#include "tessera/io/npz_stream.hpp"

// An array that can be read whole reads the same piece by piece, and one that cannot is refused both ways.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  std::optional<io::NpzFile> npz;
  try {
    npz.emplace(std::as_bytes(std::span(data, size)), "fuzz", io::Limits{.max_bytes = 1 << 24});
  } catch (const FormatError&) {
    return 0;
  }
  for (const std::string& key : npz->keys()) {
    std::optional<Array<float>> whole;
    std::optional<Array<float>> streamed;
    try {
      const io::NpyArray array = npz->read(key);
      if (array.header().fortran_order) continue;
      whole = io::to_floats(array);
    } catch (const FormatError&) {
    }
    try {
      io::NpyStream stream(*npz, key);
      if (stream.header().count > (1 << 22)) continue;
      Array<float> values;
      stream.floats(stream.header().count, [&](std::span<const float> piece) {
        for (const float v : piece) values.push_back(v);
      });
      stream.finish();
      streamed = std::move(values);
    } catch (const FormatError&) {
    }
    if (whole.has_value() != streamed.has_value()) std::abort();
    if (!whole) continue;
    if (whole->size() != streamed->size()) std::abort();
    for (std::size_t i = 0; i < whole->size(); ++i) {
      const float a = (*whole)[i];
      const float b = (*streamed)[i];
      if (!(a == b || (a != a && b != b))) std::abort();
    }
  }
  return 0;
}
