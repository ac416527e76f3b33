// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tessera/train/detail/replace_file.hpp"
#include "tessera/train/json_writer.hpp"
#include "tessera/train/records.hpp"
#include "tessera/train/report.hpp"

namespace tessera {

/// One finished epoch as a line of JSON, without the line end.
inline std::string to_json_line(std::uint64_t seed, const EpochRecord& r) {
  JsonWriter json;
  json.begin_object().member("seed", seed).member("epoch", r.epoch).member("lr", r.learning_rate);
  json.member("train_loss", r.train_loss).member("steps", r.steps).member("seconds", r.seconds);
  detail::write_profile(json, r.profile);
  if (r.evaluated) {
    const Evaluation& e = r.evaluation;
    detail::write_score(json, "val_loss", e.val, &Score::loss);
    detail::write_score(json, "train_metric", e.train, &Score::metric);
    detail::write_score(json, "val_metric", e.val, &Score::metric);
    detail::write_score(json, "test_metric", e.test, &Score::metric);
    json.member("seconds_evaluate", e.seconds);
  }
  json.end_object();
  return json.text();
}

struct JsonlLogOptions {
  bool append = false;  ///< keep what other seeds have written, e.g. from the second run of a program on
};

/// A hook that writes one JSON object per epoch to a file, each flushed as it comes.
///
/// A resumed run drops the lines of its seed from the resumed epoch on, and lines that were cut short; what
/// precedes them stays. A run from the start empties the file unless told to append.
/// Errors   FormatError GEN-04 if the file cannot be written
class JsonlLog {
 public:
  using Options = JsonlLogOptions;

  explicit JsonlLog(std::filesystem::path file, Options options = {})
      : file_(std::move(file)), options_(options) {}

  template <class Run>
  void on_fit_begin(const Run& run) {
    seed_ = run.options().seed;
    const bool keep = options_.append || run.next_epoch() > 0;
    detail::replace_file(file_, keep ? kept_lines(run.next_epoch()) : std::string());
    out_.reset(std::fopen(file_.c_str(), "ab"));
    if (out_ == nullptr) detail::file_failed(file_, "open", errno);
  }

  template <class Run>
  void on_epoch_end(const Run& run) {
    const std::string line = to_json_line(seed_, run.history().back()) + "\n";
    if (std::fwrite(line.data(), 1, line.size(), out_.get()) != line.size() || std::fflush(out_.get()) != 0) {
      detail::file_failed(file_, "write", errno);
    }
  }

  template <class Run>
  void on_fit_end(const Run&, const FitReport&) {
    out_.reset();
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  /// The whole lines of other seeds, and of this one before `epoch`.
  std::string kept_lines(std::uint64_t epoch) const {
    std::ifstream in(file_, std::ios::binary);
    std::string out;
    const std::string mine = message("{\"seed\":", seed_, ",\"epoch\":");
    for (std::string line; std::getline(in, line);) {
      if (in.eof() || !line.ends_with('}')) continue;  // no line end: it was cut short
      if (line.starts_with(mine)) {
        std::uint64_t written = 0;
        const auto parsed = std::from_chars(line.data() + mine.size(), line.data() + line.size(), written);
        if (parsed.ec != std::errc{} || written >= epoch) continue;
      }
      out += line + "\n";
    }
    return out;
  }

  std::filesystem::path file_;
  Options options_;
  std::uint64_t seed_ = 0;
  std::unique_ptr<std::FILE, Close> out_;
};

}  // namespace tessera
