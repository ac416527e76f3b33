// SPDX-License-Identifier: MIT
#include "tessera/train/kernel_report.hpp"

#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/gemm.hpp"

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
