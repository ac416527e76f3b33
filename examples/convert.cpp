// SPDX-License-Identifier: MIT
//
// Converts a data set in any layout that is read into a container, which opens in microseconds and is trained on
// where it lies, or into a layout other tools read. docs/formats.md lists the layouts.
//
//     convert --data reddit/ --out reddit.tessera
//     convert --data reddit.tessera --to graphsaint --out reddit-saint/
//     convert --data reddit.tessera --verify        checks every checksum and index, writes nothing

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "support/checks.hpp"
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
  examples::EdgeChoice edges;
  std::string ids = "compact";
  std::string link_endpoints = "automatic";
  std::string nan = "error";
  std::uint64_t max_bytes = 0;
  bool quiet = false;
};

void run(const Arguments& a, int& on_error) {
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
    read.symmetrise = a.edges.value();
    read.edge_list_ids = a.ids == "text"    ? io::EdgeListIds::text
                         : a.ids == "as_is" ? io::EdgeListIds::as_is
                                            : io::EdgeListIds::compact;
    read.link_endpoints = a.link_endpoints == "position" ? io::LinkEndpoints::position
                          : a.link_endpoints == "id"     ? io::LinkEndpoints::id
                                                         : io::LinkEndpoints::automatic;
    if (a.nan == "zero") read.nan = io::NanPolicy::zero;
    read.max_bytes = a.max_bytes;
    read.row_normalize = a.features == "row";
    if (a.features == "standard") read.standardise = io::Standardise::train;
    data = io::load(a.data, read);
  }
  on_error = 1;
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
  app.add_option("--format", a.format, "Force a layout")->check(CLI::IsMember(examples::layout_names()));
  app.add_option("--split", a.split, "Which split, where the layout stores several");
  app.add_option("--features", a.features, "raw, row or standard: transformed before they are written")
      ->check(CLI::IsMember({"raw", "row", "standard"}))
      ->capture_default_str();
  examples::add_edge_options(app, a.edges);
  app.add_option("--ids", a.ids, "Ids of an edge list: made compact, node numbers as they are, or words")
      ->check(CLI::IsMember({"compact", "as_is", "text"}))
      ->capture_default_str();
  app.add_option("--link-endpoints", a.link_endpoints,
                 "What GraphSAGE's links name: positions or ids of nodes")
      ->check(CLI::IsMember({"automatic", "position", "id"}))
      ->capture_default_str();
  app.add_option("--nan", a.nan, "What features that are NaN or infinite do: refused, or made 0")
      ->check(CLI::IsMember({"error", "zero"}))
      ->capture_default_str();
  app.add_option("--max-bytes", a.max_bytes, "Most memory one file may take, bytes; 0: 80 % of the machine's")
      ->capture_default_str();
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
  int on_error = 3;
  try {
    run(a, on_error);
  } catch (const tessera::ConfigError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return on_error;
  }
  return 0;
}
