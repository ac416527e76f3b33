// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <limits>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/history/staleness.hpp"
#include "tessera/history/table.hpp"

namespace tessera {

struct HistoryStoreOptions {
  HistoryFormat format = HistoryFormat::exact;
  bool overlap = true;                ///< move rows on a thread of its own while the step computes
  std::filesystem::path folder = {};  ///< where tables lie as mapped files; empty: in memory
  std::uint64_t key = 0;              ///< content id of graph and model; files of another are refused
  bool resume = false;                ///< begin with what the folder's files hold
};

/// The tables of one model: `slot` numbers them, a table is made when it is first asked for.
///
/// A step begins with `begin_step`, which waits for everything the step before still moves; then pulls and pushes may
/// be asked for in any order and run beside the computation, one after another. Rows that one step pulls and rows that
/// it pushes must be different ones: then the result is that of doing each at once, bit for bit. Whoever waits moves
/// rows too, on all its threads. Requests of few bytes are done at once, and all of them where the caller may use one
/// thread only: there is nothing to overlap with.
/// Units    steps count from 1
/// Cost     see HistoryTable; one thread with `overlap`, which sleeps between requests
/// Errors   what a request throws comes out of `wait` or `begin_step`, or of the request where it is done at once;
///          ShapeError if ids and rows differ in number
/// Threads  one caller at a time; matrices and ids of a request stay as they are until it is waited for
template <Real T>
class HistoryStore {
 public:
  using Options = HistoryStoreOptions;
  using Ticket = std::uint64_t;

  explicit HistoryStore(std::size_t num_nodes, Options options = {})
      : num_nodes_(num_nodes), options_(std::move(options)) {
    if (!options_.folder.empty()) std::filesystem::create_directories(options_.folder);
    if (options_.overlap) worker_ = std::thread([this] { serve(); });
  }
  HistoryStore(const HistoryStore&) = delete;
  HistoryStore& operator=(const HistoryStore&) = delete;
  ~HistoryStore() {
    if (!worker_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    work_.notify_one();
    worker_.join();
  }

  const Options& options() const noexcept { return options_; }
  std::size_t num_nodes() const noexcept { return num_nodes_; }
  std::uint32_t step() const noexcept { return step_; }

  /// The table of a slot; the first call makes it, `width` columns wide.
  ///
  /// Errors   ShapeError if it has another width; those of HistoryTable
  HistoryTable<T>& table(std::size_t slot, std::size_t width) {
    const auto found = tables_.find(slot);
    if (found == tables_.end()) return make(slot, width);
    if (found->second.table.cols() != width) {
      throw ShapeError(message("HistoryStore::table: slot ", slot, " has ", found->second.table.cols(),
                               " columns, not ", width));
    }
    return found->second.table;
  }
  /// Null where the slot has no table yet.
  HistoryTable<T>* find(std::size_t slot) noexcept {
    const auto found = tables_.find(slot);
    return found == tables_.end() ? nullptr : &found->second.table;
  }

  /// Waits for everything and counts the next step.
  void begin_step() {
    wait_all();
    ++step_;
  }

  /// Asks for rows: out_i = row ids[i].
  Ticket pull(std::size_t slot, std::span<const NodeId> ids, MatrixView<T> out) {
    return request({&entry(slot, out.cols()), ids, out, true, step_});
  }
  /// Asks for rows ids[i] to become x_i.
  Ticket push(std::size_t slot, std::span<const NodeId> ids, MatrixView<const T> x) {
    const MatrixView<T> from(const_cast<T*>(x.data()), x.rows(), x.cols(), x.stride());  // only read
    return request({&entry(slot, x.cols()), ids, from, false, step_});
  }

  void wait(Ticket ticket) {
    if (!worker_.joinable()) return;
    const auto began = Clock::now();
    std::unique_lock lock(mutex_);
    while (finished_ < ticket && error_ == nullptr) {
      const Ticket begun = asked_ - (queue_.size() - head_);
      if (begun < ticket) {
        do_next(lock, static_cast<std::size_t>(ticket - begun));
      } else {
        done_.wait(lock);
      }
    }
    times_.wait += seconds_since(began);
    rethrow(lock);
  }
  void wait_all() {
    if (worker_.joinable()) wait(asked_);
  }
  /// The same without throwing, for destructors: nothing of the caller's is touched any more.
  void settle() noexcept {
    if (!worker_.joinable()) return;
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return finished_ >= asked_; });
  }

