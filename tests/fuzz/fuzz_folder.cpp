// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "tessera/core/parallel.hpp"
#include "tessera/graph/validate.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/load_graphs.hpp"

// The input is a folder: files one after the other, each `name LF size LF` and then its bytes. Whatever it holds is
// loaded, or refused with one of our errors; what is loaded must be valid.
namespace {

std::filesystem::path scratch() {
  const std::filesystem::path base =
      std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
  return base / ("tessera-fuzz-" + std::to_string(::getpid()));
}

/// Takes one line off the front.
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return line;
}

bool unpack(std::string_view rest, const std::filesystem::path& folder) {
  std::size_t files = 0;
  while (!rest.empty() && files < 16) {
    const std::string_view name = take_line(rest);
    const bool plain = !name.empty() && name.size() < 60 &&
                       name.find_first_of(std::string_view("\0\\", 2)) == name.npos &&
                       name.find("..") == name.npos && name.front() != '/';
    if (!plain) return files > 0;
    std::size_t size = 0;
    for (const char c : take_line(rest).substr(0, 7)) {
      if (c >= '0' && c <= '9') size = 10 * size + static_cast<std::size_t>(c - '0');
    }
    const std::string_view content = rest.substr(0, size);
    rest.remove_prefix(content.size());
    std::error_code ignored;
    std::filesystem::create_directories((folder / name).parent_path(), ignored);
    std::ofstream(folder / name, std::ios::binary) << content;
    ++files;
  }
  return files > 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const std::filesystem::path folder = scratch();
  std::filesystem::create_directories(folder);
  if (unpack({reinterpret_cast<const char*>(data), size}, folder)) {
    io::ReadOptions options{.symmetrise = size % 2 == 0 ? io::Symmetrise::automatic : io::Symmetrise::on,
                            .max_bytes = 1 << 26};
    with_threads(1, [&] {
      try {
        validate(io::load(folder, options));
      } catch (const FormatError&) {
      }
      try {
        validate(io::load_graphs(folder, options));
      } catch (const FormatError&) {
      }
    });
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return 0;
}
