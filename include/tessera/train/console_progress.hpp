// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tessera/train/records.hpp"

namespace tessera {

struct ConsoleProgressOptions {
  std::FILE* stream = stderr;
  bool quiet = false;  ///< print nothing at all
  enum class Terminal { detect, yes, no } terminal = Terminal::detect;
  double seconds_between = 0.1;  ///< at most ten redraws per second
  std::string label = {};        ///< put in front, e.g. "run 3/20"
};

/// A hook that shows how far training is: a bar that redraws itself on a terminal, about ten plain lines per
/// run anywhere else. Colours are left out when NO_COLOR is set.
class ConsoleProgress {
 public:
  using Options = ConsoleProgressOptions;

  explicit ConsoleProgress(Options options = {}) : options_(std::move(options)) {
    terminal_ = options_.terminal == Options::Terminal::detect ? ::isatty(::fileno(options_.stream)) == 1
                                                               : options_.terminal == Options::Terminal::yes;
    const char* const no_color = std::getenv("NO_COLOR");
    color_ = terminal_ && (no_color == nullptr || *no_color == '\0');
  }

  template <class Run>
  void on_fit_begin(const Run& run) {
    start_ = drawn_ = Clock::now();
    first_ = run.next_epoch();
  }

  template <class Run>
  void on_epoch_end(const Run& run) {
    if (options_.quiet) return;
    const EpochRecord& last = run.history().back();
    if (last.evaluated) seen_ = last.evaluation;
    const auto now = Clock::now();
    const std::uint64_t done = run.next_epoch();
    const std::uint64_t all = run.options().epochs;
    if (terminal_) {
      const bool due = std::chrono::duration<double>(now - drawn_).count() >= options_.seconds_between;
      if (!due && !run.finished()) return;
    } else if (done * 10 / all == (done - 1) * 10 / all && !run.finished()) {
      return;  // not at a tenth of the way
    }
    drawn_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    print(line(last, done, all, seconds, run.finished()), run.finished());
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::string line(const EpochRecord& last, std::uint64_t done, std::uint64_t all, double seconds,
                   bool finished) const {
    std::string out = options_.label.empty() ? "" : options_.label + " ";
    if (terminal_) out += bar(done, all) + " ";
    char text[96];
    std::snprintf(text, sizeof text, "epoch %llu/%llu  loss %.4f", static_cast<unsigned long long>(done),
                  static_cast<unsigned long long>(all), last.train_loss);
    out += text;
    if (seen_.val.count > 0) {
      std::snprintf(text, sizeof text, "  val %.4f", seen_.val.metric);
      out += text;
    }
    const double each = seconds / static_cast<double>(std::max<std::uint64_t>(1, done - first_));
    std::snprintf(text, sizeof text, each >= 1 ? "  %.1f s/epoch" : "  %.1f ms/epoch",
                  each >= 1 ? each : each * 1e3);
    out += text;
    if (!finished) out += "  left " + clock(each * static_cast<double>(all - done));
    return out;
  }

  std::string bar(std::uint64_t done, std::uint64_t all) const {
    constexpr std::size_t kWidth = 24;
    const std::size_t filled = all == 0 ? kWidth : static_cast<std::size_t>(done * kWidth / all);
    std::string out = "[";
    if (color_) out += "\x1b[32m";
    out.append(filled, '=');
    if (color_) out += "\x1b[0m";
    out.append(kWidth - filled, ' ');
    return out + "]";
  }

  /// 75 -> "1:15".
  static std::string clock(double seconds) {
    const auto whole = static_cast<long long>(std::ceil(std::min(seconds, 1e9)));
    char text[48];
    if (whole >= 3600) {
      std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    } else {
      std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
    }
    return text;
  }

  void print(const std::string& text, bool final_line) const {
    if (terminal_) {
      std::fprintf(options_.stream, "\r%s\x1b[K%s", text.c_str(), final_line ? "\n" : "");
    } else {
      std::fprintf(options_.stream, "%s\n", text.c_str());
    }
    std::fflush(options_.stream);
  }

  Options options_;
  bool terminal_ = false;
  bool color_ = false;
  Evaluation seen_;
  std::uint64_t first_ = 0;
  Clock::time_point start_;
  Clock::time_point drawn_;
};

}  // namespace tessera
