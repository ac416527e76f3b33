// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "tessera/io/mapped_dataset.hpp"

// Any bytes are either a container, whose every entry can then be visited, or refused with one of our errors. The
// checksums are set right first: what lies behind them is what an attacker would write.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  static const std::string path = [] {
    const char* const folder = std::getenv("TMPDIR");
    return message(folder == nullptr ? "/tmp" : folder, "/tessera-fuzz-container-",
                   static_cast<std::int64_t>(::getpid()));
  }();
  // Inputs are header page, table and sections with the long zero stretches left out: 96 + n x 128 + rest.
  constexpr std::size_t kHead = 96;
  if (size < kHead) return 0;
  std::string file(4096, '\0');
  std::memcpy(file.data(), data, kHead);
  std::memcpy(file.data(), io::detail::kContainerMagic.data(), 8);
  std::uint32_t count = 0;
  std::memcpy(&count, file.data() + 20, 4);
  const std::uint64_t table_at = 4096;
  std::memcpy(file.data() + 80, &table_at, 8);
  file.append(reinterpret_cast<const char*>(data) + kHead, size - kHead);
  const std::uint64_t bytes = file.size();
  std::memcpy(file.data() + 24, &bytes, 8);
  const std::size_t table = std::min<std::size_t>(std::size_t{count} * 128, file.size() - 4096);
  const auto seal = [&](std::size_t begin, std::size_t length, std::size_t at) {
    const std::uint32_t crc = io::crc32c(std::as_bytes(std::span(file)).subspan(begin, length));
    std::memcpy(file.data() + at, &crc, 4);
  };
  seal(4096, table, 4092);
  seal(0, 4088, 4088);
  std::ofstream(path, std::ios::binary) << file;
  try {
    const io::MappedDataset mapped(path, {.verify = io::Verify::structure});
    double sum = 0;
    for (std::size_t i = 0; i < mapped.num_nodes(); ++i) {
      for (const NodeId j : mapped.graph.matrix.neighbors(i)) sum += static_cast<double>(mapped.roles[j]);
      for (const float x : mapped.features.row(i)) sum += static_cast<double>(x);
    }
    volatile double sink = sum;
    static_cast<void>(sink);
  } catch (const Error&) {
  }
  return 0;
}
