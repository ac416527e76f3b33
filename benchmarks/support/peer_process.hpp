// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>
#include <utility>

#include "tessera/core/error.hpp"

namespace tessera::bench {

/// A peer that runs beside us and answers each line it reads with one line, so that it can be timed in turns with our
/// own kernels: what it takes to start, to import and to load is not counted, a pipe's latency (microseconds) is.
class PeerProcess {
 public:
  /// Starts `command` in a shell and waits for its first line.
  ///
  /// Errors   Error if it ends without one
  explicit PeerProcess(const std::string& command) {
    std::array<int, 2> to{}, from{};
    // Closed on exec: a peer that held another's pipe open would keep it waiting for the end of its input.
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) {
      throw Error("PeerProcess: no pipe to be had");
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(to[0], 0);
      ::dup2(from[1], 1);
      ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    in_ = ::fdopen(to[1], "w");
    out_ = ::fdopen(from[0], "r");
    if (pid_ < 0 || in_ == nullptr || out_ == nullptr) throw Error("PeerProcess: cannot start " + command);
    name_ = read_line(command);
  }
  PeerProcess(PeerProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)),
        in_(std::exchange(other.in_, nullptr)),
        out_(std::exchange(other.out_, nullptr)),
        name_(std::move(other.name_)) {}
  PeerProcess& operator=(PeerProcess&&) = delete;
  ~PeerProcess() {
    if (in_ != nullptr) std::fclose(in_);
    if (out_ != nullptr) std::fclose(out_);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }

  /// What the peer calls itself: its first line.
  const std::string& name() const noexcept { return name_; }

  /// Sends one line and waits for the answer.
  ///
  /// Errors   Error if the peer has ended
  std::string ask(const std::string& line) {
    std::fputs((line + "\n").c_str(), in_);
    std::fflush(in_);
    return read_line(name_);
  }

 private:
  std::string read_line(const std::string& who) {
    std::string line;
    for (int c = std::fgetc(out_); c != '\n'; c = std::fgetc(out_)) {
      if (c == EOF) throw Error("PeerProcess: ended without an answer: " + who);
      line += static_cast<char>(c);
    }
    return line;
  }

  pid_t pid_ = 0;
  std::FILE* in_ = nullptr;
  std::FILE* out_ = nullptr;
  std::string name_;
};

}  // namespace tessera::bench
