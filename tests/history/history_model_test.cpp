// SPDX-License-Identifier: MIT
#include "tessera/history/history_model.hpp"

#include <functional>
#include <optional>
#include <vector>

#include "support/catch.hpp"
#include "support/history_cases.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/nets/appnp_net.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/gcnii_net.hpp"
#include "tessera/nn/nets/gin_net.hpp"
#include "tessera/nn/nets/jumping_net.hpp"
#include "tessera/nn/nets/pna_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

using Any = AnyModel<double>;

static_assert(Model<HistoryModel<GcnNet<>>>);
static_assert(Model<HistoryModel<GcnNet<>, MessageCompensation>>);
static_assert(HistoryPolicy<PullHistory> && HistoryPolicy<FeatureMomentum> &&
              HistoryPolicy<MessageCompensation>);
static_assert(!HistoryPolicy<int>);

struct NamedModel {
  const char* name;
  std::function<Any()> make;
};

/// One of every kind, 3 layers, without dropout and without norms of a batch.
std::vector<NamedModel> models() {
  const auto stack = [](auto options) {
    options.in = 8;
    options.hidden = 8;
    options.out = 4;
    options.layers = 3;
    options.dropout = 0;
    options.seed = 5;
    return options;
  };
  return {
      {"GCN", [=] { return Any(GcnNet<double>(stack(GcnNet<double>::Options{}))); }},
      {"GAT",
       [=] {
         auto o = stack(GatNet<double>::Options{});
         o.conv.heads = 2;
         o.conv.entry_dropout = 0;
         return Any(GatNet<double>(o));
       }},
      {"GIN",
       [=] {
         auto o = stack(GinNet<double>::Options{});
         o.conv.batch_norm = false;
         return Any(GinNet<double>(o));
       }},
      {"PNA", [=] { return Any(PnaNet<double>(stack(PnaNet<double>::Options{}))); }},
      {"SAGE", [=] { return Any(SageNet<double>(stack(SageNet<double>::Options{}))); }},
      {"residual GCN",
       [=] {
         auto o = stack(GcnNet<double>::Options{});
         o.residual = true;
         o.linear_ends = true;
         return Any(GcnNet<double>(o));
       }},
      {"APPNP",
       [] {
         return Any(AppnpNet<double>(
             {.in = 8, .hidden = 8, .out = 4, .steps = 3, .dropout = 0, .entry_dropout = 0, .seed = 5}));
       }},
      {"GCNII",
       [] {
         return Any(GcniiNet<double>({.in = 8, .hidden = 8, .out = 4, .layers = 3, .dropout = 0, .seed = 5}));
       }},
      {"jumping",
       [] {
         return Any(JumpingGcnNet<double>({.in = 8, .hidden = 8, .out = 4, .layers = 3, .dropout = 0}));
       }},
  };
}

HistoryCase sample_case(std::size_t nodes = 60, bool symmetric = true) {
  return HistoryCase(random_graph(nodes, 4, 11, symmetric), 8, 4);
}

/// Puts numbers into the tables of layers 1 to L - 1 that no model computed.
template <class H>
void fill_with_noise(H& model, const HistoryCase& data) {
  for (std::size_t l = 1; l < model.num_layers(); ++l) {
    HistoryTable<double>* table = model.store().find(l);
    REQUIRE(table != nullptr);
    const Tensor<double> noise = random_matrix(data.num_nodes(), table->cols(), 77 + l);
    table->push_range(0, noise.view(), 1);
  }
}

template <class H>
void refresh(H& model, const HistoryCase& data, std::size_t budget = 0) {
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
  REQUIRE(model.infer_layers(prepared.adjacency(), data.x.view(), budget).has_value());
}

}  // namespace

TEST_CASE("With all parts in one batch, values and gradients are the whole graph's, whatever the tables hold",
          "[history]") {
  const bool symmetric = GENERATE(true, false);
  const HistoryCase data = sample_case(60, symmetric);
  for (const NamedModel& kind : models()) {
    INFO(kind.name << (symmetric ? ", undirected" : ", directed"));
    Any whole = kind.make();
    const StepResult want = full_step(whole, data);
    HistoryModel<Any> model(kind.make(), data.num_nodes());
    refresh(model, data);
    fill_with_noise(model, data);
    const HaloSampler sampler(scattered_parts(data.num_nodes(), 5), {.clusters_per_batch = 5});
    CHECK(sampler.same_every_epoch());
    const MiniBatch batch = sampled(sampler, data, model.aggregation());
    CHECK(batch.blocks[0].pulled.empty());
    model.parameters().zero_grads();
    const Tensor<double> logits = batch_step(model, data, batch);
    CHECK(relative_distance(flat(logits.view()), flat(want.logits.view())) <= kRounding);
    CHECK(relative_distance(gradient_of(model.parameters()), want.gradient) <= kRounding);
  }
}

