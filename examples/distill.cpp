// SPDX-License-Identifier: MIT
//
// Distillation: a teacher is trained, then a student with labels alone, then the same student with the teacher's help;
// --method says how. Prints what each is worth, how large it is and how fast it answers.
// docs/distillation.md helps to choose a method.
//
//     distill                                                      a GCN teaches a perceptron on a generated graph
//     distill --data cora/npz --protocol cpf --method glnn --runs 10
//     distill --data cora/npz --protocol ltd --method ltd --student gcn --runs 5

#include "support/distill_run.hpp"
#include "support/program.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Trains a teacher, a student, and the student with the teacher's help"};
  examples::Options options;
  options.without = examples::without_networks({"--hidden", "--layers", "--dropout", "--epochs", "--lr",
                                                "--weight-decay", "--keep", "--patience", "--eval-every",
                                                "--log", "--plot", "--checkpoint", "--resume"});
  examples::DistillChoice choice;
  choice.add_to(app);
  app.callback([&] {  // a published protocol says what features are
    if (choice.protocol != "as-is" && options.features == "auto") options.features = "raw";
  });
  return examples::run_program(app, argc, argv, "distill", options,
                               [&](const tessera::DatasetView& data, tessera::Report& report) {
                                 examples::run_distillation(options, choice, data, report);
                               });
}
