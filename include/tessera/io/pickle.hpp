// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/io/file_error.hpp"

// A closed reader for the pickles of the Planetoid data sets (protocol 2, written by Python 2): 28 opcodes
// and 6 global names, everything else is refused. A global is a tag here; nothing is looked up and nothing is
// called, so nothing in a file can run.

namespace tessera::io {

/// The global names a pickle may mention.
enum class PickleGlobal : std::uint8_t { csr_matrix, reconstruct, ndarray, dtype, defaultdict, list };

/// One value of a pickle. Numbers stand in it, the rest are positions in the arenas of its Pickle.
struct PickleItem {
  enum class Kind : std::uint8_t { none, boolean, integer, bytes, tuple, list, dict, global, object };
  Kind kind = Kind::none;
  std::int64_t value = 0;
};

/// A parsed pickle. Byte strings point into the bytes it was read from.
///
/// Cost     work O(bytes), memory at most about 100 times the bytes; containers may share parts, as in Python
/// Errors   FormatError PKL-01 (an opcode or a global outside the closed set), PKL-02 (truncated or
/// inconsistent)
class Pickle {
 public:
  using Item = PickleItem;
  using Kind = PickleItem::Kind;
  /// What NEWOBJ, REDUCE and BUILD described: a tag, the arguments and the state.
  struct Object {
    PickleGlobal type;
    Item arguments;
    Item state;
  };

  Pickle(std::span<const std::byte> bytes, Place place) : bytes_(bytes), place_(std::move(place)) { run(); }

  const Item& root() const noexcept { return root_; }
  const Place& place() const noexcept { return place_; }
  std::size_t file_bytes() const noexcept { return bytes_.size(); }

  // What an item holds. The kind must be right; `require` sees to that.
  std::span<const std::byte> bytes(const Item& item) const { return strings_[at(item)]; }
  std::string_view text(const Item& item) const { return detail::as_text(bytes(item)); }
  /// The items of a tuple or list, or the keys and values of a dict in turn.
  std::span<const Item> items(const Item& item) const { return containers_[at(item)]; }
  const Object& object(const Item& item) const { return objects_[at(item)]; }

  /// Checks the kind of an item; `what` names it in the message.
  void require(const Item& item, Kind kind, std::string_view what) const {
    if (item.kind != kind) fail(message(what, " is ", name_of(item.kind), ", want ", name_of(kind)));
  }
  /// The pickle is damaged or holds something else than expected.
  [[noreturn]] void fail(std::string_view problem) const { place_.fail("PKL-02", problem); }

  static std::string_view name_of(Kind kind) noexcept {
    constexpr std::string_view kNames[] = {"None",   "a bool", "an integer",    "a byte string", "a tuple",
                                           "a list", "a dict", "a global name", "an object"};
    return kNames[static_cast<std::size_t>(kind)];
  }

 private:
  static std::size_t at(const Item& item) noexcept { return static_cast<std::size_t>(item.value); }

  void run();
  void step(std::uint8_t opcode);
  void push_global();
  void reduce();
  void new_object();
  void build();

  [[noreturn]] void damaged(std::string_view problem) const {
    place_.fail("PKL-02", "byte ", grouped(at_), ": ", problem);
  }
  [[noreturn]] void refuse_opcode(std::uint8_t opcode) const;

  std::span<const std::byte> take(std::size_t count) {
    if (count > bytes_.size() - at_)
      damaged(message("wants ", count, " bytes more, the file ends after ", bytes_.size() - at_));
    return bytes_.subspan(std::exchange(at_, at_ + count), count);
  }
  std::uint32_t take_little(std::size_t count) {
    std::uint32_t value = 0;
    const auto raw = take(count);
    for (std::size_t i = count; i-- > 0;) value = value << 8 | std::to_integer<std::uint32_t>(raw[i]);
    return value;
  }
  std::string_view take_line() {
    const std::string_view rest = detail::as_text(bytes_.subspan(at_));
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) damaged("a name without end");
    at_ += end + 1;
    return rest.substr(0, end);
  }

