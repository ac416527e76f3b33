// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/version.hpp"
#include "tessera/io/safetensors.hpp"
#include "tessera/io/safetensors_write.hpp"
#include "tessera/nn/parameter_block.hpp"

// Checkpoints as safetensors: `model.<parameter>`, `optim.<state>.<parameter>`, `best.<parameter>`, and the
// run's position and history under `train.`. What must be equal for a run to go on is text in the metadata
// (`same.*`). Weights are [F_in, F_out]; PyTorch stores the transpose.

namespace tessera::io {

namespace detail {

/// Marks a file as ours; what Python readers ask for included.
inline void describe_checkpoint(SafetensorsWriter& out) {
  out.metadata("format", "pt");
  out.metadata("library", "tessera");
  out.metadata("version", kVersion);
  out.metadata("weight_layout", "in_out");
}

/// Hands the pieces of a run to a writer. They must stay as they are until it has written.
class CheckpointSaver {
 public:
  explicit CheckpointSaver(SafetensorsWriter& out) : out_(out) {}

  void same(std::string_view name, std::string_view text) {
    out_.metadata(message("same.", name), std::string(text));
  }
  template <class T>
  void block(std::string_view prefix, std::span<const ParameterInfo> infos, std::span<T> values) {
    using Element = std::remove_const_t<T>;
    for (const ParameterInfo& p : infos) {
      out_.add(message(prefix, ".", std::string_view(p.name)),
               MatrixView<const Element>(values.data() + p.offset, p.rows, p.cols));
    }
  }
  template <class T>
  void array(std::string_view name, std::span<T> values) {
    out_.add(std::string(name), std::span<const T>(values));
  }
  void value(std::string_view name, std::uint64_t& number) {
    integers_.push_back(static_cast<std::int64_t>(number));
    out_.add(std::string(name), std::span<const std::int64_t>(&integers_.back(), 1), {});
  }
  void value(std::string_view name, double& number) {
    out_.add(std::string(name), std::span<const double>(&number, 1), {});
  }
  void series(std::string_view name, const std::vector<double>& numbers) {
    series_.push_back(numbers);
    out_.add(std::string(name), std::span<const double>(series_.back()));
  }

 private:
  SafetensorsWriter& out_;
  std::deque<std::int64_t> integers_;  // a deque: pointers into it stay
  std::deque<std::vector<double>> series_;
};

/// Compares a file with what a run wants and collects every difference; changes nothing.
class CheckpointChecker {
 public:
  explicit CheckpointChecker(const SafetensorsFile& file) : file_(file) {}

  void same(std::string_view name, std::string_view text) {
    const auto at = file_.metadata().find(message("same.", name));
    if (at == file_.metadata().end()) return differ(notes_, "there is no note of the ", name);
    if (at->second != text) {
      differ(notes_, name, " was ", shorten(at->second), " and is now ", shorten(std::string(text)));
    }
  }
  template <class T>
  void block(std::string_view prefix, std::span<const ParameterInfo> infos, std::span<T>) {
    for (const ParameterInfo& p : infos) {
      want<T>(message(prefix, ".", std::string_view(p.name)), {p.rows, p.cols});
    }
  }
  template <class T>
  void array(std::string_view name, std::span<T> values) {
    want<T>(std::string(name), {values.size()});
  }
  void value(std::string_view name, std::uint64_t&) { want<std::int64_t>(std::string(name), {}); }
  void value(std::string_view name, double&) { want<double>(std::string(name), {}); }
  void series(std::string_view name, const std::vector<double>&) {
    const SafetensorsEntry* tensor = file_.find(name);
    if (tensor == nullptr || tensor->dtype != "F64" || tensor->shape.size() != 1) {
      differ(tensors_, "series ", name, " is missing");
    }
  }

  /// Throws if anything differed.
  ///
  /// Errors   ConfigError naming the file and every difference
  void finish() const {
    // Other settings explain other tensors, so these are listed only where the settings agree.
    const std::string& differences = notes_.empty() ? tensors_ : notes_;
    if (differences.empty()) return;
    throw ConfigError(message("Checkpoint: ", file_.place().file, " does not fit: ", differences,
                              ". Remove the file, or go back to the old settings"));
  }

 private:
  template <class T>
  void want(const std::string& name, const std::vector<std::uint64_t>& shape) {
    const SafetensorsEntry* tensor = file_.find(name);
    if (tensor == nullptr) return differ(tensors_, "tensor ", name, " is missing");
    if (tensor->dtype == safetensors_dtype<T>() && tensor->shape == shape) return;
    differ(tensors_, "tensor ", name, " is ", tensor->dtype, " ", shape_text(tensor->shape), ", want ",
           safetensors_dtype<T>(), " ", shape_text(shape));
  }
  template <class... Parts>
  static void differ(std::string& list, const Parts&... parts) {
    if (!list.empty()) list += "; ";
    list += message(parts...);
  }
  static std::string shorten(const std::string& text) {
    if (text.empty()) return "the default";
    return text.size() <= 200 ? text : text.substr(0, 200) + "...";
  }

  const SafetensorsFile& file_;
  std::string notes_;
  std::string tensors_;
};

/// Fills a run from a file that was checked.
class CheckpointLoader {
 public:
  explicit CheckpointLoader(const SafetensorsFile& file) : file_(file) {}

