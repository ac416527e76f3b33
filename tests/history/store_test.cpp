// SPDX-License-Identifier: MIT
#include "tessera/history/store.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/history_cases.hpp"

using namespace tessera;
using namespace tessera::testing;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("tessera-history-" + std::to_string(::getpid()));
  Folder() { fs::remove_all(path); }
  ~Folder() { fs::remove_all(path); }
};

Tensor<float> random_floats(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor<float> out(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) out(i, j) = static_cast<float>(3 * number(seed, i, j));
  }
  return out;
}

std::vector<float> rows_of(const HistoryTable<float>& table) {
  std::vector<float> out, row(table.cols());
  for (std::size_t i = 0; i < table.rows(); ++i) {
    table.read_row(i, row);
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

std::string code_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const FormatError& error) {
    return error.code();
  }
  return "none";
}

}  // namespace

TEST_CASE("Rows come back within the error of their format", "[history][store]") {
  const std::size_t cols = GENERATE(1u, 7u, 16u, 33u, 256u);
  const Tensor<float> x = random_floats(50, cols, 4);
  std::vector<NodeId> ids;
  for (NodeId i = 0; i < 50; ++i) ids.push_back((i * 17) % 50);
  for (const HistoryFormat format :
       {HistoryFormat::exact, HistoryFormat::bf16, HistoryFormat::int8, HistoryFormat::int4}) {
    INFO(name(format) << ", " << cols << " columns");
    HistoryTable<float> table(50, cols, format);
    CHECK(rows_of(table) == std::vector<float>(50 * cols, 0.0f));
    table.push_rows(ids, x.view(), 3);
    Tensor<float> back(50, cols);
    table.pull_rows(ids, back.view());
    for (std::size_t i = 0; i < 50; ++i) {
      CHECK(table.stamp(ids[i]) == 3);
      const auto row = x.row(i);
      const auto [low, high] = std::minmax_element(row.begin(), row.end());
      for (std::size_t j = 0; j < cols; ++j) {
        const float error = std::abs(back(i, j) - x(i, j));
        if (format == HistoryFormat::exact) CHECK(error == 0);
        if (format == HistoryFormat::bf16) CHECK(error <= std::abs(x(i, j)) / 256);
        // Half a step, and the rounding of lo + q s.
        const float steps = format == HistoryFormat::int8 ? 510.0f : 30.0f;
        if (format == HistoryFormat::int8 || format == HistoryFormat::int4)
          CHECK(error <= (*high - *low) / steps + 4e-7f * (*high - *low + std::abs(*low)));
      }
    }
  }
}

TEST_CASE("formats have names, and the smaller ones smaller rows", "[history][store]") {
  std::size_t bytes = history_row_bytes<float>(HistoryFormat::exact, 256);
  for (const std::string_view name : kHistoryFormats) {
    const HistoryFormat format = history_format(name);
    CHECK(tessera::name(format) == name);
    CHECK(history_row_bytes<float>(format, 256) <= bytes);
    bytes = history_row_bytes<float>(format, 256);
  }
  CHECK(bytes == 192);  // 128 of codes, 8 of range, in whole lines
  CHECK_THROWS_AS(history_format("int2"), ConfigError);
}

TEST_CASE("rows of codes keep constants and zeros exactly and let what is not finite surface",
          "[history][store]") {
  HistoryTable<float> table(4, 20, GENERATE(HistoryFormat::int8, HistoryFormat::int4));
  Tensor<float> x = Tensor<float>::filled(4, 20, 0.0f);
  for (std::size_t j = 0; j < 20; ++j) {
    x(0, j) = -1.37f;
    x(1, j) = j % 3 == 0 ? 0.0f : static_cast<float>(j);  // after ReLU: zeros stay zeros
    x(2, j) = j == 5 ? std::numeric_limits<float>::infinity() : 1.0f;
    x(3, j) = j == 7 ? std::nanf("") : 1.0f;
  }
  table.push_range(0, x.view(), 1);
  std::vector<float> row(20);
  table.read_row(0, row);
  CHECK(row == std::vector<float>(20, -1.37f));
  table.read_row(1, row);
  for (std::size_t j = 0; j < 20; j += 3) CHECK(row[j] == 0.0f);
  for (const std::size_t i : {2u, 3u}) {
    table.read_row(i, row);
    for (const float v : row) CHECK(std::isnan(v));
  }
}

