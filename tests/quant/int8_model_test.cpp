// SPDX-License-Identifier: MIT
#include "tessera/quant/int8_model.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "support/int8_cases.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/io/safetensors_write.hpp"
#include "tessera/nn/layers/egc_conv.hpp"
#include "tessera/quant/calibrate.hpp"
#include "tessera/quant/int8_export.hpp"
#include "tessera/quant/int8_file.hpp"

namespace tessera {

static_assert(Int8Conv<GcnConv<float>> && Int8Conv<SageConv<float>> && Int8Conv<GinConv<float>> &&
              Int8Conv<GatConv<float>>);
static_assert(!Int8Conv<EgcConv<float>>);

namespace {

/// Random links and a hub with 1000 neighbours; the last ten nodes have none.
CsrGraph hub_graph(std::uint64_t seed) {
  testing::Links links;
  CounterRng rng(make_key(seed, 0, Purpose::generate), 0, 0);
  const std::size_t n = 1200;
  for (NodeId i = 1; i <= 1000; ++i) links.push_back({0, i});
  for (std::size_t k = 0; k < 4000; ++k) {
    const auto s = static_cast<NodeId>(rng.below(n - 10));
    const auto t = static_cast<NodeId>(rng.below(n - 10));
    if (s != t) links.push_back({s, t});
  }
  return testing::undirected(n, links);
}

template <class Net>
struct Calibrated {
  CsrGraph graph;
  Tensor<float> x;
  Quantized<Net> model;
  PreparedAdjacency adjacency;

