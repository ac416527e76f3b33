// SPDX-License-Identifier: MIT
#include "support/heads.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "tessera/graph/detail/random_order.hpp"
#include "tessera/precompute/propagate.hpp"
#include "tessera/sampling/row_sampler.hpp"

namespace examples {
namespace {

struct Term {
  tessera::OperatorSpec spec;
  std::size_t hops = 0;
};

/// "gcn:2,ppr:1" -> two terms.
std::vector<Term> parse_operators(const PropagateChoice& choice) {
  std::vector<Term> out;
  for (std::size_t at = 0; at < choice.operators.size();) {
    const std::size_t end = std::min(choice.operators.find(',', at), choice.operators.size());
    const std::string part = choice.operators.substr(at, end - at);
    const std::size_t colon = part.find(':');
    std::size_t hops = 1;
    if (colon != std::string::npos) {
      const char* const last = part.data() + part.size();
      const auto [rest, error] = std::from_chars(part.data() + colon + 1, last, hops);
      if (error != std::errc() || rest != last || hops > 1000) {
        throw tessera::ConfigError(
            tessera::message("--operators: \"", part, "\", want name:hops, hops from 0 to 1000"));
      }
    }
    Term term{tessera::operator_named(part.substr(0, colon)), hops};
    term.spec.alpha = choice.alpha;
    term.spec.sides = tessera::Sides::both;
    out.push_back(term);
    at = end + 1;
  }
  return out;
}

tessera::ElementType element_named(const std::string& name) {
  return name == "bf16"  ? tessera::ElementType::bf16
         : name == "f16" ? tessera::ElementType::f16
                         : tessera::ElementType::f32;
}

tessera::HopFeatures run(const PropagateChoice& choice, const tessera::GraphRef& graph,
                         tessera::MatrixView<const float> x, const std::string& file, bool quiet) {
  std::vector<tessera::PropagationOperator> operators;
  std::vector<tessera::PropagationFamily> families;
  const std::vector<Term> terms = parse_operators(choice);
  operators.reserve(terms.size());
  for (const Term& term : terms) {
    operators.emplace_back(graph, term.spec);
    families.push_back({&operators.back(), term.hops});
  }
  tessera::PropagateOptions options;
  options.emit = choice.last_only ? tessera::Emit::last : tessera::Emit::all;
  options.include_input = choice.include_input;
  options.element = element_named(choice.store);
  options.file = file;
  options.memory_budget = static_cast<std::size_t>(choice.memory_gib * 0x1p30);
  if (!quiet && ::isatty(STDERR_FILENO) != 0) {
    options.progress = [](const tessera::PropagateProgress& p) {
      std::fprintf(stderr, "\rpropagating: %zu of %zu hops%s", p.hops_done, p.num_hops,
                   p.hops_done == p.num_hops ? "\n" : "");
    };
  }
  return tessera::propagate(families, x, options);
}

tessera::MatrixView<const float> widened(const tessera::HopFeatures& hops, tessera::Tensor<float>& wide) {
  if (hops.layout().element == tessera::ElementType::f32) return hops.view();
  tessera::Array<tessera::NodeId> rows(hops.rows());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<tessera::NodeId>(i);
  wide.resize(hops.rows(), hops.cols());
  hops.gather(rows, wide.view());
  return std::as_const(wide).view();
}

}  // namespace

void add_options(CLI::App& app, PropagateChoice& choice) {
  app.add_option("--operators", choice.operators, "Operators and their powers, name:hops,name:hops,...")
      ->capture_default_str();
  app.add_option("--alpha", choice.alpha, "Return probability of ppr")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--store", choice.store, "Element type of propagated features")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}))
      ->capture_default_str();
  app.add_option("--file", choice.file, "Keep propagated features in this file, and reuse it");
  app.add_flag("--input,!--no-input", choice.include_input,
               "Whether the unpropagated features are a block too")
      ->default_str("true");
  app.add_option("--memory", choice.memory_gib, "Memory for the propagation beside graph and features, GiB")
      ->check(kNonNegative);
}

PropagatedData propagate_data(const Options& o, const PropagateChoice& choice,
                              const tessera::DatasetView& data, tessera::Report& report) {
  const Timer timer;
  PropagatedData out;
  out.whole = run(choice, data.graph, data.features, choice.file, o.quiet);
  out.view = data;
  out.view.features = widened(out.whole, out.wide_whole);
  if (o.inductive) {
    out.train = run(choice, data.train_graph, data.features,
                    choice.file.empty() ? "" : choice.file + ".train", o.quiet);
    out.view.train_features = widened(out.train, out.wide_train);
  }
  out.row_ptr.assign(data.num_nodes() + 1, tessera::EdgeId{0});
  out.view.graph = {{data.num_nodes(), data.num_nodes(), out.row_ptr, {}, {}}, true};
  out.view.train_graph = out.view.graph;
  report.seconds.precompute = timer.seconds();
  std::string blocks;
  for (const std::string& block : out.whole.layout().blocks) blocks += (blocks.empty() ? "" : " ") + block;
  report.additions.push_back({"blocks", blocks});
  report.additions.push_back({"propagated_bytes", static_cast<std::int64_t>(out.whole.layout().bytes())});
  return out;
}

tessera::Array<tessera::Role> random_roles(const tessera::LabelsRef& labels, double train, double val,
                                           std::uint64_t seed) {
  const std::size_t n = labels.multilabel() ? labels.indicators.rows() : labels.classes.size();
  tessera::Array<tessera::Role> out(n, tessera::Role::none);
  const auto order = tessera::detail::random_order(n, tessera::make_key(seed, 0, tessera::Purpose::split));
  std::size_t labelled = 0;
  for (std::size_t i = 0; i < n; ++i) labelled += labels.multilabel() || labels.classes[i] >= 0 ? 1u : 0u;
  std::size_t k = 0;
  for (const tessera::NodeId i : order) {
    if (!labels.multilabel() && labels.classes[i] < 0) continue;
    const double at = (static_cast<double>(k++) + 0.5) / static_cast<double>(labelled);
    out[i] = at < train ? tessera::Role::train : at < train + val ? tessera::Role::val : tessera::Role::test;
  }
  return out;
}

void train_heads(const Options& o, tessera::DatasetView data, std::size_t batch_size, bool resplit,
                 tessera::Report& report, const RunExtras& extras) {
  const auto sampler = [&] { return tessera::RowSampler({.batch_size = batch_size}); };
  if (!resplit) return train_runs(o, data, sampler, report, extras);
  for (std::size_t run = 0; run < o.runs; ++run) {
    Options one = o;
    one.runs = 1;
    one.seed = o.seed + run;
    const auto roles = random_roles(data.labels, 0.6, 0.2, one.seed);
    data.roles = roles;
    const auto nodes = [&](tessera::Role role) {
      return static_cast<std::size_t>(std::count(roles.begin(), roles.end(), role));
    };
    report.dataset.train = nodes(tessera::Role::train);
    report.dataset.val = nodes(tessera::Role::val);
    report.dataset.test = nodes(tessera::Role::test);
    train_runs(one, data, sampler, report, extras);
  }
}

tessera::Tensor<float> logits_of(const tessera::AnyModel<>& model,
                                 tessera::MatrixView<const float> features) {
  constexpr std::size_t kRows = 8192;
  tessera::Tensor<float> out(features.rows(), model.out_features());
  const std::vector<tessera::EdgeId> row_ptr(kRows + 1, 0);
  tessera::NoTape<float> ctx;
  for (std::size_t first = 0; first < features.rows(); first += kRows) {
    const std::size_t count = std::min(kRows, features.rows() - first);
    tessera::Adjacency rows;
    rows.forward = {count, count, std::span(row_ptr).first(count + 1), {}, {}};
    const tessera::Var y = model.forward(ctx, tessera::AdjacencyStack(std::span(&rows, 1)),
                                         ctx.input(features.middle_rows(first, count)), tessera::Pass{});
    const auto value = ctx.value(y);
    for (std::size_t i = 0; i < count; ++i) {
      std::copy(value.row(i).begin(), value.row(i).end(), out.row(first + i).begin());
    }
    ctx.rewind();
  }
  return out;
}

}  // namespace examples