TEST_CASE("Tables refuse rows and ids that do not fit before anything is written", "[history][store]") {
  HistoryTable<float> table(5, 3, HistoryFormat::exact);
  const Tensor<float> x = random_floats(2, 3, 1);
  const std::vector<NodeId> good{1, 4}, bad{1, 5}, few{1};
  CHECK_THROWS_AS(table.push_rows(bad, x.view(), 1), IndexError);
  CHECK_THROWS_AS(table.push_rows(few, x.view(), 1), ShapeError);
  CHECK_THROWS_AS(table.push_rows(good, random_floats(2, 4, 1).view(), 1), ShapeError);
  CHECK_THROWS_AS(table.push_range(4, x.view(), 1), ShapeError);
  Tensor<float> out(2, 3);
  CHECK_THROWS_AS(table.pull_rows(bad, out.view()), IndexError);
  CHECK(rows_of(table) == std::vector<float>(15, 0.0f));
  CHECK_NOTHROW(table.push_rows({}, Tensor<float>(0, 3).view(), 1));
}

TEST_CASE("A mapped table is one in memory, and comes back after a clean save", "[history][store]") {
  const Folder folder;
  const Tensor<float> x = random_floats(40, 9, 2);
  for (const HistoryFormat format :
       {HistoryFormat::exact, HistoryFormat::bf16, HistoryFormat::int8, HistoryFormat::int4}) {
    HistoryStoreOptions options{.format = format, .overlap = true, .folder = folder.path, .key = 17};
    HistoryTable<float> memory(40, 9, format);
    memory.push_range(0, x.view(), 5);
    {
      HistoryStore<float> store(40, options);
      CHECK_FALSE(store.table(1, 9).resumed());
      store.table(1, 9).push_range(0, x.view(), 5);
      CHECK(rows_of(store.table(1, 9)) == rows_of(memory));
      store.save(12);
    }
    options.resume = true;
    HistoryStore<float> store(40, options);
    CHECK(store.table(1, 9).resumed());
    CHECK(store.table(1, 9).mark() == 12);
    CHECK(rows_of(store.table(1, 9)) == rows_of(memory));
    CHECK(store.table(1, 9).stamp(7) == 5);
    CHECK_THROWS_AS(store.table(1, 8), ShapeError);
  }
}

TEST_CASE("A table in memory is saved to a folder and read back", "[history][store]") {
  const Folder folder;
  HistoryStore<float> store(30, {.key = 3});
  store.table(1, 6).push_range(0, random_floats(30, 6, 3).view(), 2);
  store.table(2, 4).push_range(0, random_floats(30, 4, 5).view(), 2);
  store.save_as(folder.path, 8);
  const auto first = rows_of(store.table(1, 6));
  store.clear();
  store.load(folder.path);
  CHECK(rows_of(store.table(1, 6)) == first);
  CHECK(store.table(2, 4).stamp(0) == 2);
  HistoryStore<float> stranger(30, {.key = 4});
  stranger.table(1, 6);
  CHECK(code_of([&] { stranger.load(folder.path); }) == "HIS-02");
}

TEST_CASE("Files of another history, cut, changed or unfinished ones are refused by name",
          "[history][store]") {
  const Folder folder;
  const HistoryStoreOptions good{.folder = folder.path, .key = 17, .resume = true};
  const fs::path file = folder.path / "history-1.bin";
  const auto write = [&] {
    fs::remove_all(folder.path);
    HistoryStore<float> store(40, {.folder = folder.path, .key = 17});
    store.table(1, 9).push_range(0, random_floats(40, 9, 2).view(), 5);
    store.save(1);
  };
  const auto open = [&](HistoryStoreOptions options, std::size_t nodes = 40, std::size_t width = 9) {
    return code_of([&] { HistoryStore<float>(nodes, options).table(1, width); });
  };
  const auto change = [&](std::streamoff at) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(at);
    f.put('\x5a');
  };
  write();
  CHECK(open({.folder = folder.path, .key = 18, .resume = true}) == "HIS-02");
  CHECK(open(good, 41) == "HIS-03");
  CHECK(open(good, 40, 10) == "HIS-03");
  CHECK(open({.format = HistoryFormat::bf16, .folder = folder.path, .key = 17, .resume = true}) == "HIS-03");
  CHECK(open(good) == "none");
  CHECK(open(good) == "HIS-05");  // the run before opened it and did not save
  write();
  change(4096 + 100);
  CHECK(open(good) == "HIS-06");
  write();
  change(0);
  CHECK(open(good) == "HIS-01");
  write();
  fs::resize_file(file, fs::file_size(file) - 1);
  CHECK(open(good) == "HIS-04");
  write();
  fs::resize_file(file, 20);
  CHECK(open(good) == "HIS-01");
  CHECK(open({.folder = folder.path, .key = 99}) == "none");  // without resume it is replaced
}