TEST_CASE("Dropout of inputs is the dropout of outputs where a batch is everything", "[history]") {
  const HistoryCase data = sample_case();
  const GcnNet<double>::Options options{.in = 8, .hidden = 8, .out = 4, .layers = 3, .dropout = 0.4f};
  const Pass pass{.training = true, .dropout_key = make_key(1, 2, Purpose::dropout)};
  GcnNet<double> whole(options);
  const StepResult want = full_step(whole, data, pass);
  HistoryModel<GcnNet<double>> model(GcnNet<double>(options), data.num_nodes());
  const HaloSampler sampler(scattered_parts(data.num_nodes(), 1));
  const Tensor<double> logits = batch_step(model, data, sampled(sampler, data, model.aggregation()), pass);
  CHECK(relative_distance(flat(logits.view()), flat(want.logits.view())) <= kRounding);
  CHECK(relative_distance(gradient_of(model.parameters()), want.gradient) <= kRounding);
}

TEST_CASE("A refresh makes every table exact and gives the logits of inference", "[history]") {
  const HistoryCase data = sample_case();
  const std::size_t budget = GENERATE(std::size_t{0}, std::size_t{20'000}, std::size_t{1});
  for (const NamedModel& kind : models()) {
    INFO(kind.name << ", budget " << budget);
    HistoryModel<Any> model(kind.make(), data.num_nodes());
    const std::vector<Tensor<double>> exact = exact_rows(model.model(), data);
    const PreparedAdjacency prepared = prepare_adjacency(data.graph, model.aggregation());
    const auto sweep = [&](std::size_t bytes) {
      return model.infer_layers(prepared.adjacency(), data.x.view(), bytes);
    };
    std::optional<Tensor<double>> logits;
    if (budget == 1) {  // refused; the first one that is not makes the smallest blocks
      CHECK_THROWS_WITH(sweep(1), Catch::Matchers::Contains("memory_budget is 1 bytes, layer 0 needs"));
      for (std::size_t bytes = 100; !logits && bytes < 1'000'000; bytes += bytes / 8) {
        try {
          logits = sweep(bytes);
        } catch (const ConfigError&) {
        }
      }
    } else {
      logits = sweep(budget);
    }
    REQUIRE(logits.has_value());
    CHECK(flat(logits->view()) == flat(exact.back().view()));
    for (std::size_t l = 1; l < model.num_layers(); ++l) {
      CHECK(table_rows(*model.store().find(l)) == flat(exact[l - 1].view()));
    }
  }
}

TEST_CASE("With frozen weights, table l is exact after l passes over the parts and predictions after L",
          "[history]") {
  const std::size_t layers = GENERATE(2u, 3u, 5u);
  const std::size_t per_batch = GENERATE(1u, 2u);
  const HistoryCase data = sample_case(70);
  const GcnNet<double>::Options options{
      .in = 8, .hidden = 6, .out = 4, .layers = layers, .dropout = 0, .seed = 2};
  HistoryModel<GcnNet<double>> model(GcnNet<double>(options), data.num_nodes());
  const std::vector<Tensor<double>> exact = exact_rows(model.model(), data);
  const HaloSampler sampler(scattered_parts(data.num_nodes(), 6), {.clusters_per_batch = per_batch});
  double last_error = 0;
  for (std::uint64_t pass = 1; pass <= layers; ++pass) {
    last_error = 0;
    for (std::uint64_t b = 0; b < sampler.num_batches(data.source()); ++b) {
      const MiniBatch batch = sampled(sampler, data, model.aggregation(), {1, pass, b});
      const Tensor<double> logits = batch_step(model, data, batch);
      Tensor<double> want(batch.num_targets, 4);
      gather_rows(exact.back().view(), batch.node_id.span().first(batch.num_targets), want.view());
      last_error = std::max(last_error, relative_distance(flat(logits.view()), flat(want.view())));
    }
    model.store().wait_all();
    for (std::size_t l = 1; l < layers && l <= pass; ++l) {
      INFO("pass " << pass << ", table " << l);
      CHECK(relative_distance(table_rows(*model.store().find(l)), flat(exact[l - 1].view())) <= kRounding);
    }
    if (pass == 1) CHECK(last_error > 1e-3);
  }
  CHECK(last_error <= kRounding);
}

TEST_CASE("With exact tables values and the last layer's gradient are exact, earlier gradients are not",
          "[history]") {
  const HistoryCase data = sample_case();
  GcnNet<double> whole({.in = 8, .hidden = 6, .out = 4, .layers = 3, .dropout = 0, .seed = 2});
  const StepResult want = full_step(whole, data);
  HistoryModel<GcnNet<double>> model(GcnNet<double>(whole.options()), data.num_nodes());
  refresh(model, data);
  model.parameters().zero_grads();
  const HaloSampler sampler(scattered_parts(data.num_nodes(), 4));
  for (std::uint64_t b = 0; b < 4; ++b) {
    const MiniBatch batch = sampled(sampler, data, model.aggregation(), {1, 0, b});
    const Tensor<double> logits = batch_step(model, data, batch);
    Tensor<double> rows(batch.num_targets, 4);
    gather_rows(want.logits.view(), batch.node_id.span().first(batch.num_targets), rows.view());
    CHECK(relative_distance(flat(logits.view()), flat(rows.view())) <= kRounding);
  }
  const auto error = [&](const char* name) {
    const Parameter p = model.parameters().find(name);
    const auto all = gradient_of(model.parameters());
    return relative_distance(std::span(all).subspan(p.offset, p.rows * p.cols),
                             std::span(want.gradient).subspan(p.offset, p.rows * p.cols));
  };
  CHECK(error("convs.2.lin.weight") <= kRounding);
  CHECK(error("convs.1.lin.weight") > 0.01);
  CHECK(error("convs.0.lin.weight") > 0.01);
}

TEST_CASE("Gradients are those of the batch's loss with the tables held fixed", "[history]") {
  const HistoryCase data = sample_case(30);
  const HaloSampler sampler(scattered_parts(data.num_nodes(), 3));
  for (const NamedModel& kind : models()) {
    INFO(kind.name);
    HistoryModel<Any> model(kind.make(), data.num_nodes());
    refresh(model, data);
    const MiniBatch batch = sampled(sampler, data, model.aggregation());
    Tensor<double> weights(batch.num_targets, 4);
    gather_rows(data.loss.view(), batch.node_id.span().first(batch.num_targets), weights.view());
    const auto loss = [&] {
      fill_with_noise(model, data);
      const auto y = flat(batch_step(model, data, batch).view());
      const auto w = flat(std::as_const(weights).view());
      double sum = 0;
      for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * w[i];
      return sum;
    };
    model.parameters().zero_grads();
    loss();
    const std::vector<double> gradient = gradient_of(model.parameters());
    // One direction: d loss / d t of values + t direction, by central differences.
    std::vector<double> direction(gradient.size(), 0.0);
    for (const ParameterInfo& p : model.parameters().parameters()) {
      for (std::size_t i = 0; p.trained && i < p.size(); ++i)
        direction[p.offset + i] = number(9, i, p.offset);
    }
    const double h = 1e-6;
    const auto move = [&](double t) {
      for (std::size_t i = 0; i < direction.size(); ++i) model.parameters().values()[i] += t * direction[i];
    };
    move(h);
    const double up = loss();
    move(-2 * h);
    const double down = loss();
    move(h);
    double want = 0, size = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      want += gradient[i] * direction[i];
      size += std::abs(gradient[i] * direction[i]);
    }
    // Truncation h^2 times a third derivative, rounding 1e-16 / h of the loss's terms, kinks none by the fixed seed.
    CHECK(std::abs((up - down) / (2 * h) - want) <= 1e-7 * (1 + size));
  }
}

TEST_CASE("Moving rows beside the step changes no bit, nor does the number of threads", "[history]") {
  const HistoryCase data = sample_case(200);
  const HaloSampler sampler(scattered_parts(data.num_nodes(), 8), {.clusters_per_batch = 2});
  const auto run = [&](bool overlap, std::size_t threads, HistoryFormat format) {
    return with_threads(threads, [&] {
      HistoryModel<GcnNet<double>> model(
          GcnNet<double>({.in = 8, .hidden = 16, .out = 4, .layers = 4, .dropout = 0.3f, .seed = 2}),
          data.num_nodes(), {.store = {.format = format, .overlap = overlap}});
      refresh(model, data);
      std::vector<double> bits;
      for (std::uint64_t step = 0; step < 12; ++step) {
        const MiniBatch batch = sampled(sampler, data, model.aggregation(), {4, step / 4, step % 4});
        model.parameters().zero_grads();
        const auto y = flat(batch_step(model, data, batch,
                                       {.training = true, .dropout_key = make_key(1, step, Purpose::dropout)})
                                .view());
        bits.insert(bits.end(), y.begin(), y.end());
        for (std::size_t i = 0; i < model.parameters().values().size(); ++i) {
          model.parameters().values()[i] -= 0.01 * model.parameters().grads()[i];
        }
      }
      model.store().wait_all();
      for (std::size_t l = 1; l < 4; ++l) {
        const auto rows = table_rows(*model.store().find(l));
        bits.insert(bits.end(), rows.begin(), rows.end());
      }
      return bits;
    });
  };
  for (const HistoryFormat format :
       {HistoryFormat::exact, HistoryFormat::bf16, HistoryFormat::int8, HistoryFormat::int4}) {
    const auto want = run(false, 1, format);
    for (const std::size_t threads : {1u, 2u, 4u, 9u}) {
      CHECK(run(true, threads, format) == want);
      CHECK(run(false, threads, format) == want);
    }
  }
}

TEST_CASE("The error of a batch's rows stays below the bound of its tables' errors", "[history]") {
  // e_l(v) <= |W_l| (sum over batch |a_vu| e_(l-1)(u) + sum over halo |a_vu| s_(l-1)(u)), ReLU being 1-Lipschitz.
  const HistoryCase data = sample_case();
  GcnNet<double> net({.in = 8, .hidden = 6, .out = 4, .layers = 3, .dropout = 0, .seed = 2});
  const std::vector<Tensor<double>> exact = exact_rows(net, data);
  HistoryModel<GcnNet<double>> model(GcnNet<double>(net.options()), data.num_nodes());
  refresh(model, data);
  std::vector<std::vector<double>> stale(3, std::vector<double>(data.num_nodes()));
  for (std::size_t l = 1; l <= 2; ++l) {
    Tensor<double> rows = Tensor<double>::copy_of(exact[l - 1].view());
    for (std::size_t i = 0; i < rows.rows(); ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < rows.cols(); ++j) {
        const double off = 0.1 * number(40 + l, i, j);
        rows(i, j) += off;
        sum += off * off;
      }
      stale[l][i] = std::sqrt(sum);
    }
    model.store().find(l)->push_range(0, std::as_const(rows).view(), 1);
  }
  const MiniBatch batch =
      sampled(HaloSampler(scattered_parts(data.num_nodes(), 4)), data, model.aggregation());
  const Tensor<double> logits = batch_step(model, data, batch);
  // The Frobenius norm bounds the spectral one.
  const auto weight_norm = [&](std::size_t l) {
    const auto w = net.parameters().value(net.parameters().find(message("convs.", l, ".lin.weight")));
    return norm(flat(w));
  };
  const Adjacency a = batch.blocks[0].adjacency();
  std::vector<double> error(a.num_dst(), 0.0);  // layer 0 reads exact features
  for (std::size_t l = 1; l <= 2; ++l) {
    std::vector<double> next(a.num_dst());
    for (std::size_t v = 0; v < a.num_dst(); ++v) {
      double sum = 0;
      for (std::size_t e = 0; e < a.forward.degree(v); ++e) {
        const NodeId u = a.forward.neighbors(v)[e];
        const double w = std::abs(static_cast<double>(a.forward.weights(v)[e]));
        sum += w * (u < a.num_dst() ? error[u] : stale[l][batch.node_id[u]]);
      }
      next[v] = weight_norm(l) * sum;
    }
    error = next;
  }
  double largest = 0;
  for (std::size_t v = 0; v < a.num_dst(); ++v) {
    double sum = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      const double d = logits(v, j) - exact[2](batch.node_id[v], j);
      sum += d * d;
    }
    CHECK(std::sqrt(sum) <= error[v] + 1e-12);
    largest = std::max(largest, std::sqrt(sum));
  }
  CHECK(largest > 1e-4);
}

