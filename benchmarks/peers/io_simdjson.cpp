// SPDX-License-Identifier: MIT
// What simdjson's DOM takes to parse a node-link file and to look at every link; no graph is made of them.
//
// Usage: io_simdjson GRAPH.json [SECONDS OF OURS]    (bench_io --peers runs it)
#include <simdjson.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const double ours = argc > 2 ? std::atof(argv[2]) : 0;
  const auto start = std::chrono::steady_clock::now();
  simdjson::padded_string text;
  if (simdjson::padded_string::load(argv[1]).get(text) != simdjson::SUCCESS) return 1;
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  simdjson::dom::array links;
  if (parser.parse(text).get(document) != simdjson::SUCCESS) return 1;
  if (document["links"].get(links) != simdjson::SUCCESS) return 1;
  std::uint64_t count = 0;
  std::int64_t sum = 0;
  for (const simdjson::dom::element link : links) {
    std::int64_t source = 0;
    std::int64_t target = 0;
    if (link["source"].get(source) != simdjson::SUCCESS) return 1;
    if (link["target"].get(target) != simdjson::SUCCESS) return 1;
    sum += source ^ target;
    ++count;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const double bytes = static_cast<double>(text.size());
  std::printf("  %-34s %10.4g %10.1f %10.1f %12.1f", "simdjson DOM, links visited", seconds, bytes / 1e6,
              bytes / seconds / 1e6, static_cast<double>(usage.ru_maxrss) * 1024 / 1e6);
  if (ours > 0) std::printf("   %.2fx our time on 1 core", seconds / ours);
  std::printf("\n");
  return count == 0 && sum == 0 ? 1 : 0;
}