  void push(Kind kind, std::int64_t value) { stack_.push_back({kind, value}); }
  void push_string(std::size_t count) {
    const auto raw = take(count);
    push(Kind::bytes, static_cast<std::int64_t>(strings_.size()));
    strings_.push_back(raw);
  }
  void push_container(Kind kind, std::size_t count) {
    if (count > stack_.size() - floor()) damaged("the stack is too short");
    push_items(kind, {stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end()}, count);
  }
  void push_items(Kind kind, std::vector<Item> items, std::size_t popped) {
    stack_.resize(stack_.size() - popped);
    push(kind, static_cast<std::int64_t>(containers_.size()));
    containers_.push_back(std::move(items));
  }
  Item pop() {
    if (stack_.size() <= floor()) damaged("the stack is empty");
    const Item out = stack_.back();
    stack_.pop_back();
    return out;
  }
  Item& top() {
    if (stack_.size() <= floor()) damaged("the stack is empty");
    return stack_.back();
  }
  std::size_t floor() const noexcept { return marks_.empty() ? 0 : marks_.back(); }
  std::size_t pop_mark() {
    if (marks_.empty()) damaged("no mark on the stack");
    const std::size_t mark = marks_.back();
    marks_.pop_back();
    return mark;
  }
  // Moves what lies above `from` to the container below it.
  void extend(Kind kind, std::size_t from) {
    if (from <= floor()) damaged("the stack is empty");
    const Item& target = stack_[from - 1];
    const std::size_t count = stack_.size() - from;
    if (target.kind != kind || (kind == Kind::dict && count % 2 != 0))
      damaged("items for something that takes none");
    auto& items = containers_[at(target)];
    items.insert(items.end(), stack_.begin() + static_cast<std::ptrdiff_t>(from), stack_.end());
    stack_.resize(from);
  }
  void put(std::size_t index) {
    if (index >= bytes_.size()) damaged(message("memo index ", index, " is out of range"));
    if (index >= memo_.size()) memo_.resize(index + 1, Item{Kind::none, kUnset});
    memo_[index] = top();
  }
  void get(std::size_t index) {
    if (index >= memo_.size() || (memo_[index].kind == Kind::none && memo_[index].value == kUnset)) {
      damaged(message("memo index ", index, " is out of range"));
    }
    stack_.push_back(memo_[index]);
  }

  static constexpr std::int64_t kUnset = -1;

  std::span<const std::byte> bytes_;
  Place place_;
  std::size_t at_ = 0;
  bool stopped_ = false;
  Item root_;
  std::vector<Item> stack_;
  std::vector<std::size_t> marks_;
  std::vector<Item> memo_;
  std::vector<std::span<const std::byte>> strings_;
  std::vector<std::vector<Item>> containers_;
  std::vector<Object> objects_;
};

inline void Pickle::run() {
  const std::string_view text = detail::as_text(bytes_);
  if (!text.starts_with("\x80\x02")) {
    if (text.starts_with('\x80') && text.size() > 1) {
      place_.fail("PKL-01", "pickle protocol ", static_cast<unsigned>(static_cast<unsigned char>(text[1])),
                  "; only protocol 2, as the published Planetoid files use, is read");
    }
    if (!text.starts_with('\x80')) refuse_wrong_kind(place_, bytes_, "Python pickle");
    place_.fail("PKL-02", "not a pickle of protocol 2: starts with ", first_bytes(bytes_));
  }
  while (!stopped_) step(static_cast<std::uint8_t>(take_little(1)));
  if (at_ != bytes_.size()) damaged(message(bytes_.size() - at_, " bytes follow the end of the pickle"));
}