TEST_CASE("A batch without a halo, with one layer or of isolated nodes is nothing special", "[history]") {
  const HistoryCase data = sample_case();
  for (const std::size_t layers : {1u, 2u}) {
    HistoryModel<GcnNet<double>> model(
        GcnNet<double>({.in = 8, .hidden = 6, .out = 4, .layers = layers, .dropout = 0}), data.num_nodes());
    const std::vector<Tensor<double>> exact = exact_rows(model.model(), data);
    refresh(model, data);
    std::vector<PartId> single(data.num_nodes());
    for (std::size_t i = 0; i < single.size(); ++i) single[i] = part_id(i);
    const HaloSampler sampler(single);
    REQUIRE(sampler.num_batches(data.source()) == data.num_nodes());
    for (std::uint64_t b = 0; b < data.num_nodes(); ++b) {
      const MiniBatch batch = sampled(sampler, data, model.aggregation(), {1, 0, b});
      const auto y = flat(batch_step(model, data, batch).view());
      const auto row = exact.back().row(batch.node_id[0]);
      CHECK(relative_distance(y, row) <= 10 * kRounding);
    }
  }
}

TEST_CASE("Tables belong to the graph of the first refresh", "[history]") {
  const HistoryCase data(path(60), 8, 4);
  const HistoryCase other(star(60), 8, 4);  // as many nodes and entries
  const HistoryCase larger(path(61), 8, 4);
  HistoryModel<GcnNet<double>> model(GcnNet<double>({.in = 8, .hidden = 6, .out = 4}), data.num_nodes());
  refresh(model, data);
  const auto before = table_rows(*model.store().find(1));
  for (const HistoryCase* c : {&other, &larger}) {
    const PreparedAdjacency prepared = prepare_adjacency(c->graph, model.aggregation());
    CHECK_FALSE(model.infer_layers(prepared.adjacency(), c->x.view(), 0).has_value());
  }
  CHECK(table_rows(*model.store().find(1)) == before);
}

