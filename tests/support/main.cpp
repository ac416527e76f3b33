// SPDX-License-Identifier: MIT
// Test runner: Catch2's main, compiled once for all test programs.
#define CATCH_CONFIG_RUNNER
#include "support/catch.hpp"

int main(int argc, char** argv) { return Catch::Session().run(argc, argv); }
