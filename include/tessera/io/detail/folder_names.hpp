// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace tessera::io::detail {

/// Names of what a folder holds, in alphabetical order, and questions about them.
class FolderNames {
 public:
  explicit FolderNames(const std::filesystem::path& folder) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
      (entry.is_directory(ignored) ? folders_ : files_).push_back(entry.path().filename().string());
    }
    std::sort(files_.begin(), files_.end());
    std::sort(folders_.begin(), folders_.end());
  }

  bool has(std::string_view name) const {
    return std::binary_search(files_.begin(), files_.end(), name, std::less<>());
  }
  /// The file, plain or with ".gz".
  bool has_text(const std::string& name) const { return has(name) || has(name + ".gz"); }
  bool has_folder(std::string_view name) const {
    return std::binary_search(folders_.begin(), folders_.end(), name, std::less<>());
  }
  template <class Matches>
  bool any(Matches&& matches) const {
    return std::any_of(files_.begin(), files_.end(), matches);
  }
  bool any_ending(std::string_view suffix) const {
    return any([&](const std::string& name) { return name.ends_with(suffix); });
  }
  /// The first file a test accepts; empty if none does.
  template <class Matches>
  std::string first(Matches&& matches) const {
    const auto at = std::find_if(files_.begin(), files_.end(), matches);
    return at == files_.end() ? std::string() : *at;
  }
  const std::vector<std::string>& files() const noexcept { return files_; }
  const std::vector<std::string>& folders() const noexcept { return folders_; }

 private:
  std::vector<std::string> files_;
  std::vector<std::string> folders_;
};

}  // namespace tessera::io::detail
