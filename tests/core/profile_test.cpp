// SPDX-License-Identifier: MIT
#include "tessera/core/profile.hpp"

#include <thread>

#include "support/catch.hpp"

using namespace tessera;

TEST_CASE("kernel calls are recorded between start and stop, with their nesting", "[profile]") {
  KernelProfile& profile = KernelProfile::global();
  profile.start();
  {
    const KernelScope outer("outer", 10, 20);
    const KernelScope inner("inner", 1, 2, true);
  }
  profile.stop();
  { const KernelScope unseen("unseen", 1, 1); }
  REQUIRE(profile.calls().size() == 2);
  const KernelCall& inner = profile.calls()[0];  // ends first
  const KernelCall& outer = profile.calls()[1];
  CHECK(inner.name == "inner");
  CHECK(inner.depth == 1);
  CHECK(inner.narrow);
  CHECK(outer.name == "outer");
  CHECK(outer.depth == 0);
  CHECK(outer.bytes == 10);
  CHECK(outer.flops == 20);
  CHECK(outer.start <= inner.start);
  CHECK(outer.seconds >= inner.seconds);
  CHECK(inner.thread == outer.thread);
}

TEST_CASE("threads record side by side", "[profile]") {
  KernelProfile& profile = KernelProfile::global();
  profile.start();
  const auto work = [] {
    for (int i = 0; i < 100; ++i) const KernelScope scope("work", 1, 0);
  };
  std::thread other(work);
  work();
  other.join();
  profile.stop();
  REQUIRE(profile.calls().size() == 200);
  std::size_t mine = 0;
  for (const KernelCall& call : profile.calls()) {
    CHECK(call.depth == 0);
    mine += call.thread == KernelProfile::thread_number() ? 1u : 0u;
  }
  CHECK(mine == 100);
  profile.start();  // forgets
  profile.stop();
  CHECK(profile.calls().empty());
}