TEST_CASE("A full disk is found when a table is made, and leaves the older file", "[history][store]") {
  const Folder folder;
  {
    HistoryStore<float> store(40, {.folder = folder.path, .key = 17});
    store.table(1, 9).push_range(0, random_floats(40, 9, 2).view(), 5);
    store.save(1);
  }
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{1 << 20, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::string text;
  const std::string code = code_of([&] {
    try {
      HistoryStore<float>(100'000, {.folder = folder.path, .key = 17}).table(1, 9);
    } catch (const FormatError& error) {
      text = error.what();
      throw;
    }
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK(code == "GEN-04");
  CHECK(text.find("bytes") != std::string::npos);
  HistoryStore<float> store(40, {.folder = folder.path, .key = 17, .resume = true});
  CHECK(store.table(1, 9).stamp(3) == 5);
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
}

TEST_CASE("What a request throws comes out where it is waited for", "[history][store]") {
  const bool overlap = GENERATE(true, false);
  HistoryStore<float> store(10, {.overlap = overlap});
  const std::vector<NodeId> bad{3, 10};
  Tensor<float> x(2, 4);
  const auto ask = [&] {
    store.pull(1, bad, x.view());
    store.wait_all();
  };
  CHECK_THROWS_AS(ask(), IndexError);
  const std::vector<NodeId> good{3, 9};
  store.begin_step();
  const Tensor<float> y = random_floats(2, 4, 1);
  store.push(1, good, y.view());
  store.wait(store.pull(1, good, x.view()));
  CHECK(x(1, 2) == y(1, 2));
  CHECK(store.times().pull >= 0);
}

TEST_CASE("Requests of many pieces, moved by two threads at once, are those done in turn",
          "[history][store]") {
  constexpr std::size_t kRows = 9000, kCols = 200;  // of exact rows, a piece holds about 1300
  const std::size_t threads = GENERATE(1u, 2u, 8u);
  std::vector<NodeId> even, odd;
  for (NodeId i = 0; i < kRows; i += 2) {
    const auto row = static_cast<NodeId>(i * 7 % kRows);  // kRows is even, so is the row
    even.push_back(row);
    odd.push_back(row + 1);
  }
  const auto run = [&](bool overlap) {
    return with_threads(threads, [&] {
      HistoryStore<float> store(kRows, {.overlap = overlap});
      std::vector<float> seen;
      for (std::uint64_t step = 1; step <= 4; ++step) {
        store.begin_step();
        Tensor<float> out[2] = {Tensor<float>(odd.size(), kCols), Tensor<float>(odd.size(), kCols)};
        const Tensor<float> x = random_floats(even.size(), kCols, step);
        const auto first = store.pull(1, odd, out[0].view());
        const auto second = store.pull(2, odd, out[1].view());
        const auto push = store.push(1, even, x.view());
        store.wait(first);
        seen.push_back(out[0](step, 3));
        store.wait(step % 2 == 0 ? second : push);
        store.push(2, even, x.view());
        store.wait_all();
        for (const Tensor<float>& rows : out) {
          for (std::size_t i = 0; i < rows.rows(); i += 97) seen.push_back(rows(i, i % kCols));
        }
        even.swap(odd);
      }
      for (std::size_t slot : {1u, 2u}) {
        const auto rows = rows_of(store.table(slot, kCols));
        seen.insert(seen.end(), rows.begin(), rows.end());
      }
      for (const HistoryLayerReport& r : store.report()) {
        seen.push_back(static_cast<float>(r.pulled_bytes + r.pushed_bytes));
        seen.push_back(static_cast<float>(r.age.mean()));
        CHECK(r.age.pulled() + r.age.never_written == 4 * odd.size());
      }
      return seen;
    });
  };
  CHECK(run(true) == run(false));
}

TEST_CASE("A store refuses rows that are not as many as ids", "[history][store]") {
  HistoryStore<float> store(10);
  const std::vector<NodeId> ids{1, 2, 3};
  Tensor<float> x(2, 4);
  CHECK_THROWS_AS(store.pull(1, ids, x.view()), ShapeError);
  CHECK_THROWS_AS(store.push(1, {}, x.view()), ShapeError);
}
