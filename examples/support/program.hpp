// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "support/options.hpp"
#include "support/train.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/train/report.hpp"

namespace examples {

/// What a program's exit status says.
enum ExitCode { kGood = 0, kFailed = 1, kBadArguments = 2, kBadData = 3 };

/// For programs with a training loop of their own.
///
/// Errors   ConfigError where the options ask for --log, --plot or --checkpoint
void refuse_hooks(const Options& o, const std::string& what);

/// Prints the result as a table.
void print(const tessera::Report& report);

/// A program's main: parses the command line, runs body(on_error) on `threads` threads (0: one per processor), and
/// turns what it throws into a message and an exit status. The body sets `on_error` from kBadData to kFailed once it
/// has read its data.
int run_main(CLI::App& app, int argc, char** argv, const std::string& program, const std::size_t& threads,
             const std::function<void(ExitCode& on_error)>& body);

using Train = std::function<void(const tessera::DatasetView& data, tessera::Report& report)>;

/// A node example's main: parses the command line, loads the data, calls train(data, report), prints and
/// reports.
int run_program(CLI::App& app, int argc, char** argv, const std::string& program, Options& options,
                const Train& train);

}  // namespace examples