  /// Forgets every row; tables and counters stay.
  void clear() {
    wait_all();
    for (auto& [slot, e] : tables_) e.table.clear();
  }

  /// Brings the files of the folder to a state that may be resumed from. Nothing to do in memory.
  void save(std::uint64_t mark) {
    wait_all();
    for (auto& [slot, e] : tables_) e.table.save(mark);
  }
  /// Writes every table to a folder; see HistoryTable::save_as.
  void save_as(const std::filesystem::path& folder, std::uint64_t mark) {
    wait_all();
    std::filesystem::create_directories(folder);
    for (auto& [slot, e] : tables_) e.table.save_as(file_of(folder, slot), options_.key, mark);
  }
  /// Takes every table from a folder that `save_as` wrote; tables must have been made.
  void load(const std::filesystem::path& folder) {
    wait_all();
    for (auto& [slot, e] : tables_) e.table.load(file_of(folder, slot), options_.key);
  }

  std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (const auto& [slot, e] : tables_) sum += e.table.bytes();
    return sum;
  }

  /// Per slot, what happened since the last call with `reset`.
  std::vector<HistoryLayerReport> report(bool reset = true) {
    wait_all();
    std::vector<HistoryLayerReport> out;
    for (auto& [slot, e] : tables_) {
      out.push_back(e.report);
      out.back().layer = slot;
      out.back().width = e.table.cols();
      if (!reset) continue;
      e.report.age = {};
      e.report.pulled_bytes = e.report.pushed_bytes = 0;
    }
    return out;
  }
  void set_error(std::size_t slot, double error) { tables_.at(slot).report.error = error; }

  HistoryTimes times() const {
    const std::lock_guard lock(mutex_);
    return times_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Entry {
    HistoryTable<T> table;
    HistoryLayerReport report;
  };
  struct Request {
    Entry* entry;
    std::span<const NodeId> ids;
    MatrixView<T> rows;
    bool pull;
    std::uint32_t step;
  };

  /// Moving so few bytes takes less time than waking the thread.
  static constexpr std::size_t kAtOnceBytes = std::size_t{1} << 16;
  /// What is done at a time, so that two can share a request.
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

  static double seconds_since(Clock::time_point began) {
    return std::chrono::duration<double>(Clock::now() - began).count();
  }
  static std::filesystem::path file_of(const std::filesystem::path& folder, std::size_t slot) {
    return folder / message("history-", slot, ".bin");
  }

  Entry& entry(std::size_t slot, std::size_t width) {
    table(slot, width);
    return tables_.at(slot);
  }
  HistoryTable<T>& make(std::size_t slot, std::size_t width) {
    Entry e{options_.folder.empty()
                ? HistoryTable<T>(num_nodes_, width, options_.format)
                : HistoryTable<T>(num_nodes_, width, options_.format,
                                  {file_of(options_.folder, slot), options_.key, options_.resume}),
            {}};
    e.report.error = std::numeric_limits<double>::quiet_NaN();
    return tables_.emplace(slot, std::move(e)).first->second.table;
  }

  /// Whether a request is done by the caller: then nothing may be under way that was asked for before.
  bool at_once(const Request& r) {
    if (!worker_.joinable()) return true;
    if (max_threads() == 1) {
      wait_all();
      return true;
    }
    if (r.ids.size() * r.entry->table.row_bytes() > kAtOnceBytes) return false;
    const std::lock_guard lock(mutex_);
    return finished_ == asked_ && error_ == nullptr;
  }

  Ticket request(const Request& r) {
    if (r.ids.size() != r.rows.rows()) {
      throw ShapeError(message("HistoryStore: ", r.ids.size(), " ids for ", r.rows.rows(), " rows"));
    }
    if (at_once(r)) {
      move_rows(r, true);
      return 0;
    }
    const std::size_t rows = std::max<std::size_t>(1, kPieceBytes / r.entry->table.row_bytes());
    Ticket last = 0;
    {
      const std::lock_guard lock(mutex_);
      if (head_ == queue_.size()) {
        queue_.clear();
        head_ = 0;
      }
      for (std::size_t first = 0; first < r.ids.size(); first += rows) {
        const std::size_t count = std::min(rows, r.ids.size() - first);
        queue_.push_back(
            {r.entry, r.ids.subspan(first, count), r.rows.middle_rows(first, count), r.pull, r.step});
        ++asked_;
      }
      last = asked_;
    }
    work_.notify_one();
    return last;
  }

  void move_rows(const Request& r, bool caller_waits) {
    const auto began = Clock::now();
    HistoryTable<T>& t = r.entry->table;
    StalenessCount age;
    if (r.pull) {
      t.pull_rows(r.ids, r.rows);
      t.count_ages(r.ids, r.step, age);
    } else {
      t.push_rows(r.ids, MatrixView<const T>(r.rows), r.step);
    }
    const double seconds = seconds_since(began);
    const std::lock_guard lock(mutex_);
    HistoryLayerReport& report = r.entry->report;
    (r.pull ? report.pulled_bytes : report.pushed_bytes) += std::uint64_t{r.ids.size()} * t.row_bytes();
    if (r.pull) report.age += age;
    (r.pull ? times_.pull : times_.push) += seconds;
    if (caller_waits) times_.wait += seconds;
  }

  /// Takes the first piece of the queue, and those of its request behind it up to `most` in all, and does them without
  /// the lock.
  void do_next(std::unique_lock<std::mutex>& lock, std::size_t most) {
    Request r = queue_[head_++];
    std::size_t pieces = 1;
    for (; pieces < most && head_ < queue_.size(); ++pieces, ++head_) {
      const Request& next = queue_[head_];
      if (next.entry != r.entry || next.pull != r.pull || next.ids.data() != r.ids.data() + r.ids.size() ||
          next.rows.data() != r.rows.data() + r.rows.rows() * r.rows.stride()) {
        break;
      }
      r.ids = {r.ids.data(), r.ids.size() + next.ids.size()};
      r.rows = {r.rows.data(), r.rows.rows() + next.rows.rows(), r.rows.cols(), r.rows.stride()};
    }
    const bool failed = error_ != nullptr;
    lock.unlock();
    std::exception_ptr error;
    try {
      if (!failed) move_rows(r, false);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error_ == nullptr) error_ = error;
    finished_ += pieces;
    done_.notify_all();
  }

  /// The thread: requests in the order they were made.
  void serve() {
    in_arena(1, [this] {
      std::unique_lock lock(mutex_);
      for (;;) {
        work_.wait(lock, [this] { return closing_ || head_ < queue_.size(); });
        if (head_ == queue_.size()) return;
        do_next(lock, 1);
      }
    });
  }

  void rethrow(std::unique_lock<std::mutex>& lock) {
    if (error_ == nullptr) return;
    done_.wait(lock, [&] { return finished_ >= asked_; });
    std::rethrow_exception(std::exchange(error_, nullptr));
  }

  std::size_t num_nodes_;
  Options options_;
  std::map<std::size_t, Entry> tables_;
  std::uint32_t step_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_;  ///< for the thread: a request, or the end
  std::condition_variable done_;  ///< for the caller: a request is done
  std::vector<Request> queue_;    ///< requests [head_, size) are to be done
  std::size_t head_ = 0;
  Ticket asked_ = 0;
  Ticket finished_ = 0;
  bool closing_ = false;
  std::exception_ptr error_;
  HistoryTimes times_;
  std::thread worker_;  // last: it starts when everything else is there
};

}  // namespace tessera
