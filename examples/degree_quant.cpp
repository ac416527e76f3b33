// SPDX-License-Identifier: MIT
//
// One network in full precision, with quantisation-aware training (plain, noisy), with DegreeQuant, with DegreeQuant and soft
// targets of the one in full precision (kd-dq), quantised after training, and in signs; run as it was trained
// (fake-quantised), in integers and in bits. Prints accuracy on validation and test nodes, bytes of model and features,
// time per step and per inference of each.
// Tailor, Fernandez-Marques & Lane, Degree-Quant, ICLR 2021; Wang et al., Bi-GCN, CVPR 2021. docs/quantization.md says
// what to choose.
//
//     degree_quant                                              every method but kd-dq on a generated graph
//     degree_quant --data cora/planetoid --decay first --runs 10    the table of docs/quantization.md
//     degree_quant --methods fp32 dq kd-dq --bits 4 --epochs 800    what a teacher adds, given time
//     degree_quant --methods dq --bits 8 --out model.safetensors    keeps the integer network of the last run

#include <algorithm>
#include <string>
#include <vector>

#include "support/program.hpp"
#include "support/quant_table.hpp"
#include "tessera/core/error.hpp"
#include "tessera/io/safetensors_write.hpp"
#include "tessera/quant/int8_file.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Trains networks that run in integers, and compares them with full precision"};
  examples::Options options;
  options.decay = "all";
  options.keep = "best-both";
  options.models = examples::quantized_model_names();
  examples::QuantChoice choice;
  choice.add_to(app);
  std::vector<std::string> methods{"fp32", "ptq", "qat", "nqat", "dq", "binary"};
  std::vector<int> bits{8, 4};
  bool integers = true;
  std::string out;
  app.add_option("--methods", methods, "kd-dq is dq taught by fp32")
      ->check(CLI::IsMember({"fp32", "ptq", "qat", "nqat", "dq", "kd-dq", "binary"}));
  app.add_option("--bits", bits)->check(CLI::Range(2, 16));
  app.add_flag("--integers,!--no-integers", integers, "Run what can be exported in integers too");
  app.add_option("--out", out, "Write the 8-bit integer network of the last run to this safetensors file");
  return examples::run_program(
      app, argc, argv, "degree_quant", options,
      [&](const tessera::DatasetView& data, tessera::Report& report) {
        const auto wants = [&](const char* name) {
          return std::find(methods.begin(), methods.end(), name) != methods.end();
        };
        const bool teaches = wants("kd-dq");
        if (teaches && !wants("fp32"))
          throw tessera::ConfigError("--methods: kd-dq wants fp32 beside it, its teacher");
        if (teaches && options.inductive)
          throw tessera::ConfigError("--methods: kd-dq has no --inductive: its teacher sees every node");
        examples::QuantTable table(options, choice, data, integers);
        if (wants("fp32") || wants("ptq"))
          table.train("fp32", 32, report, wants("ptq") ? bits : std::vector<int>{}, teaches);
        for (const int b : bits) {
          for (const char* method : {"qat", "nqat", "dq", "kd-dq"}) {
            if (wants(method)) table.train(method, b, report);
          }
        }
        if (wants("binary")) table.train_binary(report);
        table.add_to(report);
        if (out.empty()) return;
        if (table.integers().num_layers() == 0)
          throw tessera::ConfigError("--out: no network of 8 bits ran in integers");
        tessera::save_int8<tessera::io::SafetensorsWriter>(table.integers(), out);
      });
}
