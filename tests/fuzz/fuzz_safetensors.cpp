// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/io/safetensors.hpp"

// Any bytes are either a safetensors file or refused with one of our errors.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  try {
    const io::SafetensorsFile file(std::as_bytes(std::span(data, size)), "fuzz");
    for (const io::SafetensorsEntry& tensor : file.tensors()) {
      if (tensor.dtype == "F32") file.values<float>(tensor.name);
    }
  } catch (const Error&) {
  }
  return 0;
}
