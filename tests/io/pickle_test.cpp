// SPDX-License-Identifier: MIT
#include "tessera/io/pickle.hpp"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_pickle_writer.hpp"

using namespace tessera;
using io::Pickle;
using io::Place;
using test::pickle_file;
using test::refuses;
using Kind = io::PickleItem::Kind;

namespace {

/// The content of a pickle in one line: [ i1 "ab" ( None ) { i1 T } <object> ]
std::string shown(const Pickle& pickle, const io::PickleItem& item) {
  const auto inside = [&](char open, char close) {
    std::string out(1, open);
    for (const io::PickleItem& part : pickle.items(item)) out += " " + shown(pickle, part);
    return out + " " + close;
  };
  switch (item.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return item.value != 0 ? "T" : "F";
    case Kind::integer:
      return message("i", item.value);
    case Kind::bytes:
      return message("\"", pickle.text(item), "\"");
    case Kind::tuple:
      return inside('(', ')');
    case Kind::list:
      return inside('[', ']');
    case Kind::dict:
      return inside('{', '}');
    case Kind::global:
      return "<global>";
    case Kind::object:
      return "<object>";
  }
  return {};
}

std::string read(std::string_view body) {
  const std::string file = pickle_file(body);
  const auto bytes = test::exact_bytes(file);
  const Pickle pickle(bytes, Place("p"));
  return shown(pickle, pickle.root());
}

using namespace std::string_literals;

}  // namespace

TEST_CASE("The pickle machine builds numbers, strings and containers", "[io]") {
  CHECK(read("N") == "None");
  CHECK(read("(\x88\x89t") == "( T F )");
  CHECK(read("(K\xffM\xff\xffJ\xfe\xff\xff\xffJ\xff\xff\xff\x7ft") == "( i255 i65535 i-2 i2147483647 )");
  CHECK(read("(U\x03"
             "abcT\x02\x00\x00\x00xyU\x00t"s) == "( \"abc\" \"xy\" \"\" )");
  CHECK(read(")") == "( )");
  CHECK(read("K\x01\x85") == "( i1 )");
  CHECK(read("K\x01K\x02\x86") == "( i1 i2 )");
  CHECK(read("K\x01K\x02K\x03\x87") == "( i1 i2 i3 )");
  CHECK(read("]K\x01"
             "a") == "[ i1 ]");
  CHECK(read("](K\x01K\x02"
             "e") == "[ i1 i2 ]");
  CHECK(read("}(K\x01NK\x02]u") == "{ i1 None i2 [ ] }");
}

TEST_CASE("Memoised containers are shared, as in Python", "[io]") {
  CHECK(read("(]q\x03h\x03K\x07"
             "at") == "( [ i7 ] [ i7 ] )");
  CHECK(read("(K\x05r\x07\x00\x00\x00h\x07t"s) == "( i5 i5 )");
}

TEST_CASE("An opcode outside the closed set is refused by its name", "[io]") {
  const std::string allowed("\x80.(cRb\x81N\x88\x89JKMUT)\x85\x86\x87t]ae}uqrh");
  REQUIRE(allowed.size() == 28);
  for (int opcode = 0; opcode < 256; ++opcode) {
    if (allowed.find(static_cast<char>(opcode)) != std::string::npos) continue;
    INFO("opcode " << opcode);
    refuses("PKL-01", {"byte 2: "}, [&] { read(std::string(1, static_cast<char>(opcode))); });
  }
  refuses("PKL-01", {"opcode STACK_GLOBAL"}, [] { read("\x93"); });
  refuses("PKL-01", {"opcode INST"}, [] { read("(ios\nsystem\n"); });
  refuses("PKL-01", {"opcode LONG_BINGET"}, [] { read("j"); });
  refuses("PKL-01", {"opcode PERSID"}, [] { read("P"); });
  refuses("PKL-01", {"255 is no pickle opcode"}, [] { read("\xff"); });
}

