// SPDX-License-Identifier: MIT
#include "tessera/core/error.hpp"

#include "support/catch.hpp"

using namespace tessera;

TEST_CASE("Messages join text and numbers", "[error]") {
  const std::string name = "x";
  CHECK(message("gemm: ", name, " has ", 3, " rows, want ", std::size_t{4}, '.') ==
        "gemm: x has 3 rows, want 4.");
  CHECK(message(0.1, " ", 1e300, " ", true) == "0.1 1e+300 true");
}

TEST_CASE("File errors carry their parts", "[error]") {
  const FormatError error("NPY-05", "a/b.npy", "truncated");
  CHECK(std::string(error.what()) == "error[NPY-05] a/b.npy: truncated");
  CHECK(error.code() == "NPY-05");
  CHECK(error.file() == "a/b.npy");
  CHECK_THROWS_AS(throw error, Error);
}
