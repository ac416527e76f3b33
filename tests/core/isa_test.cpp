// SPDX-License-Identifier: MIT
#include "tessera/core/isa.hpp"

#include "support/catch.hpp"

using namespace tessera;

TEST_CASE("A level is read from text, and only levels the processor has", "[isa]") {
  CHECK(detail::requested_isa(nullptr) == detected_isa());
  CHECK(detail::requested_isa("") == detected_isa());
  CHECK(detail::requested_isa("baseline") == Isa::baseline);
  CHECK(detail::requested_isa(std::string(name(detected_isa())).c_str()) == detected_isa());
  CHECK_THROWS_AS(detail::requested_isa("sse9"), ConfigError);
  if (detected_isa() < Isa::avx512) CHECK_THROWS_AS(detail::requested_isa("avx512"), ConfigError);
}

TEST_CASE("A scope forces a level and restores the one before", "[isa]") {
  const Isa before = active_isa();
  {
    const IsaScope scope(Isa::baseline);
    CHECK(active_isa() == Isa::baseline);
  }
  CHECK(active_isa() == before);
}
