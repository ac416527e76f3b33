// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/io/npz.hpp"
#include "tessera/io/scipy_sparse.hpp"

// Any bytes are either a .npz archive or refused with one of our errors; what it holds is read as a sparse
// matrix too.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  try {
    const io::NpzFile npz(std::as_bytes(std::span(data, size)), "fuzz", {.max_bytes = 1 << 24});
    for (const std::string& key : npz.keys()) {
      try {
        npz.read(key);
      } catch (const Error&) {
      }
    }
    std::vector<std::string> warnings;
    io::read_scipy_sparse(npz, "", false, warnings);
  } catch (const Error&) {
  }
  return 0;
}