TEST_CASE("A global outside the closed set is refused by its name", "[io]") {
  refuses("PKL-01", {"pickle refers to 'os system'; only SciPy and NumPy containers are read"},
          [] { read("cos\nsystem\nU\x02lsR"); });
  refuses("PKL-01", {"'__builtin__ eval'"}, [] { read("c__builtin__\neval\n"); });
  refuses("PKL-01", {"'numpy.core.multiarray scalar'"}, [] { read("cnumpy.core.multiarray\nscalar\n"); });
  refuses("PKL-01", {"'numpy ndarray.'"}, [] { read("cnumpy\nndarray\x01\n"); });
  refuses("PKL-01", {"calls something"}, [] { read("c__builtin__\nlist\n)R"); });
  refuses("PKL-01", {"calls something"}, [] { read("cscipy.sparse.csr\ncsr_matrix\n)R"); });
}

TEST_CASE("A damaged pickle is refused", "[io]") {
  refuses("PKL-02", {"memo index 9 is out of range"}, [] { read("h\x09"); });
  refuses("PKL-02", {"memo index 1 is out of range"}, [] { read("Nq\x02h\x01"); });
  refuses("PKL-02", {"memo index 4294967295"}, [] { read("Nr\xff\xff\xff\xff"); });
  refuses("PKL-02", {"wants 200 bytes more"}, [] {
    read(
        "U\xc8"
        "abc");
  });
  refuses("PKL-02", {"wants 2147483647 bytes more"}, [] {
    read(
        "T\xff\xff\xff\x7f"
        "abc");
  });
  refuses("PKL-02", {"negative length"}, [] {
    read(
        "T\xff\xff\xff\xff"
        "abc");
  });
  refuses("PKL-02", {"a name without end"}, [] { read("cnumpy"); });
  refuses("PKL-02", {"stack is empty"}, [] { read(""); });
  refuses("PKL-02", {"stack is empty"}, [] {
    read(
        "N(K\x01"
        "ab");
  });
  refuses("PKL-02", {"stack is too short"}, [] { read("K\x01\x86"); });
  refuses("PKL-02", {"stack is too short"}, [] { read("K\x01(K\x02\x86"); });
  refuses("PKL-02", {"no mark"}, [] { read("K\x01t"); });
  refuses("PKL-02", {"leaves values"}, [] { read("NN"); });
  refuses("PKL-02", {"items for something that takes none"}, [] {
    read(
        "NK\x01"
        "a");
  });
  refuses("PKL-02", {"items for something that takes none"}, [] { read("}(K\x01u"); });
  refuses("PKL-02", {"no state"}, [] { read("NNb"); });
  refuses("PKL-02", {"NEWOBJ"}, [] { read("N)\x81"); });
  refuses("PKL-02", {"REDUCE"}, [] { read("NNR"); });
  refuses("PKL-02", {"follow the end"}, [] { read("N.N"); });
  refuses("PKL-02", {"second PROTO"}, [] { read("\x80\x02"); });
  const auto open = [](std::string_view file) { Pickle(test::exact_bytes(file), Place("p")); };
  refuses("PKL-02", {"file is empty"}, [&] { open(""); });
  refuses("PKL-02", {"byte 3: wants 1 bytes more"}, [&] { open("\x80\x02N"); });
  refuses("PKL-01", {"protocol 4"}, [&] { open("\x80\x04N."); });
  refuses("GEN-02", {"HTML"}, [&] { open("<html>"); });
}

TEST_CASE("Damaged pickles are read or refused", "[io]") {
  for (const auto& [part, content] : test::toy_planetoid()) {
    if (part == "test.index") continue;
    const std::size_t refused = test::read_damaged(
        content, 1500, [](std::span<const std::byte> bytes) { const Pickle pickle(bytes, Place("p")); });
    CHECK(refused > 100);
  }
}
