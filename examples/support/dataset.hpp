// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <thread>

#include "support/options.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/io/mapped_dataset.hpp"

namespace examples {

/// The data set the options name, in memory, its features scaled as they say; generated where they name none.
tessera::Dataset load_dataset(const Options& o);

/// The same, used where it lies if it is a container: only what the options change, scaled features or a training
/// graph of their own, is made in memory. A container whose features need no scaling (converted with
/// `--features standard` or `row`, or used with `--features raw`) is trained on at once.
class OpenedData {
 public:
  explicit OpenedData(const Options& o);
  OpenedData(const OpenedData&) = delete;
  OpenedData& operator=(const OpenedData&) = delete;

  const tessera::DatasetView& view() const noexcept { return view_; }

 private:
  void open_container(const Options& o);

  std::optional<tessera::io::MappedDataset> mapped_;
  tessera::Dataset memory_;  // everything, or what was made of the mapped parts
  tessera::DatasetView view_;
  std::jthread read_ahead_;  // brings the file into memory while training has begun
};

}  // namespace examples
