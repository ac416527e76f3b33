// SPDX-License-Identifier: MIT
#include "tessera/train/report.hpp"

#include <stdlib.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/train_fakes.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/train/console_progress.hpp"
#include "tessera/train/json_writer.hpp"
#include "tessera/train/jsonl_log.hpp"
#include "tessera/train/svg_plot.hpp"
#include "tessera/train/trainer.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

struct Folder {
  std::filesystem::path path;

  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tessera-report-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path operator/(const char* name) const { return path / name; }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path), {}));
  }
};

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> lines_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

/// A strict little JSON reader: the values found at each path, as written. Fails the test on bad syntax.
class Json {
 public:
  explicit Json(const std::string& text) : text_(text) {
    value("");
    space();
    REQUIRE(at_ == text_.size());
  }
  const std::string& operator[](const std::string& path) const {
    INFO(path);
    REQUIRE(found_.count(path) == 1);
    return found_.at(path);
  }
  bool has(const std::string& path) const { return found_.count(path) == 1; }

 private:
  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool take(char c) {
    space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string string() {
    REQUIRE(take('"'));
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      REQUIRE(static_cast<unsigned char>(text_[at_]) >= 0x20);
      if (text_[at_] == '\\') out += text_[at_++];
      out += text_[at_++];
    }
    ++at_;
    return out;
  }
  void value(const std::string& path) {
    if (take('{')) {
      if (take('}')) return;
      do {
        const std::string key = string();
        REQUIRE(take(':'));
        value(path.empty() ? key : path + "." + key);
      } while (take(','));
      REQUIRE(take('}'));
    } else if (take('[')) {
      if (take(']')) return;
      int i = 0;
      do value(path + "[" + std::to_string(i++) + "]");
      while (take(','));
      REQUIRE(take(']'));
    } else {
      space();
      const std::size_t begin = at_;
      if (text_[at_] == '"') {
        found_[path] = string();
        return;
      }
      while (at_ < text_.size() && std::string(",]} \n").find(text_[at_]) == std::string::npos) ++at_;
      found_[path] = text_.substr(begin, at_ - begin);
      REQUIRE(!found_[path].empty());
    }
  }

  std::string text_;
  std::size_t at_ = 0;
  std::map<std::string, std::string> found_;
};

template <class... Extras>
FitReport train(const Dataset& data, const FitOptions& options, Extras&&... extras) {
  TinyNet<float> model(8, 6, 3, 5);
  Trainer trainer{model, RangeSampler{24}, TinyLoss{}, Adam{.lr = 0.05}};
  return trainer.fit(data, options, std::forward<Extras>(extras)...);
}

/// Pretends that a run goes on after some epochs.
struct ResumeAt {
  std::uint64_t epoch;
  void on_restore(auto& run) const {
    while (run.next_epoch() < epoch) run.finish_epoch({.epoch = run.next_epoch()});
  }
};

/// A stream whose text can be read back.
struct MemoryStream {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* file = ::open_memstream(&text, &size);

  ~MemoryStream() {
    std::fclose(file);
    std::free(text);
  }
  std::string read() const {
    std::fflush(file);
    return {text, size};
  }
};

}  // namespace

TEST_CASE("JSON text is valid whatever is put in", "[report]") {
  JsonWriter json;
  json.begin_object().member("a", 1).member("b", -0.1).member("nan", std::nan("")).member("t", true);
  json.key("list").begin_array().value(std::numeric_limits<double>::infinity()).value("x").begin_object();
  json.end_object().begin_array().end_array().end_array();
  json.member("s", "quote\" back\\ line\n tab\t \x01 \xff\xc3\xa9 \xe2\x82 \xed\xa0\x80").end_object();
  CHECK(json.text() ==
        "{\"a\":1,\"b\":-0.1,\"nan\":null,\"t\":true,\"list\":[null,\"x\",{},[]],"
        "\"s\":\"quote\\\" back\\\\ line\\u000a tab\\u0009 \\u0001 \\ufffd\xc3\xa9 \\ufffd\\ufffd "
        "\\ufffd\\ufffd\\ufffd\"}");
  JsonWriter indented(JsonWriter::Layout::indented);
  indented.begin_object().member("a", 1).key("b").begin_array().value(2).value(3).end_array().end_object();
  CHECK(indented.text() == "{\n  \"a\": 1,\n  \"b\": [\n    2,\n    3\n  ]\n}");
}

