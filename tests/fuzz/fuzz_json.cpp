// SPDX-License-Identifier: MIT
// libFuzzer: any bytes as JSON, as a node-link graph, an id map, a class map and a role file.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/io/class_map.hpp"
#include "tessera/io/id_map.hpp"
#include "tessera/io/json_scanner.hpp"
#include "tessera/io/node_link.hpp"
#include "tessera/io/splits.hpp"

namespace {

using namespace tessera;

template <class Read>
void attempt(std::string_view text, std::size_t chunk, Read&& read) {
  try {
    io::JsonScanner json(io::ByteSource::memory(text, "fuzz"), chunk);
    read(json);
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t chunk = size % 3 == 0 ? 8 : 4096;  // tokens across the ends of reads, too
  const io::ReadOptions options{.max_bytes = std::uint64_t{1} << 24};
  std::vector<std::string> warnings;
  attempt(text, chunk, [](io::JsonScanner& json) {
    while (json.next() != io::JsonEvent::end) {
    }
  });
  attempt(text, chunk, [](io::JsonScanner& json) {
    json.expect(io::JsonEvent::begin_object, "an object");
    while (json.next() == io::JsonEvent::key) json.skip_value();
  });
  attempt(text, chunk, [&](io::JsonScanner& json) {
    const io::NodeLinkGraph graph = io::detail::NodeLinkReader(json, size).read();
    io::endpoint_meaning(graph, io::LinkEndpoints::automatic, io::Place("fuzz"));
  });
  attempt(text, chunk, [](io::JsonScanner& json) { io::read_id_map(json); });
  attempt(text, chunk,
          [&](io::JsonScanner& json) { io::read_class_map(json, io::IdMap::rows(4), options, warnings); });
  attempt(text, chunk, [&](io::JsonScanner& json) { io::read_roles(json, 8, warnings); });
  return 0;
}
