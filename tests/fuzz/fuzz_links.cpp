// SPDX-License-Identifier: MIT
// libFuzzer: any bytes as the array of links of a GraphSAGE graph. What ranges accept, in pieces of any size, must be
// what the full parser reads, and give the graph of that list.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/io/byte_source.hpp"
#include "tessera/io/detail/link_ranges.hpp"
#include "tessera/io/json_scanner.hpp"

namespace {

using namespace tessera;

constexpr std::size_t kNodes = 5;

struct Links {
  std::vector<NodeId> source;
  std::vector<NodeId> target;
};

/// The links as the event parser sees them; what it refuses ends the program.
Links parse(std::string_view text) {
  io::JsonScanner json(io::ByteSource::memory(text, "fuzz"));
  Links out;
  json.expect(io::JsonEvent::begin_array, "an array");
  while (json.next() == io::JsonEvent::begin_object) {
    long long source = -1;
    long long target = -1;
    while (json.next() == io::JsonEvent::key) {
      const std::string key(json.text());
      if (key != "source" && key != "target") {
        json.skip_value();
        continue;
      }
      json.expect(io::JsonEvent::integer, "an integer");
      (key == "source" ? source : target) = static_cast<long long>(json.number());
    }
    if (source < 0 || target < 0) std::abort();
    out.source.push_back(static_cast<NodeId>(source));
    out.target.push_back(static_cast<NodeId>(target));
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const std::filesystem::path path =
      (std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm")
                                           : std::filesystem::temp_directory_path()) /
      ("tessera-fuzz-links-" + std::to_string(::getpid()));
  std::ofstream(path, std::ios::binary).write(text.data(), static_cast<std::streamsize>(size));
  with_threads(1, [&] {
    for (const std::size_t range : {std::size_t{1}, std::size_t{37}, std::size_t{1} << 16}) {
      io::detail::LinkRanges ranges(path, size, {kNodes, kNodes, {}}, true, range);
      const std::uint64_t end = ranges.read(0);
      if (end == 0) continue;
      if (end > size) std::abort();
      const Links links = parse(text.substr(0, end));
      const BuiltGraph want = build_csr(kNodes, {links.source, links.target, {}},
                                        {.symmetrize = true, .self_loops = SelfLoops::keep});
      const io::detail::RangedGraph got = ranges.build();
      if (!std::ranges::equal(want.graph.row_ptr, got.graph.row_ptr) ||
          !std::ranges::equal(want.graph.col, got.graph.col)) {
        std::abort();
      }
    }
  });
  std::filesystem::remove(path);
  return 0;
}
