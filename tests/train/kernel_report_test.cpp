// SPDX-License-Identifier: MIT
#include "tessera/train/kernel_report.hpp"

#include <unistd.h>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/attention.hpp"
#include "tessera/kernels/batch_norm.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/epilogue_apply.hpp"
#include "tessera/kernels/gemm.hpp"
#include "tessera/kernels/layer_norm.hpp"
#include "tessera/kernels/sddmm.hpp"
#include "tessera/kernels/spmm_max.hpp"

using namespace tessera;

namespace {

const std::vector<KernelCall> kCalls{{"gemm", 0.0, 0.5, 100, 1000, 0, 0, false},
                                     {"spmm_sum", 0.5, 2.0, 400, 50, 0, 0, false},
                                     {"inner", 0.6, 1.0, 1, 1, 0, 1, false},
                                     {"gemm", 3.0, 0.5, 100, 1000, 1, 0, true}};
constexpr KernelBounds kBounds{400, 4000, 8000};

}  // namespace

TEST_CASE("kernel totals add calls by name and hold them to what bounds them", "[profile]") {
  const auto totals = kernel_totals(kCalls, kBounds);
  REQUIRE(totals.size() == 2);
  CHECK(totals[0].name == "spmm_sum");
  CHECK(totals[0].calls == 1);
  CHECK(totals[0].bound_seconds == 1.0);  // 400 bytes at 400 a second
  CHECK(totals[1].name == "gemm");
  CHECK(totals[1].calls == 2);
  CHECK(totals[1].seconds == 1.0);
  CHECK(totals[1].flops == 2000);
  CHECK(totals[1].bound_seconds == 0.25 + 0.25);  // flops of fp32; bytes of bf16, whose flops take less
  const std::string table = kernel_table(totals);
  CHECK(table.find("spmm_sum") < table.find("gemm"));
  CHECK(table.find("50.0%") != std::string::npos);
}

TEST_CASE("a trace holds every call as a complete event", "[profile]") {
  const std::string text = chrome_trace({kCalls[0]}, kBounds);
  CHECK(text ==
        "{\"traceEvents\":[{\"name\":\"gemm\",\"ph\":\"X\",\"pid\":1,\"tid\":0,\"ts\":0,\"dur\":5e+05,"
        "\"args\":{"
        "\"bytes\":100,\"flops\":1000,\"of_bound\":0.5}}]}");
  const auto path = std::filesystem::temp_directory_path() / ("tessera-trace-" + std::to_string(::getpid()));
  write_chrome_trace(path, {kCalls[0]}, kBounds);
  std::ifstream in(path);
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == text);
  in.close();
  std::filesystem::remove(path);
}

TEST_CASE("kernels say what they moved and computed", "[profile]") {
  const auto a = Tensor<float>::zeros(10, 20), b = Tensor<float>::zeros(20, 30);
  Tensor<float> c(10, 30);
  KernelProfile::global().start();
  gemm<float>(a.view(), b.view(), c.view());
  KernelProfile::global().stop();
  REQUIRE(KernelProfile::global().calls().size() == 1);
  const KernelCall& call = KernelProfile::global().calls()[0];
  CHECK(call.name == "gemm");
  CHECK(call.flops == 2.0 * 10 * 20 * 30);
  CHECK(call.bytes == 4.0 * (200 + 600 + 300));
}

TEST_CASE("sparse and row-wise kernels record one call each, with the least bytes they move", "[profile]") {
  constexpr std::size_t kRows = 40, kCols = 8;
  const CsrGraph graph = tessera::testing::random_undirected(kRows, 100, 3);
  const CsrView<> a = graph.view();
  const auto x = Tensor<float>::zeros(kRows, kCols), scores = Tensor<float>::zeros(kRows, 2);
  Tensor<float> y(kRows, kCols), norm(kRows, 4);
  Tensor<std::int32_t> arg(kRows, kCols);
  std::vector<float> row(kRows), column(kCols), edge(a.num_edges());
  KernelProfile& profile = KernelProfile::global();
  AttentionOptions attention;
  attention.heads = 2;
  DropoutMask mask;
  mask.probability = 0.5f;
  Epilogue<float> epilogue;
  epilogue.activation = Activation::elu;
  profile.start();
  attention_sum<float>(a, x.view(), scores.view(), scores.view(), attention, y.view(), norm.view());
  spmm_max<float, float>(a, x.view(), y.view(), arg.view());
  sddmm_dot<float>(a, x.view(), x.view(), edge);
  dropout<float>(x.view(), y.view(), mask);
  apply_epilogue<float>(y.view(), epilogue);
  batch_norm<float>(x.view(), {}, {}, column, column, y.view());
  layer_norm<float>(x.view(), {}, {}, y.view(), row, row);
  profile.stop();
  const std::vector<KernelCall>& calls = profile.calls();
  REQUIRE(calls.size() == 7);
  const double matrix = 4.0 * kRows * kCols,
               ids = 4.0 * static_cast<double>(a.num_edges()) + 8.0 * (kRows + 1);
  const double products = static_cast<double>(a.num_edges() * kCols);
  const auto check = [&](std::size_t k, const char* name, double bytes, double flops) {
    INFO(name);
    CHECK(calls[k].name == name);
    CHECK(calls[k].bytes == bytes);
    CHECK(calls[k].flops == flops);
    CHECK(calls[k].depth == 0);
  };
  check(0, "attention_sum", 2 * matrix + 4.0 * (2 + 2 + 4) * kRows + ids, 2 * products);
  check(1, "spmm_max", 3 * matrix + ids, products);
  check(2, "sddmm_dot", 2 * matrix + ids + 4.0 * static_cast<double>(a.num_edges()), 2 * products);
  check(3, "dropout", 2 * matrix, 0);
  check(4, "apply_epilogue", 2 * matrix, 0);
  check(5, "batch_norm", 2 * matrix, 0);
  check(6, "layer_norm", 2 * matrix, 0);
}
