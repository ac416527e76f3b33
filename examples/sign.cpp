// SPDX-License-Identifier: MIT
//
// SIGN and its relatives: powers of several operators, computed once, side by side as the features of a head
// that looks at one row at a time.
// Frasca et al., SIGN: Scalable inception graph neural networks, 2020; Sun et al., SAGN, 2021; Zhang et al.,
// GAMLP, KDD 2022.
//
//     sign                                                         trains on a generated graph
//     sign --data amazon-computers/npz --operators symmetric:3,ppr:1 --hidden 512 --runs 10
//     sign --operators row:3 --head sagn --file hops.bin --store bf16

#include "support/heads.hpp"
#include "support/program.hpp"
#include "tessera/nn/nets/gamlp_net.hpp"
#include "tessera/nn/nets/sagn_net.hpp"
#include "tessera/nn/nets/sign_net.hpp"

namespace {

struct HeadChoice {
  std::string kind = "sign";
  std::size_t batch_size = 4096;
  std::size_t branch_layers = 1;
  std::size_t head_layers = 1;
  std::size_t heads = 1;
  bool prelu = false;
  bool batch_norm = false;
  float input_dropout = 0;
  float attention_dropout = 0;
  bool resplit = false;
};

void add_options(CLI::App& app, HeadChoice& head) {
  app.add_option("--head", head.kind, "What is trained")
      ->check(CLI::IsMember({"sign", "sagn", "gamlp"}))
      ->capture_default_str();
  app.add_option("--batch-size", head.batch_size, "Rows per step; 0: all")->capture_default_str();
  app.add_option("--branch-layers", head.branch_layers, "Linear maps of each operator's own")
      ->capture_default_str();
  app.add_option("--head-layers", head.head_layers, "Linear maps behind them")->capture_default_str();
  app.add_option("--heads", head.heads, "Attention heads of sagn")->capture_default_str();
  app.add_flag("--prelu", head.prelu, "PReLU instead of ReLU");
  app.add_flag("--batch-norm", head.batch_norm, "Batch normalisation before each activation");
  app.add_option("--input-dropout", head.input_dropout, "On the features")->check(CLI::Range(0.0, 1.0));
  app.add_option("--attention-dropout", head.attention_dropout, "On sagn's and gamlp's weights")
      ->check(CLI::Range(0.0, 1.0));
  app.add_flag("--resplit", head.resplit, "A random 60/20/20 split for every run");
}

tessera::AnyModel<> make_head(const examples::Options& o, const HeadChoice& head,
                              const examples::PropagatedData& data, std::uint64_t seed) {
  tessera::HopHeadOptions base;
  base.features = data.whole.layout().features;
  base.blocks = data.whole.num_blocks();
  base.hidden = o.hidden;
  base.out = data.view.num_classes();
  base.branch_layers = head.branch_layers;
  base.head_layers = head.head_layers;
  base.activation = head.prelu ? tessera::HeadActivation::prelu : tessera::HeadActivation::relu;
  base.batch_norm = head.batch_norm;
  base.dropout = o.dropout;
  base.input_dropout = head.input_dropout;
  base.seed = seed;
  if (head.kind == "sagn") return tessera::SagnNet<>({base, head.heads, head.attention_dropout});
  if (head.kind == "gamlp") return tessera::GamlpNet<>({base, head.attention_dropout});
  return tessera::SignNet<>(base);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a head on powers of several operators"};
  examples::Options options;
  options.epochs = 100;
  options.hidden = 256;
  options.without = examples::without_networks({"--layers"});
  options.lr = 0.001;
  options.weight_decay = 0;
  examples::PropagateChoice choice;
  choice.operators = "gcn:2,ppr:1,triangle:1";
  HeadChoice head;
  examples::add_options(app, choice);
  add_options(app, head);
  return examples::run_program(
      app, argc, argv, "sign", options, [&](const tessera::DatasetView& data, tessera::Report& report) {
        const examples::PropagatedData hops = examples::propagate_data(options, choice, data, report);
        examples::train_heads(
            options, hops.view, head.batch_size, head.resplit, report,
            {.make_model = [&](std::uint64_t seed) { return make_head(options, head, hops, seed); }});
      });
}