  Calibrated(const typename Net::Options& options, const QuantSettings& settings, std::uint64_t seed)
      : graph(hub_graph(seed)),
        x(test::random_matrix<float>(graph.num_cols, options.in, seed + 1)),
        model(Net(options), {settings}),
        adjacency(prepare_adjacency(graph, model.aggregation())) {
    // Nodes without links would set the ranges before and after a sum alike; then whole and half codes are common, and
    // halves may round either way in float.
    for (std::size_t i = x.rows() - 10; i < x.rows(); ++i) {
      for (float& v : x.row(i)) v *= 0.1f;
    }
    // Biases and norms away from their initial zeros.
    ParameterBlock<float>& block = model.parameters();
    for (const ParameterInfo& info : block.parameters()) {
      const bool variance = info.name.ends_with("running_var");
      if (info.rows != 1 || info.name.starts_with("quant.")) continue;
      const auto values =
          test::random_floats(info.cols, variance ? 0.5 : -0.3, variance ? 2 : 0.3, seed + info.offset);
      std::copy(values.begin(), values.end(), block.values().data() + info.offset);
    }
    const Adjacency levels[] = {adjacency.adjacency()};
    calibrate(model, AdjacencyStack(levels), MatrixView<const float>(x));
  }
  Int8Model exported() const { return export_int8(model); }
};

/// What a layer's codes stand for, before D^-1/2 where the layer multiplies with it.
Tensor<float> real_of(const Int8Layer& layer, const CsrView<>& a, const Int8Rows& rows) {
  Tensor<float> out(rows.codes.rows(), rows.codes.cols());
  const Int8Quantizer& q = layer.codes[0];
  for (std::size_t i = 0; i < out.rows(); ++i) {
    const float back = layer.scales_input() ? std::sqrt(static_cast<float>(a.degree(i))) : 1.0f;
    for (std::size_t f = 0; f < out.cols(); ++f) {
      out(i, f) = static_cast<float>(rows.codes(i, f) - q.range.zero_point) * q.scale * back;
    }
  }
  return out;
}

/// Runs every layer in integers and, from the same codes, as the fake-quantised layer: codes differ by at most one, and
/// rarely; logits by what one code on the way is worth.
template <class Net>
void check_layers(const Calibrated<Net>& c) {
  const Int8Model model = c.exported();
  const PreparedAdjacency pattern = prepare_adjacency(c.graph, model.aggregation());
  const CsrView<> a = pattern.adjacency().forward;
  Int8Rows rows = model.quantize(a, c.x);
  for (std::size_t l = 0; l < model.num_layers(); ++l) {
    const Tensor<float> x = real_of(model.layer(l), a, rows);
    NoTape<float> ctx;
    const Tensor<float> want =
        ctx.take(c.model.layer(ctx, l, c.adjacency.adjacency(), ctx.input(x.view()), Pass{}));
    rows = model.run_layer(l, a, rows);
    CAPTURE(l, name(model.layer(l).kind));
    if (l + 1 < model.num_layers()) {
      Tensor<std::uint8_t> codes(want.rows(), want.cols());
      const Int8Quantizer& q = model.layer(l + 1).codes[0];
      std::vector<float> row(want.rows(), 1.0f);
      for (std::size_t i = 0; i < row.size() && model.layer(l + 1).scales_input(); ++i) {
        row[i] = 1.0f / std::sqrt(static_cast<float>(a.degree(i)));
      }
      int8_quantize(want, 1.0f / q.scale, row, q.range, codes);
      std::size_t differ = 0;
      int worst = 0;
      for (std::size_t i = 0; i < codes.rows(); ++i) {
        for (std::size_t f = 0; f < codes.cols(); ++f) {
          const int d = std::abs(int{codes(i, f)} - int{rows.codes(i, f)});
          differ += d != 0;
          worst = std::max(worst, d);
        }
      }
      CHECK(worst <= 1);
      CHECK(static_cast<double>(differ) < 1e-3 * static_cast<double>(codes.size()));
    } else {
      float quantum = model.layer(l).codes.back().scale;
      float weight = 0;
      for (const float s : model.layer(l).maps.back().scale) weight = std::max(weight, std::abs(s) * 127);
      quantum *= std::max(1.0f, weight);
      float worst = 0;
      std::size_t same = 0;
      for (std::size_t i = 0; i < want.rows(); ++i) {
        for (std::size_t f = 0; f < want.cols(); ++f) {
          worst = std::max(worst, std::abs(want(i, f) - rows.real(i, f)));
        }
        const auto got_row = rows.real.row(i);
        const auto want_row = want.row(i);
        same += std::max_element(got_row.begin(), got_row.end()) - got_row.begin() ==
                std::max_element(want_row.begin(), want_row.end()) - want_row.begin();
      }
      CHECK(worst <= quantum);
      CHECK(static_cast<double>(same) >= 0.999 * static_cast<double>(want.rows()));
    }
  }
}

constexpr QuantSettings kInt8{};
constexpr QuantSettings kPerTensor{.per_channel = false};
constexpr QuantSettings kInt4{.weight_bits = 4, .activation_bits = 4};

TEST_CASE("integer GCN equals the fake-quantised one within a code per layer", "[int8]") {
  for (const std::uint64_t seed : {1u, 2u}) {
    check_layers(
        Calibrated<GcnNet<>>({.in = 40, .hidden = 70, .out = 9, .layers = 3, .dropout = 0}, kInt8, seed));
    check_layers(Calibrated<GcnNet<>>({.in = 90, .hidden = 33, .out = 5, .layers = 2, .dropout = 0},
                                      kPerTensor, seed));
    check_layers(
        Calibrated<GcnNet<>>({.in = 20, .hidden = 16, .out = 30, .layers = 2, .dropout = 0}, kInt4, seed));
  }
}

TEST_CASE("integer GraphSAGE equals the fake-quantised one within a code per layer", "[int8]") {
  check_layers(
      Calibrated<SageNet<>>({.in = 40, .hidden = 70, .out = 9, .layers = 3, .dropout = 0}, kInt8, 3));
  check_layers(Calibrated<SageNet<>>(
      {.in = 90, .hidden = 33, .out = 5, .layers = 2, .dropout = 0, .conv = {.root_weight = false}},
      kPerTensor, 4));
}

TEST_CASE("integer GIN, its norms folded, equals the fake-quantised one within a code per layer", "[int8]") {
  check_layers(Calibrated<GinNet<>>({.in = 30, .hidden = 48, .out = 9, .layers = 3, .dropout = 0}, kInt8, 5));
  check_layers(Calibrated<GinNet<>>(
      {.in = 30, .hidden = 48, .out = 9, .layers = 2, .dropout = 0, .conv = {.mlp_layers = 1}}, kInt8, 6));
}

TEST_CASE("integer GAT equals the fake-quantised one within a code per layer", "[int8]") {
  check_layers(Calibrated<GatNet<>>(
      {.in = 30, .hidden = 48, .out = 9, .layers = 2, .dropout = 0, .conv = {.heads = 4, .out_heads = 2}},
      kInt8, 7));
}

/// Rows whose largest logit the integer network and the fake-quantised one place alike, of all rows.
struct Agreement {
  std::size_t same = 0;
  std::size_t rows = 0;