TEST_CASE("Ages, errors and bytes are those of a log kept by hand", "[history]") {
  const HistoryCase data = sample_case();
  HistoryModel<GcnNet<double>> model(
      GcnNet<double>({.in = 8, .hidden = 6, .out = 4, .layers = 3, .dropout = 0}), data.num_nodes());
  const HaloSampler sampler(scattered_parts(data.num_nodes(), 5), {.clusters_per_batch = 2});
  std::vector<std::uint32_t> written(data.num_nodes(), 0);
  StalenessCount want;
  std::uint64_t pulled = 0, pushed = 0;
  std::uint32_t step = 0;
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    for (std::uint64_t b = 0; b < 3; ++b) {
      const MiniBatch batch = sampled(sampler, data, model.aggregation(), {1, epoch, b});
      batch_step(model, data, batch);
      ++step;
      for (const NodeId v : batch.blocks[0].pulled) {
        if (written[v] == 0) {
          ++want.never_written;
        } else {
          want.add(step - written[v]);
        }
      }
      pulled += batch.blocks[0].pulled.size();
      pushed += batch.num_targets;
      for (std::size_t i = 0; i < batch.num_targets; ++i) written[batch.node_id[i]] = step;
    }
  }
  const std::vector<HistoryLayerReport> report = model.store().report();
  REQUIRE(report.size() == 2);
  for (const HistoryLayerReport& r : report) {
    CHECK(r.age.rows == want.rows);
    CHECK(r.age.never_written == want.never_written);
    CHECK(r.pulled_bytes == pulled * history_row_bytes<double>(HistoryFormat::exact, 6));
    CHECK(r.pushed_bytes == pushed * history_row_bytes<double>(HistoryFormat::exact, 6));
    CHECK(std::isnan(r.error));
  }
  CHECK(want.max() <= 2 * 3 - 2);
  CHECK(model.store().report()[0].age.pulled() == 0);
  refresh(model, data);
  refresh(model, data);
  CHECK(model.store().report()[0].error == 0.0);
}

