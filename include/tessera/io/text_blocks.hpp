// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/inflate.hpp"
#include "tessera/io/mapped_file.hpp"

namespace tessera::io {

/// Whole lines of a text file, each ending in '\n'.
struct TextBlock {
  std::string_view text;
  std::uint64_t first_line = 1;  ///< its number in the file, from 1
};

/// Whether blank lines at the end of a file count.
enum class BlankTail { ignore, keep };

/// A text file, plain or gzip-compressed, as a sequence of blocks of whole lines.
///
/// Plain files are mapped; compressed ones are inflated into two buffers in turn. A byte-order mark is
/// skipped, and a last line without '\n' gets one.
/// Cost     memory for two blocks (and two of the longest line) when compressed, O(1) when plain
/// Errors   FormatError GEN-01..04; ZIP-02, ZIP-03 for gzip; CSV-01 for a line longer than 16 MiB
/// Threads  one reader at a time
class TextBlocks {
 public:
  static constexpr std::size_t kBlock = std::size_t{4} << 20;
  static constexpr std::size_t kMaxLine = std::size_t{16} << 20;

  explicit TextBlocks(const std::filesystem::path& path, BlankTail tail = BlankTail::ignore,
                      std::size_t block = kBlock)
      : file_(path), place_(path), tail_(tail), block_(std::max<std::size_t>(block, 1)) {
    open(file_.bytes());
  }
  /// Text, plain or compressed, that outlives it; `name` stands for the path in messages.
  TextBlocks(std::span<const std::byte> bytes, std::string name, BlankTail tail = BlankTail::ignore,
             std::size_t block = kBlock)
      : place_(std::move(name)), tail_(tail), block_(std::max<std::size_t>(block, 1)) {
    open(bytes);
  }
  TextBlocks(TextBlocks&&) = delete;

  const Place& place() const noexcept { return place_; }
  Place at_line(std::uint64_t line) const { return place_.at(message("line ", grouped(line))); }
  /// No file of these bytes holds more text: what a declared number of lines is compared with.
  ///
  /// Units    bytes
  std::uint64_t most_bytes() const noexcept { return most_bytes_; }

  bool compressed() const noexcept { return gzip_.has_value(); }

  /// The next lines, valid until the call after the next one; nothing at the end.
  std::optional<TextBlock> next() {
    const std::string_view text = gzip_ ? inflate_block() : cut_block();
    if (text.empty()) return std::nullopt;
    const TextBlock out{text, next_line_};
    next_line_ += count_lines(text);
    return out;
  }

  /// How many '\n' there are.
  static std::uint64_t count_lines(std::string_view text) noexcept {
    using Bytes [[gnu::vector_size(16)]] = signed char;
    constexpr std::size_t kRound = 127 * sizeof(Bytes);  // what a signed byte can count
    std::uint64_t count = 0;
    while (text.size() >= sizeof(Bytes)) {
      const std::size_t now = std::min(kRound, text.size()) / sizeof(Bytes) * sizeof(Bytes);
      Bytes lines{};
      for (std::size_t at = 0; at < now; at += sizeof(Bytes)) {
        Bytes bytes;
        std::memcpy(&bytes, text.data() + at, sizeof bytes);
        lines -= bytes == '\n';
      }
      for (std::size_t k = 0; k < sizeof(Bytes); ++k) count += static_cast<std::uint64_t>(lines[k]);
      text.remove_prefix(now);
    }
    for (const char c : text) count += c == '\n' ? 1u : 0u;
    return count;
  }

 private:
  void open(std::span<const std::byte> bytes) {
    constexpr std::uint64_t kMostPerByte = 1032;  // deflate's limit
    if (is_gzip(bytes)) {
      gzip_.emplace(bytes, place_, detail::Wrapper::gzip);
      most_bytes_ = saturating_product(bytes.size(), kMostPerByte);
      return;
    }
    if (!bytes.empty() && detail::as_text(bytes).find_first_of("\n\r\t ,0123456789", 0) != 0) {
      refuse_wrong_kind(place_, bytes, "text file");
    }
    most_bytes_ = bytes.size();
    rest_ = detail::as_text(bytes);
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
    if (tail_ == BlankTail::ignore) rest_ = without_blank_tail(rest_);
  }

  /// The text up to the end of its last line that is not blank.
  static std::string_view without_blank_tail(std::string_view text) noexcept {
    const std::size_t last = text.find_last_not_of(" \t\r\n");
    if (last == text.npos) return {};
    const std::size_t end = text.find('\n', last);
    return end == text.npos ? text.substr(0, last + 1) : text.substr(0, end + 1);
  }