inline void Pickle::step(std::uint8_t opcode) {
  switch (opcode) {
    case 0x80:  // PROTO
      if (at_ != 1 || take_little(1) != 2) damaged("a second PROTO");
      return;
    case '.':  // STOP
      root_ = pop();
      if (!stack_.empty() || !marks_.empty()) damaged("STOP leaves values on the stack");
      stopped_ = true;
      return;
    case '(':
      marks_.push_back(stack_.size());
      return;  // MARK
    case 'c':
      return push_global();  // GLOBAL
    case 'R':
      return reduce();  // REDUCE
    case 'b':
      return build();  // BUILD
    case 0x81:
      return new_object();  // NEWOBJ
    case 'N':
      return push(Kind::none, 0);  // NONE
    case 0x88:
      return push(Kind::boolean, 1);  // NEWTRUE
    case 0x89:
      return push(Kind::boolean, 0);  // NEWFALSE
    case 'J':
      return push(Kind::integer, static_cast<std::int32_t>(take_little(4)));  // BININT
    case 'K':
      return push(Kind::integer, take_little(1));  // BININT1
    case 'M':
      return push(Kind::integer, take_little(2));  // BININT2
    case 'U':
      return push_string(take_little(1));  // SHORT_BINSTRING
    case 'T': {                            // BINSTRING
      const std::uint32_t length = take_little(4);
      if (length > 0x7FFF'FFFFu) damaged("a byte string of negative length");
      return push_string(length);
    }
    case ')':
      return push_container(Kind::tuple, 0);  // EMPTY_TUPLE
    case 0x85:
      return push_container(Kind::tuple, 1);  // TUPLE1
    case 0x86:
      return push_container(Kind::tuple, 2);  // TUPLE2
    case 0x87:
      return push_container(Kind::tuple, 3);  // TUPLE3
    case 't': {                               // TUPLE
      const std::size_t mark = pop_mark();
      return push_container(Kind::tuple, stack_.size() - mark);
    }
    case ']':
      return push_container(Kind::list, 0);  // EMPTY_LIST
    case '}':
      return push_container(Kind::dict, 0);  // EMPTY_DICT
    case 'a':                                // APPEND
      if (stack_.size() <= floor()) damaged("the stack is empty");
      return extend(Kind::list, stack_.size() - 1);
    case 'e':
      return extend(Kind::list, pop_mark());  // APPENDS
    case 'u':
      return extend(Kind::dict, pop_mark());  // SETITEMS
    case 'q':
      return put(take_little(1));  // BINPUT
    case 'r':
      return put(take_little(4));  // LONG_BINPUT
    case 'h':
      return get(take_little(1));  // BINGET
    default:
      refuse_opcode(opcode);
  }
}

inline void Pickle::push_global() {
  struct Known {
    std::string_view module, name;
    PickleGlobal tag;
  };
  constexpr std::array kKnown = {Known{"scipy.sparse.csr", "csr_matrix", PickleGlobal::csr_matrix},
                                 Known{"numpy.core.multiarray", "_reconstruct", PickleGlobal::reconstruct},
                                 Known{"numpy", "ndarray", PickleGlobal::ndarray},
                                 Known{"numpy", "dtype", PickleGlobal::dtype},
                                 Known{"collections", "defaultdict", PickleGlobal::defaultdict},
                                 Known{"__builtin__", "list", PickleGlobal::list}};
  const std::string_view module = take_line();
  const std::string_view name = take_line();
  for (const Known& known : kKnown) {
    if (known.module == module && known.name == name) {
      return push(Kind::global, static_cast<std::int64_t>(known.tag));
    }
  }
  std::string printable = message(module.substr(0, 60), " ", name.substr(0, 60));
  std::replace_if(
      printable.begin(), printable.end(), [](char c) { return c < 32 || c > 126; }, '.');
  place_.fail("PKL-01", "pickle refers to '", printable, "'; only SciPy and NumPy containers are read");
}

// callable(*arguments) for the three callables that make an object.
inline void Pickle::reduce() {
  const Item arguments = pop();
  const Item callable = pop();
  if (callable.kind != Kind::global || arguments.kind != Kind::tuple)
    damaged("REDUCE without a name and a tuple");
  const auto is_global = [](const Item& item, PickleGlobal tag) {
    return item.kind == Kind::global && item.value == static_cast<std::int64_t>(tag);
  };
  const std::span<const Item> given = items(arguments);
  switch (static_cast<PickleGlobal>(callable.value)) {
    case PickleGlobal::reconstruct:
      if (given.empty() || !is_global(given[0], PickleGlobal::ndarray))
        damaged("_reconstruct of something else than ndarray");
      push(Kind::object, static_cast<std::int64_t>(objects_.size()));
      objects_.push_back({PickleGlobal::ndarray, arguments, {}});
      return;
    case PickleGlobal::dtype:
      push(Kind::object, static_cast<std::int64_t>(objects_.size()));
      objects_.push_back({PickleGlobal::dtype, arguments, {}});
      return;
    case PickleGlobal::defaultdict:
      if (given.size() != 1 || !is_global(given[0], PickleGlobal::list))
        damaged("defaultdict of something else than list");
      return push_items(Kind::dict, {}, 0);
    default:
      place_.fail("PKL-01", "pickle calls something that is not a container of SciPy or NumPy");
  }
}

inline void Pickle::new_object() {
  const Item arguments = pop();
  const Item type = pop();
  if (type.kind != Kind::global || type.value != static_cast<std::int64_t>(PickleGlobal::csr_matrix) ||
      arguments.kind != Kind::tuple) {
    damaged("NEWOBJ of something else than csr_matrix");
  }
  push(Kind::object, static_cast<std::int64_t>(objects_.size()));
  objects_.push_back({PickleGlobal::csr_matrix, arguments, {}});
}

inline void Pickle::build() {
  const Item state = pop();
  if (top().kind != Kind::object) damaged("BUILD of something that has no state");
  objects_[at(top())].state = state;
}

inline void Pickle::refuse_opcode(std::uint8_t opcode) const {
  struct Named {
    std::uint8_t opcode;
    std::string_view name;
  };
  constexpr std::array kNames = {Named{'0', "POP"},           Named{'1', "POP_MARK"},
                                 Named{'2', "DUP"},           Named{'F', "FLOAT"},
                                 Named{'I', "INT"},           Named{'L', "LONG"},
                                 Named{'P', "PERSID"},        Named{'Q', "BINPERSID"},
                                 Named{'S', "STRING"},        Named{'V', "UNICODE"},
                                 Named{'X', "BINUNICODE"},    Named{'d', "DICT"},
                                 Named{'g', "GET"},           Named{'i', "INST"},
                                 Named{'j', "LONG_BINGET"},   Named{'l', "LIST"},
                                 Named{'o', "OBJ"},           Named{'p', "PUT"},
                                 Named{'s', "SETITEM"},       Named{'G', "BINFLOAT"},
                                 Named{'B', "BINBYTES"},      Named{'C', "SHORT_BINBYTES"},
                                 Named{0x82, "EXT1"},         Named{0x83, "EXT2"},
                                 Named{0x84, "EXT4"},         Named{0x8a, "LONG1"},
                                 Named{0x8b, "LONG4"},        Named{0x8c, "SHORT_BINUNICODE"},
                                 Named{0x8d, "BINUNICODE8"},  Named{0x8e, "BINBYTES8"},
                                 Named{0x8f, "EMPTY_SET"},    Named{0x90, "ADDITEMS"},
                                 Named{0x91, "FROZENSET"},    Named{0x92, "NEWOBJ_EX"},
                                 Named{0x93, "STACK_GLOBAL"}, Named{0x94, "MEMOIZE"},
                                 Named{0x95, "FRAME"},        Named{0x96, "BYTEARRAY8"},
                                 Named{0x97, "NEXT_BUFFER"},  Named{0x98, "READONLY_BUFFER"}};
  for (const Named& named : kNames) {
    if (named.opcode == opcode) {
      place_.fail("PKL-01", "byte ", grouped(at_ - 1), ": pickle uses the opcode ", named.name,
                  "; only those of the published Planetoid files are read");
    }
  }
  place_.fail("PKL-01", "byte ", grouped(at_ - 1), ": ", static_cast<unsigned>(opcode),
              " is no pickle opcode; is the file damaged?");
}

}  // namespace tessera::io
