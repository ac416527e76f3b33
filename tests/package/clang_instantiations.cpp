// SPDX-License-Identifier: MIT
// Every instantiation of tessera::compiled in one source (TESSERA_COMPILED and TESSERA_COMPILING are defined), which clang
// only reads (test package.clang): what GCC lets pass is found in seconds.
#include "tessera/tessera.hpp"  // IWYU pragma: keep

namespace tessera {

// Layers that no other test includes together: a name that two of them define shows when it is called.
void fit_several(const DatasetView& data) {
  const auto net = [] { return GcnNet<>({.in = 4, .hidden = 8, .out = 2}); };
  Quantized<GcnNet<>, DegreeQuant<8>> quantized(net());
  Trainer{quantized, FullGraphSampler{}, CrossEntropy{}, Adam{}}.fit(data, {.epochs = 1});
  HistoryModel histories{net(), data.num_nodes()};
  HaloSampler halo(std::vector<PartId>(data.num_nodes()), {});
  Trainer{histories, std::move(halo), CrossEntropy{}, Adam{}}.fit(data, {.epochs = 1});
  const TeacherOutputs teacher = teacher_outputs(net(), data, {});
  TappedModel student{net()};
  const Distill loss{teacher, student, Logit{}, Gcrd{}, Lsp{}};
  Trainer{student, NeighborSampler({.fanouts = {5, 5}}), loss, Adam{}}.fit(data, {.epochs = 1});
  const auto same = [](MatrixView<const float>, MatrixView<float>) {};
  (void)anderson<float>(data.features, {}, same);
}

}  // namespace tessera