  std::string_view cut_block() {
    if (rest_.empty()) return {};
    std::size_t size = std::min(block_, rest_.size());
    if (size < rest_.size()) {
      const std::size_t newline = rest_.substr(0, size).rfind('\n');
      size = newline == rest_.npos ? rest_.find('\n', size) : newline;
      size = size == rest_.npos ? rest_.size() : size + 1;
    }
    if (size > kMaxLine + block_) fail_long_line();
    if (rest_[size - 1] != '\n') {
      // The last line lacks its end: the lines before it first, then a copy of it.
      const std::size_t newline = rest_.substr(0, size).rfind('\n');
      if (newline != rest_.npos) {
        size = newline + 1;
      } else {
        last_line_ = std::string(rest_.substr(0, size)) + '\n';
        rest_ = {};
        return last_line_;
      }
    }
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }

  std::string_view inflate_block() {
    if (ended_) return {};
    Array<char>& buffer = buffer_[turn_];
    turn_ = 1 - turn_;
    std::size_t filled = carried_.size();
    buffer.resize(std::max(block_, filled) + 1);
    std::copy(carried_.begin(), carried_.end(), buffer.begin());
    for (;;) {
      const std::size_t room = buffer.size() - 1 - filled;  // one byte stays for a missing last '\n'
      const std::size_t got = gzip_->read(std::as_writable_bytes(std::span(buffer.data() + filled, room)));
      filled += got;
      ended_ = got < room;
      if (first_) skip_mark(buffer, filled);
      std::string_view text(buffer.data(), filled);
      if (ended_) return finish(buffer, text);
      // Blank lines may turn out to be the last of the file, so they wait for what follows.
      const std::string_view lines = text.substr(0, text.rfind('\n') + 1);
      std::string_view ready = tail_ == BlankTail::ignore ? without_blank_tail(lines) : lines;
      if (filled > kMaxLine && lines.empty()) fail_long_line();
      if (filled > kMaxLine && ready.empty()) ready = lines;
      if (!ready.empty()) {
        carried_ = text.substr(ready.size());
        return ready;
      }
      buffer.resize(2 * buffer.size());
    }
  }

  std::string_view finish(Array<char>& buffer, std::string_view text) const {
    if (tail_ == BlankTail::ignore) text = without_blank_tail(text);
    if (text.empty() || text.back() == '\n') return text;
    buffer[text.size()] = '\n';
    return {buffer.data(), text.size() + 1};
  }

  void skip_mark(Array<char>& buffer, std::size_t& filled) {
    if (filled < 3 && !ended_) return;
    first_ = false;
    if (!std::string_view(buffer.data(), filled).starts_with("\xEF\xBB\xBF")) return;
    std::copy(buffer.begin() + 3, buffer.begin() + filled, buffer.begin());
    filled -= 3;
  }

  [[noreturn]] void fail_long_line() const {
    at_line(next_line_).fail("CSV-01", "the line is longer than 16 MiB; is this a text file?");
  }

  MappedFile file_;
  Place place_;
  BlankTail tail_;
  std::size_t block_;
  std::uint64_t most_bytes_ = 0;
  std::uint64_t next_line_ = 1;
  std::string_view rest_;  // plain: not yet handed out
  std::string last_line_;
  std::optional<detail::Inflater> gzip_;
  Array<char> buffer_[2];
  std::size_t turn_ = 0;
  std::string_view carried_;  // the begin of a line, in the buffer handed out last
  bool first_ = true;
  bool ended_ = false;
};

/// Calls body(block) for every block in order, while the next one is read (and inflated) beside it.
template <class F>
void for_each_block(TextBlocks& text, F&& body) {
  std::optional<TextBlock> now = text.next();
  while (now) {
    std::optional<TextBlock> after;
    parallel_invoke([&] { after = text.next(); }, [&] { body(*now); });
    now = after;
  }
}

/// The file of this name in a folder, or its gzip-compressed form <name>.gz; empty if there is neither.
inline std::filesystem::path find_text(const std::filesystem::path& folder, std::string_view name) {
  std::error_code ignored;
  for (const std::string_view suffix : {".gz", ""}) {
    std::filesystem::path path = folder / message(name, suffix);
    if (std::filesystem::is_regular_file(path, ignored)) return path;
  }
  return {};
}

/// find_text for a file that must be there.
///
/// Errors   FormatError GEN-01
inline std::filesystem::path require_text(const std::filesystem::path& folder, std::string_view name) {
  std::filesystem::path path = find_text(folder, name);
  if (path.empty()) Place(folder / name).fail("GEN-01", "neither ", name, ".gz nor ", name, " is there");
  return path;
}

}  // namespace tessera::io
