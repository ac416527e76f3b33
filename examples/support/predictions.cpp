// SPDX-License-Identifier: MIT
#include "support/predictions.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <span>

#include "tessera/core/error.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/npy_write.hpp"
#include "tessera/io/safetensors.hpp"

namespace examples {
namespace {

/// How far a file is, on a terminal.
class Bar {
 public:
  Bar(std::size_t all, bool quiet) : all_(all), shown_(!quiet && ::isatty(STDERR_FILENO) != 0) {}
  ~Bar() {
    if (shown_) std::fprintf(stderr, "\r\33[K");
  }
  void at(std::size_t done) {
    const std::size_t percent = all_ == 0 ? 100 : 100 * done / all_;
    if (!shown_ || percent == percent_) return;
    percent_ = percent;
    std::string bar(30, '-');
    std::fill_n(bar.begin(), 30 * percent / 100, '#');
    std::fprintf(stderr, "\rwriting [%s] %zu %%", bar.c_str(), percent);
  }

 private:
  std::size_t all_;
  bool shown_;
  std::size_t percent_ = 101;
};

void append_row(std::string& text, std::size_t node, std::span<const float> scores, bool multilabel) {
  const auto top = static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  for (std::size_t c = 0; c < scores.size(); ++c) {
    if (multilabel ? scores[c] >= 0 : c == top) text += tessera::message(node, ",", c, ",", scores[c], "\n");
  }
}

}  // namespace

bool is_table_name(const std::string& name) { return name.ends_with(".npy") || name.ends_with(".csv"); }

bool has_best_weights(const std::filesystem::path& file) {
  const tessera::io::SafetensorsFile stored(file);
  const auto& tensors = stored.tensors();
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const auto& t) { return t.name.starts_with("best."); });
}

void write_predictions(const std::string& name, tessera::MatrixView<const float> logits, bool multilabel,
                       bool quiet) {
  constexpr std::size_t kRows = 4096;
  const bool npy = name.ends_with(".npy");
  tessera::io::AtomicFile file(name);
  const std::uint64_t shape[] = {logits.rows(), logits.cols()};
  std::string text = npy ? tessera::io::npy_preamble("<f4", shape) : std::string("node,class,score\n");
  Bar bar(logits.rows(), quiet);
  for (std::size_t i = 0; i < logits.rows(); ++i) {
    if (npy) {
      text.append(reinterpret_cast<const char*>(logits.row(i).data()), logits.cols() * sizeof(float));
    } else {
      append_row(text, i, logits.row(i), multilabel);
    }
    if ((i + 1) % kRows != 0) continue;
    file.write(std::as_bytes(std::span(text)));
    text.clear();
    bar.at(i + 1);
  }
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace examples