TEST_CASE("A report holds what design says", "[report]") {
  const Dataset data = planted();
  const Folder folder;
  Report report{.program = "test", .dataset = summarize(data, "planted")};
  report.options = {
      {"hidden", std::int64_t{6}}, {"lr", 0.05}, {"inductive", false}, {"model", std::string("gcn")}};
  for (const std::uint64_t seed : {1u, 2u}) {
    report.runs.push_back({seed, train(data, {.epochs = 3, .seed = seed}), {{"edge_cut", 0.25}}});
  }
  report.seconds.train = 1.5;
  report.additions = {{"teacher", std::string("none")}};
  write_report(folder / "r.json", report);
  CHECK(folder.files() == 1);
  const Json json(text_of(folder / "r.json"));
  CHECK(json["program"] == "test");
  CHECK(json["version"] == kVersion);
  CHECK(json["dataset.name"] == "planted");
  CHECK(json["dataset.nodes"] == "96");
  CHECK(json["dataset.edges"] == std::to_string(data.graph.num_edges()));
  CHECK(json["dataset.features"] == "8");
  CHECK(json["dataset.classes"] == "3");
  CHECK(json["dataset.train"] == "48");
  CHECK(json["dataset.val"] == "24");
  CHECK(json["dataset.test"] == "24");
  CHECK(json["options.hidden"] == "6");
  CHECK(json["options.model"] == "gcn");
  CHECK(json["options.inductive"] == "false");
  CHECK(json["runs[1].seed"] == "2");
  CHECK(json["runs[1].epochs"] == "3");
  CHECK(json["runs[0].best_epoch"] == "2");
  for (const char* key :
       {"train_metric", "val_metric", "test_metric", "seconds_train", "seconds_per_epoch"}) {
    CHECK(std::stod(json[std::string("runs[0].") + key]) > 0);
  }
  CHECK(json["runs[0].edge_cut"] == "0.25");
  CHECK(json["metric"] == "accuracy");
  const double a = report.runs[0].fit.evaluation.test.metric, b = report.runs[1].fit.evaluation.test.metric;
  CHECK(std::stod(json["test_mean"]) == (a + b) / 2);
  CHECK(std::stod(json["test_std"]) == Approx(std::abs(a - b) / std::sqrt(2.0)));
  CHECK(json["seconds.train"] == "1.5");
  CHECK(json["seconds.infer"] == "0");
  CHECK(std::stoull(json["peak_rss_bytes"]) > 1'000'000);
  CHECK(std::stoul(json["threads"]) >= 1);
  CHECK(json["isa"] == name(active_isa()));
  CHECK(json["precision"] == "fp32");
  CHECK(json["teacher"] == "none");

  report.runs.clear();
  CHECK(Json(to_json(report))["test_mean"] == "null");
  CHECK_THROWS_AS(write_report(folder / "missing/r.json", report), FormatError);
  CHECK(folder.files() == 1);
}

