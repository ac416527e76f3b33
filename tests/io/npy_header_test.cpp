// SPDX-License-Identifier: MIT
#include "tessera/io/npy_header.hpp"

#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::npy_file;
using test::refuses;

namespace {

io::NpyHeader parse(std::string_view file) {
  return io::parse_npy_header(std::as_bytes(std::span(file)), io::Place("a.npy"));
}

io::NpyHeader parse_dictionary(std::string_view dictionary) { return parse(npy_file(dictionary, "")); }

io::NpyHeader parse_descr(std::string_view descr) {
  return parse_dictionary("{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (2,), }");
}

}  // namespace

TEST_CASE("a header as numpy writes it", "[io]") {
  const io::NpyHeader h =
      parse_dictionary("{'descr': '<f4', 'fortran_order': False, 'shape': (2708, 1433), }");
  CHECK(h.type.kind == 'f');
  CHECK(h.type.size == 4);
  CHECK_FALSE(h.type.big_endian);
  CHECK_FALSE(h.fortran_order);
  CHECK(h.shape == std::vector<std::uint64_t>{2708, 1433});
  CHECK(h.count == 2708 * 1433);
  CHECK(h.data_bytes == 4 * 2708 * 1433);
  CHECK(h.data_offset == 128);
}

TEST_CASE("unusual headers that are right", "[io]") {
  SECTION("keys in another order, other quotes and blanks, no last comma") {
    const auto h = parse_dictionary("{ \"shape\":(3 , 4) ,'fortran_order' : True,  'descr':'|b1'}");
    CHECK(h.shape == std::vector<std::uint64_t>{3, 4});
    CHECK(h.fortran_order);
    CHECK(h.type.kind == 'b');
  }
  SECTION("long integers of Python 2, 80 bytes as old numpy wrote them") {
    const auto h =
        parse(npy_file("{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 4L), }", "", 1, 16));
    CHECK(h.data_offset == 80);
    CHECK(h.count == 12);
  }
  SECTION("versions 2 and 3") {
    const int major = GENERATE(2, 3);
    const auto h = parse(npy_file("{'descr': '>i2', 'fortran_order': False, 'shape': (), }", "", major));
    CHECK(h.count == 1);
    CHECK(h.type.big_endian);
    CHECK(h.data_offset % 64 == 0);
  }
  SECTION("empty shapes, also where the other extents are absurd") {
    const auto h =
        parse_dictionary("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4611686018427387904), }");
    CHECK(h.count == 0);
    CHECK(h.data_bytes == 0);
    CHECK(parse_dictionary("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, "
                           "4611686018427387904, 0), }")
              .count == 0);
  }
}

TEST_CASE("element types that are supported", "[io]") {
  for (const std::string_view descr : {"<f2", "<f4", "<f8", ">f4", "=f8", "|i1", "<i2", "<i4", ">i8", "|u1",
                                       "<u2", "<u4", "<u8", "|b1", "|S3", "<U22", ">U5"}) {
    INFO(descr);
    CHECK_NOTHROW(parse_descr(descr));
  }
  CHECK(parse_descr("<U22").type.size == 88);
  CHECK(parse_descr("|S3").type.size == 3);
}

TEST_CASE("element types that are refused, by name", "[io]") {
  refuses("NPY-04", {"'<c8' (complex) is not supported", "f2 f4 f8"}, [] { parse_descr("<c8"); });
  refuses("NPY-04", {"'<f16' (long double)"}, [] { parse_descr("<f16"); });
  refuses("NPY-04", {"'<M8[ns]' (date or time)"}, [] { parse_descr("<M8[ns]"); });
  for (const std::string_view descr :
       {"|V8", "<i3", "|b2", "f4", "", "<", "<f", "<f4x", "<U99999999999999999999"}) {
    INFO(descr);
    refuses("NPY-04", {"is not supported"}, [&] { parse_descr(descr); });
  }
  refuses("NPY-06", {"pickled Python object array (descr '|O')", "never loaded", "scipy.sparse.save_npz"},
          [] { parse_descr("|O"); });
  refuses("NPY-04", {"structured arrays", "[('x', '<f4'), ('y', '<i8')]"}, [] {
    parse_dictionary("{'descr': [('x', '<f4'), ('y', '<i8')], 'fortran_order': False, 'shape': (2,), }");
  });
  refuses("NPY-04", {"structured arrays"},
          [] { parse_dictionary("{'descr': ('<f4', (3,)), 'fortran_order': False, 'shape': (2,), }"); });
}

