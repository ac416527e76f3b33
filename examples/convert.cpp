// SPDX-License-Identifier: MIT
//
// Converts a data set in any layout that is read into a container, which opens in microseconds and is trained on
// where it lies, or into a layout other tools read. docs/formats.md lists the layouts.
//
//     convert --data reddit/ --out reddit.tessera
//     convert --data reddit.tessera --to graphsaint --out reddit-saint/
//     convert --data reddit.tessera --verify        checks every checksum and index, writes nothing

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "support/stage.hpp"
#include "support/write_layout.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/mapped_dataset.hpp"
#include "tessera/io/standardize.hpp"

namespace {

struct Arguments {
  std::string data;
  std::string format;
  std::string split;
  std::string to = "container";
  std::string out;
  std::string prefix = "data";
  std::string features = "raw";
  bool verify = false;
  bool directed = false;
  bool quiet = false;
};

void run(const Arguments& a) {
  namespace io = tessera::io;
  if (a.verify) {
    const examples::Stage stage("verify", 0, a.quiet);
    const io::MappedDataset mapped(a.data, {.verify = io::Verify::everything});
    std::printf("%s\ncontent id %s, %zu nodes, %zu edges: good\n", mapped.name.c_str(),
                io::to_text(mapped.content_id()).c_str(), mapped.num_nodes(), mapped.graph.num_edges());
    return;
  }
  tessera::Dataset data;
  {
    const examples::Stage stage("read", examples::bytes_at(a.data), a.quiet);
    io::ReadOptions read;
    read.format = a.format;
    read.split = a.split;
    if (a.directed) read.symmetrise = io::Symmetrise::off;
    read.row_normalize = a.features == "row";
    if (a.features == "standard") read.standardise = io::Standardise::train;
    data = io::load(a.data, read);
  }
  for (const std::string& warning : data.provenance.warnings) std::fprintf(stderr, "%s\n", warning.c_str());
  {
    const auto bytes = 4 * data.features.size() + 4 * data.graph.num_edges();
    const examples::Stage stage("write", bytes, a.quiet);
    examples::write_layout(a.to, a.out, a.prefix, data);
  }
  std::printf("%s\n%s; features %s\nwrote %s, %.1f MB\n", data.name.c_str(),
              data.provenance.edge_policy.c_str(), data.provenance.feature_state.c_str(), a.out.c_str(),
              static_cast<double>(examples::bytes_at(a.out)) / 1e6);
  if (a.to == "container") {
    std::printf("content id %s\n",
                io::to_text(io::MappedDataset(a.out, {.verify = io::Verify::header}).content_id()).c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  CLI::App app("Convert a data set between layouts");
  app.add_option("--data", a.data, "Folder or file in any supported layout")->required();
  app.add_option("--format", a.format, "Force a layout");
  app.add_option("--split", a.split, "Which split, where the layout stores several");
  app.add_option("--features", a.features, "raw, row or standard: transformed before they are written")
      ->check(CLI::IsMember({"raw", "row", "standard"}))
      ->capture_default_str();
  app.add_flag("--directed", a.directed, "Keep the direction of the edges");
  app.add_option("--to", a.to)->check(CLI::IsMember(examples::writable_layouts()))->capture_default_str();
  auto* out = app.add_option("--out", a.out, "File (container, metis) or folder to write");
  app.add_option("--prefix", a.prefix, "Prefix of the files of the graphsage layout")->capture_default_str();
  auto* verify = app.add_flag("--verify", a.verify, "Check a container completely instead");
  app.add_flag("--quiet", a.quiet, "No progress on stderr");
  verify->excludes(out);
  try {
    app.parse(argc, argv);
    if (!a.verify && a.out.empty()) throw CLI::RequiredError("--out");
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    run(a);
  } catch (const tessera::FormatError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 3;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
