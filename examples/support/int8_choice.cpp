// SPDX-License-Identifier: MIT
#include "support/int8_choice.hpp"

#include "support/stack_options.hpp"
#include "tessera/core/error.hpp"
#include "tessera/quant/calibrate.hpp"
#include "tessera/quant/int8_export.hpp"

namespace examples {
namespace {

template <class Net>
tessera::Int8Model exported(const Options& o, const tessera::QuantSettings& settings,
                            const tessera::DatasetView& data, const tessera::AnyModel<>& trained) {
  tessera::Quantized<Net> model(Net(stack_options<Net>(o, {data.num_features(), data.num_classes(), 0})),
                                {settings});
  tessera::copy_parameters(trained.parameters(), model.parameters());
  return tessera::export_int8(model);
}

}  // namespace

std::vector<std::string> int8_model_names() { return {"gcn", "sage", "gin", "gat"}; }

tessera::Int8Model export_trained(const Options& o, const tessera::QuantSettings& settings,
                                  const tessera::DatasetView& data, const tessera::AnyModel<>& trained) {
  if (o.model == "gcn") return exported<tessera::GcnNet<>>(o, settings, data, trained);
  if (o.model == "sage") return exported<tessera::SageNet<>>(o, settings, data, trained);
  if (o.model == "gin") return exported<tessera::GinNet<>>(o, settings, data, trained);
  if (o.model == "gat") return exported<tessera::GatNet<>>(o, settings, data, trained);
  throw tessera::ConfigError(tessera::message("export_trained: no integer model is called ", o.model));
}

}  // namespace examples
