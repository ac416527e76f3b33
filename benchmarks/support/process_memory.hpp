// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace tessera::bench {

/// A field of one of the system's tables, in bytes.
inline double system_bytes(const char* table, std::string_view field) {
  double kibibytes = 0;
  if (std::FILE* file = std::fopen(table, "r")) {
    char line[256];
    while (std::fgets(line, sizeof line, file) != nullptr) {
      if (std::string_view(line).starts_with(field)) kibibytes = std::atof(line + field.size());
    }
    std::fclose(file);
  }
  return 1024 * kibibytes;
}

/// How far the process grows from here on: bytes mapped in at the most, less those mapped in at the start.
class Growth {
 public:
  Growth() {
    // 5 makes the system forget the peak so far.
    if (std::FILE* clear = std::fopen("/proc/self/clear_refs", "w")) {
      std::fputs("5", clear);
      std::fclose(clear);
    }
    start_ = system_bytes("/proc/self/status", "VmRSS:");
  }
  double bytes() const { return system_bytes("/proc/self/status", "VmHWM:") - start_; }

 private:
  double start_ = 0;
};

}  // namespace tessera::bench