TEST_CASE("The log has one object per epoch and is cut where a run resumes", "[report]") {
  const Dataset data = planted();
  const Folder folder;
  const auto file = folder / "log.jsonl";
  train(data, {.epochs = 5, .seed = 1, .eval_every = 2}, JsonlLog(file));
  auto lines = lines_of(file);
  REQUIRE(lines.size() == 5);
  const Json second(lines[1]), third(lines[2]);
  CHECK(second["epoch"] == "1");
  CHECK(second["seed"] == "1");
  CHECK(std::stod(second["val_metric"]) > 0);
  CHECK(!third.has("val_metric"));
  CHECK(std::stod(third["train_loss"]) > 0);
  CHECK(std::stod(third["profile.forward"]) > 0);

  // A second seed is added; then the first resumes at epoch 3, its last line having been cut short.
  train(data, {.epochs = 2, .seed = 2}, JsonlLog(file, {.append = true}));
  std::ofstream(file, std::ios::app) << "{\"seed\":1,\"epoch\":2,\"lr\"";
  train(data, {.epochs = 5, .seed = 1}, ResumeAt{3}, JsonlLog(file));
  lines = lines_of(file);
  REQUIRE(lines.size() == 7);
  const char* want[7] = {"\"seed\":1,\"epoch\":0,", "\"seed\":1,\"epoch\":1,", "\"seed\":1,\"epoch\":2,",
                         "\"seed\":2,\"epoch\":0,", "\"seed\":2,\"epoch\":1,", "\"seed\":1,\"epoch\":3,",
                         "\"seed\":1,\"epoch\":4,"};
  for (std::size_t i = 0; i < 7; ++i) {
    CHECK(lines[i].find(want[i]) == 1);
    Json{lines[i]};
  }
  train(data, {.epochs = 1, .seed = 3}, JsonlLog(file));
  CHECK(lines_of(file).size() == 1);
  CHECK_THROWS_AS(train(data, {.epochs = 1}, JsonlLog(folder / "missing/log")), FormatError);
}

TEST_CASE("Progress is a bar on terminals and plain lines elsewhere", "[report]") {
  const Dataset data = planted();
  using Terminal = ConsoleProgressOptions::Terminal;
  const auto run = [&](ConsoleProgressOptions options) {
    const MemoryStream stream;
    options.stream = stream.file;
    train(data, {.epochs = 40}, ConsoleProgress(options));
    return stream.read();
  };
  const std::string plain = run({.terminal = Terminal::no, .label = "run 1/2"});
  CHECK(plain.find('\r') == std::string::npos);
  CHECK(plain.find('\x1b') == std::string::npos);
  CHECK(std::count(plain.begin(), plain.end(), '\n') == 10);
  CHECK(plain.find("run 1/2 epoch 40/40  loss 0.") != std::string::npos);
  CHECK(plain.find("val 0.") != std::string::npos);

  ::unsetenv("NO_COLOR");
  const std::string bar = run({.terminal = Terminal::yes, .seconds_between = 0});
  CHECK(std::count(bar.begin(), bar.end(), '\r') == 40);
  CHECK(std::count(bar.begin(), bar.end(), '\n') == 1);
  CHECK(bar.find("\x1b[32m") != std::string::npos);
  ::setenv("NO_COLOR", "1", 1);
  CHECK(run({.terminal = Terminal::yes, .seconds_between = 0}).find("\x1b[32m") == std::string::npos);
  ::unsetenv("NO_COLOR");
  CHECK(run({.quiet = true, .terminal = Terminal::yes}).empty());
  CHECK(run({}).find('\r') == std::string::npos);  // a memory stream is no terminal
}

TEST_CASE("Curves are drawn for any history", "[report]") {
  const Dataset data = planted();
  const Folder folder;
  const FitReport report =
      train(data, {.epochs = 30}, BestLoss{.patience = 30}, SvgPlot(folder / "curves.svg", "a < b & \"c\""));
  const std::string svg = text_of(folder / "curves.svg");
  CHECK(folder.files() == 1);
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(svg.find("a &lt; b &amp;") != std::string::npos);
  CHECK(svg.find("accuracy") != std::string::npos);
  const auto count = [](const std::string& text, const std::string& what) {
    std::size_t n = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
  };
  CHECK(count(svg, "<polyline") == 5);
  CHECK(count(svg, "nan") == 0);

  // Nothing, one epoch, a constant, and a number that is not finite.
  CHECK(count(to_svg({.history = {}}), "<polyline") == 0);
  CHECK(count(to_svg({.history = std::span(report.history).first(1)}), "<circle") == 5);
  std::vector<EpochRecord> flat{
      {.epoch = 0, .train_loss = 1}, {.epoch = 1, .train_loss = 1}, {.epoch = 2, .train_loss = std::nan("")}};
  const std::string line = to_svg({.history = flat});
  CHECK(count(line, "<polyline") == 1);
  CHECK(count(line, "nan") == 0);
}
