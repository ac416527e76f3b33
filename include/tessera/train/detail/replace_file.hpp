// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "tessera/core/error.hpp"

namespace tessera::detail {

[[noreturn]] inline void file_failed(const std::filesystem::path& path, std::string_view doing, int error) {
  throw FormatError("GEN-04", path.string(),
                    message("cannot ", doing, ": ", std::generic_category().message(error)));
}

/// Replaces the file by `text`, whole or not at all: a temporary sibling is written, flushed and renamed.
///
/// Errors   FormatError GEN-04; then the old file, if any, is as it was
inline void replace_file(const std::filesystem::path& path, std::string_view text) {
  const std::string temporary = message(path.string(), ".tmp-", static_cast<std::int64_t>(::getpid()));
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) file_failed(path, "create", errno);
  int error = 0;
  while (!text.empty() && error == 0) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put >= 0) {
      text.remove_prefix(static_cast<std::size_t>(put));
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  if (error == 0 && ::fsync(fd) != 0) error = errno;
  if (::close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return;
  ::unlink(temporary.c_str());
  file_failed(path, "write", error);
}

}  // namespace tessera::detail
