// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

namespace tessera::bench {

/// A benchmark's main: parses, runs, and turns errors into a message; 0 good, 1 failed, 2 bad arguments.
template <class Run>
int run_program(CLI::App& app, int argc, char** argv, const char* program, Run&& run) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 1;
  }
}

}  // namespace tessera::bench