  void same(std::string_view, std::string_view) {}
  template <class T>
  void block(std::string_view prefix, std::span<const ParameterInfo> infos, std::span<T> values) {
    for (const ParameterInfo& p : infos) {
      const std::string name = message(prefix, ".", std::string_view(p.name));
      array(name, values.subspan(p.offset, p.size()));
    }
  }
  template <class T>
  void array(std::string_view name, std::span<T> values) {
    file_.copy_to<T>(name, values);
    if (!std::all_of(values.begin(), values.end(), [](T x) { return std::isfinite(x); })) {
      file_.place().fail("STF-03", "tensor \"", name, "\" holds NaN or infinity");
    }
  }
  void value(std::string_view name, std::uint64_t& number) {
    std::int64_t stored = 0;
    file_.copy_to<std::int64_t>(name, std::span(&stored, 1));
    number = static_cast<std::uint64_t>(stored);
  }
  void value(std::string_view name, double& number) { file_.copy_to<double>(name, std::span(&number, 1)); }
  void series(std::string_view name, std::vector<double>& numbers) {
    const Array<double> stored = file_.values<double>(name);
    numbers.assign(stored.begin(), stored.end());
  }

 private:
  const SafetensorsFile& file_;
};

/// Removes what AtomicFile left beside `path` in processes that were killed.
inline void remove_abandoned(const std::filesystem::path& path) {
  const std::string prefix = path.filename().string() + ".tmp-";
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code ignored;  // a folder that cannot be listed is reported when the checkpoint is written
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    pid_t owner = 0;
    const auto parsed = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), owner);
    if (parsed.ec != std::errc{} || owner <= 0) continue;
    if (::kill(owner, 0) != 0 && errno == ESRCH) std::filesystem::remove(entry.path(), ignored);
  }
}

}  // namespace detail

struct CheckpointOptions {
  std::uint64_t every = 1;    ///< epochs between two saves; the last epoch is saved in any case
  bool resume = false;        ///< continue from the file if it exists; otherwise it is overwritten
  std::string identity = {};  ///< anything else that must be equal for a run to go on, as text
};

/// A hook that saves a run and continues it later, to the same bits as if it had never stopped.
///
///     trainer.fit(data, {.epochs = 200}, io::Checkpoint("run.safetensors", {.resume = true}));
///
/// One file holds weights, best weights, optimiser, schedule, position and history. It is replaced as a
/// whole, so a process killed at any moment leaves the old state or the new one. A run that had finished
/// trains nothing more and reports what it had reached.
/// Cost     a save writes the state once and waits for the disk
/// Errors   ConfigError naming every difference if the file is from another model, data set, sampler or
///          setting; FormatError for a damaged file or one that cannot be written. A run is not touched
///          before everything has been checked
class Checkpoint {
 public:
  using Options = CheckpointOptions;

  explicit Checkpoint(std::filesystem::path file, Options options = {})
      : file_(std::move(file)), options_(std::move(options)) {
    if (options_.every == 0) throw ConfigError("Checkpoint: every is 0, want at least 1 epoch");
  }

  const std::filesystem::path& file() const noexcept { return file_; }

  template <class Run>
  void on_restore(Run& run) {
    detail::remove_abandoned(file_);
    if (!options_.resume || !std::filesystem::exists(file_)) return;
    const SafetensorsFile stored(file_);
    detail::CheckpointChecker checker(stored);
    checker.same("identity", options_.identity);
    run.visit(checker);
    checker.finish();
    detail::CheckpointLoader loader(stored);
    run.visit(loader);
  }

  template <class Run>
  void on_epoch_end(Run& run) {
    if (run.next_epoch() % options_.every == 0 || run.finished()) save(run);
  }

  /// Writes the run as it is now.
  template <class Run>
  void save(Run& run) const {
    SafetensorsWriter out;
    detail::describe_checkpoint(out);
    detail::CheckpointSaver saver(out);
    saver.same("identity", options_.identity);
    run.visit(saver);
    out.write(file_);
  }

 private:
  std::filesystem::path file_;
  Options options_;
};

/// Writes a model's weights alone, as `model.<parameter>`.
///
/// Errors   FormatError if the file cannot be written
template <Real T>
void save_weights(const std::filesystem::path& file, const ParameterBlock<T>& block) {
  SafetensorsWriter out;
  detail::describe_checkpoint(out);
  detail::CheckpointSaver(out).block("model", block.parameters(), block.values());
  out.write(file);
}

/// Which weights of a checkpoint to read.
enum class Weights {
  last,  ///< `model.*`
  best   ///< `best.*`, which runs with a stopping rule that keeps the best have
};

/// Reads weights from a file of `save_weights` or from a checkpoint.
///
/// Errors   ConfigError naming every missing or misshapen tensor, then nothing is changed; FormatError for a
///          damaged file
template <Real T>
void load_weights(const std::filesystem::path& file, ParameterBlock<T>& block,
                  Weights which = Weights::last) {
  const std::string_view prefix = which == Weights::last ? "model" : "best";
  const SafetensorsFile stored(file);
  detail::CheckpointChecker checker(stored);
  checker.block(prefix, block.parameters(), block.values());
  checker.finish();
  detail::CheckpointLoader(stored).block(prefix, block.parameters(), block.values());
}

}  // namespace tessera::io
