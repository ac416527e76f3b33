// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "support/options.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/attention_transfer.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/fitnet.hpp"
#include "tessera/distill/gcrd.hpp"
#include "tessera/distill/gsp.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/lsp.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/nn/any_model.hpp"

namespace examples {

/// How one model is trained.
struct Training {
  double lr = 0.01;
  double weight_decay = 5e-4;
  std::size_t epochs = 200;
  std::uint64_t patience = 50;
};

/// A term on hidden rows chosen at run time, or none.
struct HiddenTerm {
  static constexpr bool kNeedsHidden = true;
  std::variant<std::monostate, tessera::FitNet, tessera::AttentionTransfer, tessera::Lsp, tessera::Gsp,
               tessera::Gcrd>
      term;

  template <tessera::Real T>
  void bind(tessera::ParameterBlock<T>& block, std::size_t student, std::size_t teacher,
            tessera::RngKey key) {
    std::visit(
        [&](auto& t) {
          if constexpr (requires { t.bind(block, student, teacher, key); })
            t.bind(block, student, teacher, key);
        },
        term);
  }
  template <class Ctx>
  tessera::Var operator()(Ctx& ctx, const tessera::DistillStep& step) const {
    return std::visit(
        [&](const auto& t) {
          if constexpr (requires { t(ctx, step); }) {
            return t(ctx, step);
          } else {
            return tessera::Var{};
          }
        },
        term);
  }
};

/// The options of the distill example.
struct DistillChoice {
  std::vector<std::string> methods = {"logit"};
  std::string method = "logit";  ///< of `methods`, the one whose turn it is
  std::string teacher = "gcn";
  std::string student = "mlp";
  std::string protocol = "as-is";
  std::optional<std::uint64_t> split_seed;
  bool noise = false;
  std::string temperatures;

  std::size_t teacher_hidden = 64;
  std::size_t teacher_layers = 2;
  float teacher_dropout = 0.8f;
  Training teacher_training = {.lr = 0.01, .weight_decay = 1e-3, .epochs = 300, .patience = 50};
  std::size_t hidden = 64;
  std::size_t layers = 2;
  float dropout = 0.5f;
  Training training = {};
  std::size_t batch = 512;

  double alpha = 0.9;
  double temperature = 4;
  double beta = -1;
  std::size_t samples = 0;
  double lambda = 0;
  std::size_t generations = 2;

  std::vector<double> ltd_alpha = {1e-4};
  double ltd_beta = 1e-4;
  double ltd_k = 1;
  double epsilon = 0;
  bool attached = false;
  std::size_t ltd_epochs = 600;
  std::uint64_t ltd_patience = 50;
  std::size_t ltd_batch = 0;
  std::size_t ltd_fanout = 10;
  std::size_t tgs_edges = 512;
  std::size_t tgs_batches = 0;
  std::vector<double> ft_lr = {0};

  std::size_t cpf_steps = 8;
  float cpf_dropout = 0.8f;
  float cpf_attention_dropout = 0.2f;
  double cpf_lr = 1e-3;
  double cpf_weight_decay = 1e-2;
  std::uint64_t cpf_patience = 50;

  /// Declares all of it.
  void add_to(CLI::App& app);
  /// The soft-target term of the method; of weight 0 for methods on hidden rows alone.
  tessera::Logit logit() const;
  HiddenTerm hidden_term() const;
};

/// A fresh teacher or student of that name.
tessera::AnyModel<> distill_model(const DistillChoice& c, const std::string& name, bool teacher,
                                  const tessera::DatasetView& data, std::uint64_t seed);

/// The features a model reads: those of the data, or propagated twice for `sgc`.
class Features {
 public:
  Features(const std::string& model, const tessera::DatasetView& data);
  tessera::DatasetView of(tessera::DatasetView data) const {
    if (!own_.empty()) data.features = own_.view();
    return data;
  }

 private:
  tessera::Tensor<float> own_;
};

}  // namespace examples