  template <class Net>
  void add(const Calibrated<Net>& c) {
    const Int8Model model = c.exported();
    const PreparedAdjacency pattern = prepare_adjacency(c.graph, model.aggregation());
    const Tensor<float> got = model.infer(pattern.adjacency().forward, c.x);
    const Adjacency levels[] = {c.adjacency.adjacency()};
    NoTape<float> ctx;
    const Tensor<float> want =
        ctx.take(c.model.forward(ctx, AdjacencyStack(levels), ctx.input(c.x.view()), Pass{}));
    for (std::size_t i = 0; i < want.rows(); ++i) {
      const auto largest = [&](std::span<const float> row) {
        return std::max_element(row.begin(), row.end()) - row.begin();
      };
      if (largest(got.row(i)) == largest(want.row(i))) ++same;
    }
    rows += want.rows();
  }
};

TEST_CASE("an integer network chooses the classes of the fake-quantised one, all layers together", "[int8]") {
  const auto check = [](auto net) {
    using Net = decltype(net);
    Agreement agreement;
    for (const std::uint64_t seed : {21u, 22u, 23u, 24u}) {
      typename Net::Options options{.in = 40, .hidden = 64, .out = 9, .layers = 3, .dropout = 0};
      if constexpr (requires { options.conv.heads; }) options.conv.heads = 4;
      agreement.add(Calibrated<Net>(options, kInt8, seed));
    }
    CAPTURE(agreement.same, agreement.rows);
    CHECK(static_cast<double>(agreement.same) >= 0.999 * static_cast<double>(agreement.rows));
  };
  SECTION("GCN") { check(GcnNet<>({.in = 1, .hidden = 1, .out = 1})); }
  SECTION("GraphSAGE") { check(SageNet<>({.in = 1, .hidden = 1, .out = 1})); }
  SECTION("GIN") { check(GinNet<>({.in = 1, .hidden = 1, .out = 1})); }
  SECTION("GAT") { check(GatNet<>({.in = 1, .hidden = 1, .out = 1, .conv = {.heads = 1}})); }
}

TEST_CASE("an integer model gives the same bits for any threads and instruction set, and from its file",
          "[int8]") {
  const Calibrated<SageNet<>> c({.in = 40, .hidden = 70, .out = 9, .layers = 3, .dropout = 0}, kInt8, 8);
  const Int8Model model = c.exported();
  const CsrView<> a = c.graph.view();
  const Tensor<float> want = model.infer(a, c.x);
  for (const std::size_t threads : {1u, 2u, 4u, 16u}) {
    with_threads(threads, [&] { CHECK(test::same_bits(model.infer(a, c.x), want)); });
  }
  for (const Int8Isa isa : test::int8_levels()) {
    const Int8IsaScope scope(isa);
    CAPTURE(name(isa));
    CHECK(test::same_bits(model.infer(a, c.x), want));
  }
  const auto path = std::filesystem::temp_directory_path() / "tessera_int8_model_test.safetensors";
  save_int8<io::SafetensorsWriter>(model, path);
  const Int8Model again = load_int8<io::SafetensorsFile>(path);
  CHECK(test::same_bits(again.infer(a, c.x), want));
  CHECK(again.bytes() == model.bytes());
  std::filesystem::remove(path);
}

TEST_CASE("files of every kind come back, four-bit weights in half the bytes", "[int8]") {
  const auto path = std::filesystem::temp_directory_path() / "tessera_int8_kinds_test.safetensors";
  const auto round_trip = [&](const auto& c) {
    const Int8Model model = c.exported();
    const PreparedAdjacency pattern = prepare_adjacency(c.graph, model.aggregation());
    save_int8<io::SafetensorsWriter>(model, path);
    const Int8Model again = load_int8<io::SafetensorsFile>(path);
    CHECK(test::same_bits(again.infer(pattern.adjacency().forward, c.x),
                          model.infer(pattern.adjacency().forward, c.x)));
    return std::filesystem::file_size(path);
  };
  const GcnNet<>::Options gcn{.in = 200, .hidden = 256, .out = 7, .layers = 2, .dropout = 0};
  const auto eight = round_trip(Calibrated<GcnNet<>>(gcn, kInt8, 9));
  const auto four = round_trip(Calibrated<GcnNet<>>(gcn, kInt4, 9));
  CHECK(eight > 53000);  // 200 x 256 + 256 x 7 codes
  CHECK(eight - four > 26000);
  round_trip(Calibrated<GinNet<>>({.in = 30, .hidden = 48, .out = 9, .layers = 2, .dropout = 0}, kInt8, 9));
  round_trip(Calibrated<GatNet<>>(
      {.in = 30, .hidden = 48, .out = 9, .layers = 2, .dropout = 0, .conv = {.heads = 4}}, kInt8, 9));
  std::filesystem::remove(path);
}

TEST_CASE("a model file without scales is refused, by name", "[int8]") {
  const auto path = std::filesystem::temp_directory_path() / "tessera_int8_broken_test.safetensors";
  const std::vector<std::int8_t> codes(6, 3);
  const std::vector<float> ones(3, 1.0f);
  const std::vector<float> scales(2, 0.5f);
  const std::vector<std::int32_t> range{0, 0, 255, 0, 0, 255}, zero{0};
  const auto error = [&](const std::string& without, const std::vector<float>& code_scales) {
    io::SafetensorsWriter out;
    const auto note = [&](const std::string& key, const std::string& value) {
      if (key != without) out.metadata(key, value);
    };
    note("format", "tessera-int8");
    note("version", "1");
    note("placement", "fused");
    note("layers", "1");
    note("layers.0.kind", "gcn");
    note("layers.0.activation", "none");
    note("layers.0.maps", "1");
    const auto floats = [&](const std::string& key, std::span<const float> v) {
      if (key != without) out.add<float>(key, v);
    };
    floats("layers.0.codes.scale", code_scales);
    floats("layers.0.maps.0.scale", ones);
    floats("layers.0.maps.0.bias", ones);
    if (without != "layers.0.codes.range")
      out.add<std::int32_t>("layers.0.codes.range", std::span<const std::int32_t>(range));
    if (without != "layers.0.maps.0.zero_point")
      out.add<std::int32_t>("layers.0.maps.0.zero_point", std::span<const std::int32_t>(zero));
    if (without != "layers.0.maps.0.weight")
      out.add<std::int8_t>("layers.0.maps.0.weight", std::span<const std::int8_t>(codes), {2, 3});
    out.write(path);
    try {
      load_int8<io::SafetensorsFile>(path);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(error("", scales).empty());
  for (const std::string missing :
       {"layers.0.codes.scale", "layers.0.maps.0.scale", "layers.0.maps.0.bias", "layers.0.codes.range",
        "layers.0.maps.0.zero_point", "layers.0.maps.0.weight", "layers.0.maps", "layers.0.kind",
        "layers.0.activation", "layers"}) {
    CAPTURE(missing);
    CHECK(error(missing, scales).find('"' + missing + '"') != std::string::npos);
  }
  CHECK(error("format", scales).find("format \"\"") != std::string::npos);
  CHECK(error("version", scales).find("version \"\"") != std::string::npos);
  CHECK(error("placement", scales).find("placement \"\"") != std::string::npos);
  CHECK(error("", {0.5f, 0.0f}).find("scale is 0") != std::string::npos);
  CHECK(error("", {0.5f, std::nanf("")}).find("scale is") != std::string::npos);
  std::filesystem::remove(path);
}

TEST_CASE("constant, empty and saturating tensors have defined integers", "[int8]") {
  Calibrated<GcnNet<>> c({.in = 40, .hidden = 24, .out = 9, .layers = 2, .dropout = 0}, kInt8, 11);
  const Int8Model model = c.exported();
  const PreparedAdjacency pattern = prepare_adjacency(c.graph, model.aggregation());
  const CsrView<> a = pattern.adjacency().forward;
  // Rows of zeros are the zero code, and far beyond the range codes stop at its ends.
  Tensor<float> x = Tensor<float>::zeros(c.graph.num_cols, 40);
  for (float& v : x.row(3)) v = 1e30f;
  for (float& v : x.row(4)) v = -1e30f;
  const Int8Rows rows = model.quantize(a, x);
  const CodeRange& range = model.layer(0).codes[0].range;
  CHECK(rows.codes(0, 0) == range.zero_point);
  CHECK(rows.codes(3, 5) == range.qmax);
  CHECK(rows.codes(4, 5) == range.qmin);
  const Tensor<float> logits = model.infer(a, x);
  for (std::size_t i = 0; i < logits.rows(); ++i) {
    for (const float v : logits.row(i)) REQUIRE(std::isfinite(v));
  }
  // Weights of zeros: a range of 0 alone has scale 1 and every product is 0, so logits are the bias.
  ParameterBlock<float>& block = c.model.parameters();
  c.model.reset_parameters(0);
  const Parameter w = block.find("convs.1.lin.weight");
  for (std::size_t k = 0; k < w.rows; ++k) std::fill_n(block.value(w).row(k).data(), w.cols, 0.0f);
  const std::vector<float> bias = test::random_floats(9, 0.25, 2, 5);
  std::copy(bias.begin(), bias.end(), block.value(block.find("convs.1.bias")).row(0).data());
  const Adjacency levels[] = {c.adjacency.adjacency()};
  CHECK_THROWS_AS(export_int8(c.model), ConfigError);  // its quantisers saw nothing
  calibrate(c.model, AdjacencyStack(levels), MatrixView<const float>(c.x));
  const Int8Model constant = c.exported();
  CHECK(constant.layer(1).maps[0].scale[3] == 1.0f);
  const Tensor<float> logits_of_nothing = constant.infer(a, c.x);
  for (std::size_t i = 0; i < logits_of_nothing.rows(); ++i) {
    for (std::size_t j = 0; j < bias.size(); ++j) REQUIRE(logits_of_nothing(i, j) == bias[j]);
  }
}

TEST_CASE("constant features are one code, and the integer network agrees with the fake-quantised one",
          "[int8]") {
  const float constant = GENERATE(0.7f, -0.7f);
  Calibrated<SageNet<>> c({.in = 12, .hidden = 16, .out = 4, .layers = 2, .dropout = 0}, kInt8, 13);
  c.model.reset_parameters(13);
  c.x = Tensor<float>::filled(c.x.rows(), c.x.cols(), constant);
  const Adjacency levels[] = {c.adjacency.adjacency()};
  calibrate(c.model, AdjacencyStack(levels), MatrixView<const float>(c.x));
  const Int8Model model = c.exported();
  const PreparedAdjacency pattern = prepare_adjacency(c.graph, model.aggregation());
  const Int8Rows rows = model.quantize(pattern.adjacency().forward, c.x);
  const CodeRange& range = model.layer(0).codes[0].range;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    for (const std::uint8_t q : rows.codes.row(i)) REQUIRE(q == (constant > 0 ? range.qmax : range.qmin));
  }
  check_layers(c);
}

TEST_CASE("export refuses what integers cannot run", "[int8]") {
  const GcnNet<>::Options options{.in = 4, .hidden = 8, .out = 3, .dropout = 0};
  CHECK_THROWS_AS(export_int8(Calibrated<GcnNet<>>(options, {.placement = Placement::faithful}, 1).model),
                  ConfigError);
  CHECK_THROWS_AS(export_int8(Calibrated<GcnNet<>>(options, {.activation_bits = 12}, 1).model), ConfigError);
  CHECK_THROWS_AS(export_int8(Calibrated<GcnNet<>>(options, {.weight_bits = 12}, 1).model), ConfigError);
  CHECK_THROWS_AS(export_int8(Calibrated<GcnNet<>>(options, {.weight_bits = 32}, 1).model), ConfigError);
  auto normed = options;
  normed.norm = NormKind::layer;
  CHECK_THROWS_AS(export_int8(Calibrated<GcnNet<>>(normed, kInt8, 1).model), ConfigError);
  const Calibrated<GcnNet<>> c(options, kInt8, 1);
  const Int8Model model = c.exported();
  CHECK_THROWS_AS(model.infer(c.adjacency.adjacency().forward, c.x), ConfigError);  // coefficients
  CHECK_THROWS_AS(model.infer(testing::path(3).view(), c.x), ShapeError);
  CHECK_THROWS_AS(Int8Model(std::vector<Int8Layer>{}), ConfigError);
}

TEST_CASE("a network with more features than 32-bit sums hold runs in integers", "[int8]") {
  const std::size_t features = Int8Weights::max_depth(0) + 900;
  Quantized<GcnNet<>> model{GcnNet<>({.in = features, .hidden = 1, .out = 3, .layers = 1, .dropout = 0})};
  const CsrGraph graph = testing::path(5);
  const PreparedAdjacency prepared = prepare_adjacency(graph, model.aggregation());
  const Adjacency levels[] = {prepared.adjacency()};
  Tensor<float> x = test::random_matrix<float>(5, features, 3);
  for (float& v : x.row(2)) v = 1.0f;
  calibrate(model, AdjacencyStack(levels), MatrixView<const float>(x));
  const Int8Model integers = export_int8(model);
  REQUIRE(integers.layer(0).maps[0].weights.deep());
  const PreparedAdjacency pattern = prepare_adjacency(graph, integers.aggregation());
  const CsrView<> a = pattern.adjacency().forward;
  const Tensor<float> got = integers.infer(a, x);
  NoTape<float> ctx;
  const Tensor<float> want =
      ctx.take(model.forward(ctx, AdjacencyStack(levels), ctx.input(x.view()), Pass{}));
  // Codes of X W may differ by one, and a row sums at most three of them, each with a factor below one.
  const float quantum = 3 * integers.layer(0).codes[1].scale;
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j < 3; ++j) CHECK(std::abs(got(i, j) - want(i, j)) <= quantum);
  }
  for (const Int8Isa isa : test::int8_levels()) {
    const Int8IsaScope scope(isa);
    CHECK(test::same_bits(integers.infer(a, x), got));
  }
  const auto path = std::filesystem::temp_directory_path() / "tessera_int8_deep_test.safetensors";
  save_int8<io::SafetensorsWriter>(integers, path);
  CHECK(test::same_bits(load_int8<io::SafetensorsFile>(path).infer(a, x), got));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tessera
