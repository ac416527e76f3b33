// SPDX-License-Identifier: MIT
#include "support/distill_choice.hpp"

#include <utility>
#include <vector>

#include "support/checks.hpp"
#include "tessera/core/error.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/nn/nets/appnp_net.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

namespace examples {

void DistillChoice::add_to(CLI::App& app) {
  const std::vector<std::string> models = {"gcn", "sage", "gat", "appnp", "sgc", "mlp"};
  auto* d = app.add_option_group("Distillation");
  d->add_option("--method", methods, "One, or several by commas, which learn from the same teachers")
      ->delimiter(',')
      ->check(
          CLI::IsMember({"logit", "fitnet", "at", "lsp", "gsp", "gcrd", "kd+fitnet", "kd+at", "kd+lsp",
                         "kd+gsp", "kd+gcrd", "glnn", "cpf", "ltd", "ft", "heuristic", "born-again", "tgs"}))
      ->capture_default_str();
  d->add_option("--teacher", teacher)->check(CLI::IsMember(models))->capture_default_str();
  d->add_option("--student", student)->check(CLI::IsMember(models))->capture_default_str();
  d->add_option(
       "--protocol", protocol,
       "as-is: the data's roles; others take the largest component with binary features, not scaled unless "
       "--features says so: cpf 20/30/rest per class, production hides a fifth of its test nodes, ltd "
       "20+20/10/rest")
      ->check(CLI::IsMember({"as-is", "cpf", "production", "ltd"}))
      ->capture_default_str();
  d->add_option("--split-seed", split_seed,
                "Of every run's split; absent: 0 for ltd, the run's own seed for cpf and production");
  d->add_flag("--noise", noise, "Measure accuracy under noise on features and links too");
  d->add_option("--temperatures", temperatures, "Write the learned temperatures as SVG (ltd, heuristic)");
  d->add_option("--teacher-hidden", teacher_hidden)->check(kPositive)->capture_default_str();
  d->add_option("--teacher-layers", teacher_layers)->check(kPositive)->capture_default_str();
  d->add_option("--teacher-dropout", teacher_dropout)->check(CLI::Range(0.0, 1.0))->capture_default_str();
  d->add_option("--teacher-lr", teacher_training.lr)->check(kPositive)->capture_default_str();
  d->add_option("--teacher-weight-decay", teacher_training.weight_decay)
      ->check(kNonNegative)
      ->capture_default_str();
  d->add_option("--teacher-epochs", teacher_training.epochs)->check(kPositive)->capture_default_str();
  d->add_option("--student-hidden", hidden)->check(kPositive)->capture_default_str();
  d->add_option("--student-layers", layers)->check(kPositive)->capture_default_str();
  d->add_option("--student-dropout", dropout)->check(CLI::Range(0.0, 1.0))->capture_default_str();
  d->add_option("--student-lr", training.lr)->check(kPositive)->capture_default_str();
  d->add_option("--student-weight-decay", training.weight_decay)->check(kNonNegative)->capture_default_str();
  d->add_option("--student-epochs", training.epochs)->check(kPositive)->capture_default_str();
  d->add_option("--batch", batch, "Rows per step of glnn")->check(kPositive)->capture_default_str();
  d->add_option("--alpha", alpha, "Weight of the soft targets")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  d->add_option("--temperature", temperature)->capture_default_str();
  d->add_option("--beta", beta, "Weight of the term on hidden rows; below 0: the method's own");
  d->add_option("--samples", samples, "Nodes that gsp and gcrd compare per step; 0: the method's own number")
      ->capture_default_str();
  d->add_option("--lambda", lambda, "Weight of the labels: glnn 0 to 1; ltd, ft and heuristic any");
  d->add_option("--generations", generations, "Of born-again")->check(kPositive)->capture_default_str();
  d->add_option("--ltd-alpha", ltd_alpha,
                "Rate of the student; of several by commas the one that validates best")
      ->delimiter(',')
      ->check(kPositive)
      ->capture_default_str();
  d->add_option("--ltd-beta", ltd_beta, "Rate of the temperatures")
      ->check(kNonNegative)
      ->capture_default_str();
  d->add_option("--ltd-k", ltd_k, "Temperatures lie in (-0.2 k, 0.8 k)")
      ->check(kPositive)
      ->capture_default_str();
  d->add_option("--ltd-epochs", ltd_epochs)->check(kPositive)->capture_default_str();
  d->add_option("--ltd-patience", ltd_patience, "Epochs without a better validation accuracy; of ft too")
      ->capture_default_str();
  d->add_option("--ltd-batch", ltd_batch, "Targets per step of ltd, neighbours sampled; 0: the whole graph")
      ->capture_default_str();
  d->add_option("--ltd-fanout", ltd_fanout, "Neighbours per node and layer then")
      ->check(kPositive)
      ->capture_default_str();
  d->add_option("--tgs-edges", tgs_edges, "Links per step of tgs")->check(kPositive)->capture_default_str();
  d->add_option("--tgs-batches", tgs_batches, "Steps per epoch of tgs; 0: every link once")
      ->capture_default_str();
  d->add_option("--epsilon", epsilon, "Inside and outside the logarithms of ltd")->check(kNonNegative);
  d->add_flag("--attached", attached, "ltd as its authors' code: gradients run through the temperatures");
  d->add_option(
       "--ft-lr", ft_lr,
       "Adam's rate for ft and heuristic, 0: plain steps of --ltd-alpha; of several by commas the one "
       "that validates best")
      ->delimiter(',')
      ->check(kNonNegative)
      ->capture_default_str();
  d->add_option("--cpf-steps", cpf_steps)->check(kPositive)->capture_default_str();
  d->add_option("--cpf-dropout", cpf_dropout)->check(CLI::Range(0.0, 1.0))->capture_default_str();
  d->add_option("--cpf-attention-dropout", cpf_attention_dropout)
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  d->add_option("--cpf-lr", cpf_lr)->check(kPositive)->capture_default_str();
  d->add_option("--cpf-weight-decay", cpf_weight_decay)->check(kNonNegative)->capture_default_str();
  d->add_option("--cpf-patience", cpf_patience, "Epochs without a better validation accuracy")
      ->capture_default_str();
}

tessera::Logit DistillChoice::logit() const {
  const bool soft = method == "logit" || method.starts_with("kd+");
  return {.alpha = soft ? alpha : 0, .temperature = temperature};
}

HiddenTerm DistillChoice::hidden_term() const {
  const std::string name = method.starts_with("kd+") ? method.substr(3) : method;
  const auto weight = [&](double own) { return beta < 0 ? own : beta; };
  if (name == "fitnet") return {tessera::FitNet{.beta = weight(1000)}};
  if (name == "at") return {tessera::AttentionTransfer{.beta = weight(1000)}};
  if (name == "lsp") return {tessera::Lsp{.beta = weight(100)}};
  const auto sampled = [&](auto term) {
    if (samples > 0) term.max_samples = samples;
    return HiddenTerm{term};
  };
  if (name == "gsp") return sampled(tessera::Gsp{.beta = weight(10)});
  if (name == "gcrd") return sampled(tessera::Gcrd{.beta = weight(0.1)});
  return {};
}

tessera::AnyModel<> distill_model(const DistillChoice& c, const std::string& name, bool teacher,
                                  const tessera::DatasetView& data, std::uint64_t seed) {
  const std::size_t in = data.num_features();
  const std::size_t out = data.num_classes();
  const std::size_t hidden = teacher ? c.teacher_hidden : c.hidden;
  const std::size_t layers = teacher ? c.teacher_layers : c.layers;
  const float dropout = teacher ? c.teacher_dropout : c.dropout;
  const auto stack = [&]<class Net>(std::type_identity<Net>) {
    typename Net::Options o{.in = in, .hidden = hidden, .out = out, .layers = layers, .dropout = dropout};
    o.seed = seed;
    o.decay_first_layer_only = false;
    return o;
  };
  if (name == "gcn") {
    auto o = stack(std::type_identity<tessera::GcnNet<>>{});
    o.input_dropout = false;
    return tessera::GcnNet<>(o);
  }
  if (name == "sage") {
    auto o = stack(std::type_identity<tessera::SageNet<>>{});
    o.conv.root_weight = false;
    o.conv.self_loops = true;
    return tessera::SageNet<>(o);
  }
  if (name == "gat") return tessera::GatNet<>(stack(std::type_identity<tessera::GatNet<>>{}));
  if (name == "appnp") {
    return tessera::AppnpNet<>({.in = in,
                                .hidden = hidden,
                                .out = out,
                                .layers = layers,
                                .dropout = dropout,
                                .bias = true,
                                .decay_first_layer_only = false,
                                .seed = seed});
  }
  auto o = stack(std::type_identity<tessera::MlpNet<>>{});
  if (name == "sgc") {
    o.layers = 1;
    o.dropout = 0;
    o.conv.bias = false;
  }
  return tessera::MlpNet<>(o);
}

Features::Features(const std::string& model, const tessera::DatasetView& data) {
  if (model != "sgc") return;
  const auto s = tessera::prepare_adjacency(data.graph.view(), data.graph.symmetric, {});
  own_ = tessera::Tensor<float>::copy_of(data.features);
  for (int hop = 0; hop < 2; ++hop) {
    tessera::Tensor<float> next(own_.rows(), own_.cols());
    tessera::spmm_sum<float, float>(s.adjacency().forward, std::as_const(own_).view(), next.view());
    own_ = std::move(next);
  }
}

}  // namespace examples
