// SPDX-License-Identifier: MIT
// A container is trained on where it lies: what comes out is what training on a copy in memory gives, bit for bit.
#include <algorithm>
#include <span>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/io/container_write.hpp"
#include "tessera/io/mapped_dataset.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;

namespace {

/// The parameters after a few epochs.
std::vector<float> trained(const DatasetView& data, AnySampler sampler) {
  AnyModel<> model = SageNet<>(
      {.in = data.num_features(), .hidden = 16, .out = data.num_classes(), .dropout = 0.2f, .seed = 4});
  Trainer trainer{model, std::move(sampler), CrossEntropy{}, Adam{.lr = 0.01}};
  const FitReport fit = trainer.fit(data, {.epochs = 3, .seed = 9, .eval_every = 1});
  const auto values = model.parameters().values();
  std::vector<float> out(values.begin(), values.end());
  for (const auto& epoch : fit.history) out.push_back(static_cast<float>(epoch.train_loss));
  return out;
}

}  // namespace

TEST_CASE("training on a mapped container is training in memory", "[integration]") {
  const test::ScratchFolder folder;
  const auto path = folder / "g.tessera";
  // 13 columns: rows that do not start at multiples of a vector
  const Dataset data = generate_community_graph({.nodes = 1500, .classes = 4, .features = 13, .seed = 2});
  io::write_container(path, data, data.provenance);
  const io::MappedDataset mapped(path);
  mapped.read_ahead();
  const auto sampler = [](bool whole) -> AnySampler {
    if (whole) return FullGraphSampler{};
    return NeighborSampler({.fanouts = {5, 5}, .batches = {.batch_size = 256}});
  };
  for (const bool whole : {true, false}) {
    const std::vector<float> want = trained(data, sampler(whole));
    CHECK(std::all_of(want.begin(), want.end(), [](float v) { return v == v; }));
    CHECK(trained(mapped, sampler(whole)) == want);
    CHECK(with_threads(1, [&] { return trained(mapped, sampler(whole)); }) == want);
  }
}