TEST_CASE("Noise adds its penalty's gradient and leaves the logits", "[history]") {
  const HistoryCase data = sample_case(30);
  const auto make = [] {
    GinNet<double>::Options o{.in = 8, .hidden = 6, .out = 4, .layers = 4, .dropout = 0, .seed = 3};
    o.conv.batch_norm = false;
    return GinNet<double>(o);
  };
  const Pass pass{.training = true, .dropout_key = make_key(8, 1, Purpose::dropout)};
  HistoryModel<GinNet<double>> plain(make(), data.num_nodes());
  HistoryModel<GinNet<double>> noisy(make(), data.num_nodes(), {.noise_penalty = 0.5});
  const HaloSampler sampler(scattered_parts(data.num_nodes(), 3));
  const MiniBatch batch = sampled(sampler, data, plain.aggregation());
  refresh(plain, data);
  refresh(noisy, data);
  const auto y = flat(batch_step(plain, data, batch, pass).view());
  CHECK(flat(batch_step(noisy, data, batch, pass).view()) == y);
  const auto g0 = gradient_of(plain.parameters());
  const auto g1 = gradient_of(noisy.parameters());
  CHECK(relative_distance(g1, g0) > 1e-3);
  // The last layer has no part in it.
  const Parameter p = plain.parameters().find("convs.3.nn.1.weight");
  for (std::size_t i = 0; i < p.rows * p.cols; ++i) CHECK(g1[p.offset + i] == g0[p.offset + i]);
  CHECK_THROWS_AS(HistoryModel<GinNet<double>>(make(), 30, {.noise_penalty = -1}), ConfigError);
}