TEST_CASE("dictionaries that are refused, with the column", "[io]") {
  const auto bad = [](std::string_view dictionary, std::string_view text) {
    INFO(dictionary);
    refuses("NPY-03", {text}, [&] { parse_dictionary(dictionary); });
  };
  bad("{'descr': '<f4', 'fortran_order': False, 'shape': (3), }", "(n,)");
  bad("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", "found '-'");
  bad("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "64 bits");
  bad("{'descr': '<f4', 'fortran_order': False, 'shape': [3], }", "at column 51: found '['");
  bad("{'descr': '<f4', 'fortran_order': False, }", "misses the key 'shape'");
  bad("{'descr': '<f4', 'shape': (3,), }", "misses the key 'fortran_order'");
  bad("{'fortran_order': False, 'shape': (3,), }", "misses the key 'descr'");
  bad("{}", "misses the key 'descr'");
  bad("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "repeats the key 'descr'");
  bad("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x': True}", "unknown key 'x'");
  bad("{'descr': '<f4', 'fortran_order': 0, 'shape': (3,), }", "want True or False");
  bad("{'descr': '<f\\x34', 'fortran_order': False, 'shape': (3,), }", "without escapes");
  bad("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), } + 1", "want the end of the line");
  bad("{'descr': '<f4' 'fortran_order': False, 'shape': (3,), }", "want ','");
  bad("['descr']", "column 1: found '['");
  bad("", "want '{'");
  bad("{'descr", "without escapes");
  std::string deep = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (int i = 0; i < 65; ++i) deep += "1, ";
  bad(deep + "), }", "64 dimensions");
}

TEST_CASE("a header must end with a line feed", "[io]") {
  std::string file = npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "");
  file.back() = ' ';
  refuses("NPY-03", {"want the end of the line"}, [&] { parse(file); });
}

TEST_CASE("what is no .npy file is refused", "[io]") {
  refuses("NPY-01", {"starts with nothing (the file is empty)"}, [] { parse(""); });
  refuses("NPY-01", {"starts with 93 4E 55 4D"}, [] { parse("\x93NUMP"); });
  refuses("NPY-01", {"starts with 68 65 6C 6C (\"hell\")"}, [] { parse("hello, world"); });
  refuses("GEN-02", {"HTML page"}, [] { parse("<!DOCTYPE html>"); });
  refuses("NPY-05", {"cut off"}, [] { parse("\x93NUMPY"); });
  refuses("NPY-05", {"cut off"}, [] { parse(std::string_view("\x93NUMPY\x01\x00\x76", 9)); });
  refuses("NPY-02", {"npy version 4.0; versions 1.0, 2.0, 3.0 are known"},
          [] { parse(std::string_view("\x93NUMPY\x04\x00\x10\x00\x00\x00", 12)); });
  refuses("NPY-02", {"npy version 1.7"}, [] { parse(std::string_view("\x93NUMPY\x01\x07\x10\x00", 10)); });
}

TEST_CASE("header lengths beyond the file or the limit are refused", "[io]") {
  refuses("NPY-05", {"the header needs 128 bytes, the file has 100"}, [] {
    parse(npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (2708, 1433), 'x': Fals}", "")
              .substr(0, 100));
  });
  refuses("NPY-03", {"header length is 4,294,967,295, limit is 65,536"},
          [] { parse(std::string_view("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12)); });
}

TEST_CASE("shapes whose product overflows are refused", "[io]") {
  refuses("NPY-05", {"(4294967296, 4294967296)", "more bytes than any file"}, [] {
    parse_dictionary("{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296), }");
  });
  refuses("NPY-05", {"more bytes than any file"}, [] {
    parse_dictionary("{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,), }");
  });
}

TEST_CASE("a shape prints as Python prints it", "[io]") {
  CHECK(io::shape_text({}) == "()");
  CHECK(io::shape_text(std::vector<std::uint64_t>{3}) == "(3,)");
  CHECK(io::shape_text(std::vector<std::uint64_t>{3, 4}) == "(3, 4)");
}
