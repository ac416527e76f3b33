// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(TESSERA_HAS_ZLIB)
#include <zlib.h>
#endif

#include "support/catch.hpp"
#include "tessera/core/error.hpp"
#include "tessera/io/crc32.hpp"

// Files made by hand, right or wrong in one place, for the tests of the readers.

namespace tessera::test {

/// A folder that exists during one test.
class ScratchFolder {
 public:
  ScratchFolder() {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("tessera-io-" + std::to_string(std::random_device{}()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  std::filesystem::path write(std::string_view name, std::string_view content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_back(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A copy whose end is the end of its memory, so that a sanitizer sees a read past it.
inline std::vector<std::byte> exact_bytes(std::string_view text) {
  std::vector<std::byte> out(text.size());
  if (!text.empty()) std::memcpy(out.data(), text.data(), text.size());
  out.shrink_to_fit();
  return out;
}

/// The little-endian bytes of some values.
template <class T>
std::string raw(std::initializer_list<T> values) {
  std::string out(values.size() * sizeof(T), '\0');
  if (values.size() > 0) std::memcpy(out.data(), values.begin(), out.size());
  return out;
}

/// A .npy file from its dictionary and its data; the header is padded to `align`.
inline std::string npy_file(std::string_view dictionary, std::string_view data, int major = 1,
                            std::size_t align = 64) {
  const std::size_t prefix = major == 1 ? 10 : 12;
  std::string header(dictionary);
  while ((prefix + header.size() + 1) % align != 0) header.push_back(' ');
  header.push_back('\n');
  std::string out = "\x93NUMPY";
  out.push_back(static_cast<char>(major));
  out.push_back('\0');
  for (std::size_t i = 0; i < prefix - 8; ++i)
    out.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  return out + header + std::string(data);
}

/// A .npy file of one type and shape, e.g. npy_array("<f4", "(2, 3)", raw<float>({...})).
inline std::string npy_array(std::string_view descr, std::string_view shape, std::string_view data,
                             bool fortran = false) {
  return npy_file("{'descr': '" + std::string(descr) + "', 'fortran_order': " + (fortran ? "True" : "False") +
                      ", 'shape': " + std::string(shape) + ", }",
                  data);
}

/// A member of a hand-made zip; unset fields tell the truth.
struct ZipPart {
  std::string name;
  std::string content;
  bool deflate = false;
  std::uint16_t flags = 0;
  std::optional<std::uint16_t> method = {};
  std::optional<std::uint32_t> crc = {};
  std::optional<std::uint64_t> declared_size = {};  ///< uncompressed, in the directory
  bool zip64_local = false;    ///< local sizes FFFFFFFF with an extra field, as numpy writes
  bool zip64_central = false;  ///< the same in the directory
  bool streamed = false;       ///< local sizes 0 and flag bit 3, as a pipe is written
};

#if defined(TESSERA_HAS_ZLIB)
inline std::string deflated(std::string_view content, int level = 6, int strategy = Z_DEFAULT_STRATEGY,
                            int window_bits = -MAX_WBITS) {
  z_stream stream{};
  REQUIRE(::deflateInit2(&stream, level, Z_DEFLATED, window_bits, 8, strategy) == Z_OK);
  std::string out(::deflateBound(&stream, static_cast<uLong>(content.size())) + 16, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  ::deflateEnd(&stream);
  return out;
}
inline std::string gzipped(std::string_view content) {
  return deflated(content, 6, Z_DEFAULT_STRATEGY, MAX_WBITS + 16);
}
#else
inline std::string deflated(std::string_view) {
  FAIL("this test needs zlib");
  return {};
}
#endif

/// A zip file of these members; `comment` goes to its end.
inline std::string zip_file(const std::vector<ZipPart>& parts, std::string_view comment = {}) {
  const auto put = [](std::string& out, std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  };
  std::string out;
  std::string directory;
  for (const ZipPart& part : parts) {
    const std::string payload = part.deflate ? deflated(part.content) : part.content;
    const std::uint16_t method = part.method.value_or(part.deflate ? 8 : 0);
    const std::uint32_t crc = part.crc.value_or(io::crc32(std::as_bytes(std::span(part.content))));
    const std::uint64_t size = part.declared_size.value_or(part.content.size());
    const auto flags = static_cast<std::uint16_t>(part.flags | (part.streamed ? 8 : 0));
    const std::uint64_t offset = out.size();
    put(out, 0x04034b50, 4);
    put(out, 20, 2);
    put(out, flags, 2);
    put(out, method, 2);
    put(out, 0, 4);
    put(out, part.streamed ? 0 : crc, 4);
    put(out, part.zip64_local ? 0xffffffff : part.streamed ? 0 : payload.size(), 4);
    put(out, part.zip64_local ? 0xffffffff : part.streamed ? 0 : part.content.size(), 4);
    put(out, part.name.size(), 2);
    put(out, part.zip64_local ? 20 : 0, 2);
    out += part.name;
    if (part.zip64_local) {
      put(out, 1, 2);
      put(out, 16, 2);
      put(out, part.content.size(), 8);
      put(out, payload.size(), 8);
    }
    out += payload;

    put(directory, 0x02014b50, 4);
    put(directory, 20, 2);
    put(directory, 20, 2);
    put(directory, flags, 2);
    put(directory, method, 2);
    put(directory, 0, 4);
    put(directory, crc, 4);
    put(directory, part.zip64_central ? 0xffffffff : payload.size(), 4);
    put(directory, part.zip64_central ? 0xffffffff : size, 4);
    put(directory, part.name.size(), 2);
    put(directory, part.zip64_central ? 28 : 0, 2);
    put(directory, 0, 8);  // comment, disk, attributes
    put(directory, 0, 2);
    put(directory, part.zip64_central ? 0xffffffff : offset, 4);
    directory += part.name;
    if (part.zip64_central) {
      put(directory, 1, 2);
      put(directory, 24, 2);
      put(directory, size, 8);
      put(directory, payload.size(), 8);
      put(directory, offset, 8);
    }
  }
  const std::uint64_t offset = out.size();
  out += directory;
  put(out, 0x06054b50, 4);
  put(out, 0, 4);
  put(out, parts.size(), 2);
  put(out, parts.size(), 2);
  put(out, directory.size(), 4);
  put(out, offset, 4);
  put(out, comment.size(), 2);
  return out + std::string(comment);
}

/// Checks that `read` throws FormatError with this code, and that the message has every one of these texts.
template <class F>
void refuses(std::string_view code, std::initializer_list<std::string_view> texts, F&& read) {
  try {
    read();
  } catch (const FormatError& error) {
    INFO(error.what());
    CHECK(error.code() == code);
    const std::string_view what = error.what();
    for (const std::string_view text : texts) {
      INFO("wanted: " << text);
      CHECK(what.find(text) != what.npos);
    }
    return;
  }
  FAIL("nothing was thrown, want " << code);
}

/// Damages a good file in `rounds` ways, always the same ones, and hands each to `read`, which must return or
/// throw one of our errors. Returns how many were refused.
template <class F>
std::size_t read_damaged(const std::string& good, std::size_t rounds, F&& read) {
  std::mt19937_64 random(20240229);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  constexpr unsigned char kOdd[] = {0x00, 0xff, 0x7f, 0x80, 0x01, '9', '(', '}', '-', '\n'};
  std::size_t refused = 0;
  for (std::size_t round = 0; round < rounds; ++round) {
    std::string bad = good;
    const std::size_t edits = 1 + below(4);
    for (std::size_t e = 0; e < edits && !bad.empty(); ++e) {
      // Half of the damage goes to the ends of the file, where headers and directories are.
      const std::size_t zone = std::min<std::size_t>(bad.size(), 256);
      const std::size_t side = below(4);
      const std::size_t at = side == 0   ? below(zone)
                             : side == 1 ? bad.size() - 1 - below(zone)
                                         : below(bad.size());
      switch (below(6)) {
        case 0:
          bad[at] = static_cast<char>(bad[at] ^ (1 << below(8)));
          break;
        case 1:
        case 2:
          bad[at] = static_cast<char>(kOdd[below(std::size(kOdd))]);
          break;
        case 3:
          bad.resize(at);
          break;
        case 4:
          bad.erase(at, 1 + below(16));
          break;
        default:
          bad.insert(at, bad.substr(below(bad.size()), 1 + below(16)));
      }
    }
    const std::vector<std::byte> bytes = exact_bytes(bad);
    try {
      read(std::span<const std::byte>(bytes));
    } catch (const Error&) {
      ++refused;
    }
  }
  return refused;
}

/// Where a real data set lies, or nothing (with a warning) if this machine does not have it.
inline std::optional<std::filesystem::path> real_data(std::string_view name) {
  const std::filesystem::path path = std::filesystem::path(TESSERA_DATA_DIR) / name;
  if (std::filesystem::exists(path)) return path;
  WARN("skipped: " << path.string() << " is not here");
  return std::nullopt;
}

}  // namespace tessera::test
