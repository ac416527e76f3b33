// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/safetensors.hpp"
#include "tessera/io/safetensors_write.hpp"

namespace tessera::io {

/// Keeps what was expensive to find in files of a folder, each named by a key of everything it was found from.
///
///     ResultCache cache("cache");
///     const std::string key = saint_cache_key(source, draws, options);
///     if (!cache.load(key, result)) cache.store(key, result = find_it());
///
/// A result shows itself by `visit(f)`, which calls f(name, x) for each `Array<float>`, `double` and
/// `std::uint64_t` that belongs to it. The key must change with whatever the result depends on; a layer that
/// may not see `io` makes the key and the result, and the program joins the two.
/// Errors   FormatError GEN-04 where the folder or a file cannot be written
/// Threads  several processes may share a folder: files appear whole
class ResultCache {
 public:
  /// Makes the folder if it is not there.
  explicit ResultCache(std::filesystem::path folder) : folder_(std::move(folder)) {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (error) Place(folder_).fail("GEN-04", "cannot make the folder: ", error.message());
  }

  std::filesystem::path file_of(std::string_view key) const { return folder_ / message(key, ".safetensors"); }

  /// Fills `result` from the file of that key; false where there is none, and then nothing changes.
  ///
  /// Errors   FormatError for a file that is damaged or holds something else: delete it
  template <class R>
  bool load(std::string_view key, R& result) const {
    const std::filesystem::path path = file_of(key);
    if (!std::filesystem::exists(path)) return false;
    const SafetensorsFile file(path);
    const auto kept = file.metadata().find("key");
    if (kept == file.metadata().end() || kept->second != key) {
      file.place().fail("STF-03", "this is not the result of ", key, ". Delete the file");
    }
    R fresh;
    fresh.visit(Reader{file});
    result = std::move(fresh);
    return true;
  }

  /// Writes the file of that key, whole or not at all.
  template <class R>
  void store(std::string_view key, R& result) const {
    SafetensorsWriter file;
    std::deque<std::uint64_t> numbers;  // borrowed until the file is written
    std::deque<double> reals;
    result.visit(Writer{file, numbers, reals});
    file.metadata("key", std::string(key));
    file.write(file_of(key));
  }

 private:
  struct Reader {
    const SafetensorsFile& file;

    void operator()(std::string_view name, Array<float>& x) const { x = file.values<float>(name); }
    void operator()(std::string_view name, double& x) const { file.copy_to(name, std::span<double>(&x, 1)); }
    void operator()(std::string_view name, std::uint64_t& x) const {
      file.copy_to(name, std::span<std::uint64_t>(&x, 1));
    }
  };
  struct Writer {
    SafetensorsWriter& file;
    std::deque<std::uint64_t>& numbers;
    std::deque<double>& reals;

    void operator()(std::string_view name, const Array<float>& x) const {
      file.add<float>(std::string(name), x.span());
    }
    void operator()(std::string_view name, double x) const {
      file.add<double>(std::string(name), std::span<const double>(&reals.emplace_back(x), 1));
    }
    void operator()(std::string_view name, std::uint64_t x) const {
      file.add<std::uint64_t>(std::string(name), std::span<const std::uint64_t>(&numbers.emplace_back(x), 1));
    }
  };

  std::filesystem::path folder_;
};

}  // namespace tessera::io
