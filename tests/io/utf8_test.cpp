// SPDX-License-Identifier: MIT
#include "tessera/io/utf8.hpp"

#include "support/catch.hpp"

using tessera::io::is_utf8;

TEST_CASE("UTF-8 is accepted, what looks like it is not", "[io]") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("plain"));
  CHECK(is_utf8("caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \xF4\x8F\xBF\xBF"));
  CHECK_FALSE(is_utf8("\x80"));              // continuation without lead
  CHECK_FALSE(is_utf8("\xC3"));              // lead without continuation
  CHECK_FALSE(is_utf8("\xC3("));             // another byte instead
  CHECK_FALSE(is_utf8("\xC0\x80"));          // overlong
  CHECK_FALSE(is_utf8("\xE0\x80\x80"));      // overlong
  CHECK_FALSE(is_utf8("\xF0\x80\x80\x80"));  // overlong
  CHECK_FALSE(is_utf8("\xED\xA0\x80"));      // surrogate
  CHECK_FALSE(is_utf8("\xF4\x90\x80\x80"));  // past U+10FFFF
  CHECK_FALSE(is_utf8("\xFF"));
}
