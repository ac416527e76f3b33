// SPDX-License-Identifier: MIT
//
// Generates a stand-in for a public data set at any scale, as a container or in the layout the real one is published
// in, for benchmarks where the real files cannot be had. A stand-in is named "<name>-like".
//
//     generate --like amazon2m --to graphsage --prefix Amazon2M --out Amazon2M/
//     generate --like reddit --scale 0.1 --out reddit-like.tessera

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "support/stage.hpp"
#include "support/write_layout.hpp"
#include "tessera/graph/stand_ins.hpp"
#include "tessera/train/system_info.hpp"

int main(int argc, char** argv) {
  std::string like = "amazon2m";
  std::string to = "container";
  std::string out;
  std::string prefix;
  tessera::StandInOptions options;
  std::size_t threads = 0;
  bool ordered = false;
  bool quiet = false;
  std::vector<std::string> names;
  for (const tessera::StandInShape& shape : tessera::stand_in_shapes()) names.emplace_back(shape.name);

  CLI::App app("Generate a stand-in for a public data set");
  app.add_option("--like", like, "Which data set")->check(CLI::IsMember(names))->capture_default_str();
  app.add_option("--scale", options.scale, "Share of nodes, links and split")
      ->check(CLI::Range(1e-9, 1.0))
      ->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  app.add_option("--features", options.features, "Another number of features; 0: that of the data set")
      ->capture_default_str();
  app.add_flag("--ordered", ordered, "Number nodes by class and community instead of at random");
  app.add_option("--to", to)->check(CLI::IsMember(examples::writable_layouts()))->capture_default_str();
  app.add_option("--out", out, "File (container, metis) or folder to write")->required();
  app.add_option("--prefix", prefix, "Prefix of the files of the graphsage layout; absent: <name>-like");
  app.add_option("--threads", threads, "0: one per processor")->check(CLI::Range(0, 1024));
  app.add_flag("--quiet", quiet, "No progress on stderr");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  options.shuffle_nodes = !ordered;
  try {
    const auto generate = [&] {
      const tessera::StandIn which = tessera::stand_in_named(like);
      tessera::Dataset data;
      {
        const examples::Stage stage("generate", 0, quiet);
        data = tessera::generate_stand_in(which, options);
      }
      {
        const auto bytes = 4 * data.features.size() + 21 * data.graph.num_edges();
        const examples::Stage stage("write", to == "graphsage" ? bytes : 4 * data.features.size(), quiet);
        examples::write_layout(to, out, prefix.empty() ? like + "-like" : prefix, data);
      }
      std::printf(
          "%s: %zu nodes, %zu edges, %zu features, %zu classes; %zu train, %zu val, %zu test\nwrote "
          "%s, %.1f MB; peak memory %.0f MB\n",
          data.name.c_str(), data.num_nodes(), data.graph.num_edges(), data.num_features(),
          data.num_classes(), data.nodes(tessera::Role::train).size(), data.nodes(tessera::Role::val).size(),
          data.nodes(tessera::Role::test).size(), out.c_str(),
          static_cast<double>(examples::bytes_at(out)) / 1e6,
          static_cast<double>(tessera::peak_rss_bytes()) / 1e6);
    };
    if (threads == 0) {
      generate();
    } else {
      tessera::with_threads(threads, generate);
    }
  } catch (const tessera::ConfigError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
