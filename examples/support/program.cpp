// SPDX-License-Identifier: MIT
#include "support/program.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string_view>
#include <thread>

#include "support/dataset.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/train/kernel_report.hpp"

namespace examples {

void print(const tessera::Report& report) {
  const auto cell = [](const tessera::Score& score) {
    char text[16] = "     -";
    if (score.count > 0) std::snprintf(text, sizeof text, "%6.2f", 100 * score.metric);
    return std::string(text);
  };
  const tessera::DatasetSummary& d = report.dataset;
  std::printf("%s\n%zu nodes, %zu stored edges, %zu features, %zu classes; %zu train, %zu val, %zu test\n\n",
              d.name.c_str(), d.nodes, d.edges, d.features, d.classes, d.train, d.val, d.test);
  std::printf("seed  epochs  kept   train     val    test  s/epoch\n");
  tessera::Profile profile;
  for (const tessera::RunSummary& run : report.runs) {
    const tessera::FitReport& fit = run.fit;
    std::printf("%4llu  %6llu  %4llu  %s  %s  %s  %7.4f\n", static_cast<unsigned long long>(run.seed),
                static_cast<unsigned long long>(fit.epochs), static_cast<unsigned long long>(fit.best_epoch),
                cell(fit.evaluation.train).c_str(), cell(fit.evaluation.val).c_str(),
                cell(fit.evaluation.test).c_str(), fit.seconds_per_epoch());
    profile += fit.profile;
  }
  const std::string metric(tessera::name(report.runs.front().fit.metric));
  if (report.runs.front().fit.evaluation.test.count > 0) {
    std::printf("\ntest %s %.2f +- %.2f over %zu runs\n", metric.c_str(), 100 * report.test_mean(),
                100 * report.test_std(), report.runs.size());
  }
  const tessera::PhaseSeconds& s = report.seconds;
  std::printf(
      "seconds: load %.2f, partition %.2f, train %.2f, evaluate %.2f; peak memory %.0f MB; %zu threads, %s\n",
      s.load, s.partition, s.train, s.infer, static_cast<double>(tessera::peak_rss_bytes()) / 1e6,
      tessera::max_threads(), std::string(tessera::name(tessera::active_isa())).c_str());
  const double percent = profile.total() > 0 ? 100 / profile.total() : 0;
  std::printf(
      "profile: wait %.1f %%, gather %.1f %%, forward %.1f %%, backward %.1f %%, optimizer %.1f %%, other "
      "%.1f %%; "
      "outside kernels %.1f %%\n",
      profile.wait * percent, profile.gather * percent, profile.forward * percent, profile.backward * percent,
      profile.optimizer * percent, profile.other * percent, 100 * profile.overhead());
}

void refuse_hooks(const Options& o, const std::string& what) {
  if (!o.log.empty() || !o.plot.empty() || !o.checkpoint.empty())
    throw tessera::ConfigError(what + " has no --log, --plot or --checkpoint");
}

int run_main(CLI::App& app, int argc, char** argv, const std::string& program, const std::size_t& threads,
             const std::function<void(ExitCode& on_error)>& body) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kGood : kBadArguments;
  }
  ExitCode on_error = kBadData;
  try {
    const std::size_t all = std::max(1u, std::thread::hardware_concurrency());
    tessera::with_threads(threads == 0 ? all : threads, [&] {
      body(on_error);
      return 0;
    });
    return kGood;
  } catch (const tessera::ConfigError& e) {  // may begin with a function of the program's name
    const bool named = std::string_view(e.what()).starts_with(program + ": ");
    std::fprintf(stderr, "%s%s%s\n", named ? "" : program.c_str(), named ? "" : ": ", e.what());
    return kBadArguments;
  } catch (const tessera::FormatError& e) {  // names its file itself
    std::fprintf(stderr, "%s\n", e.what());
    return on_error;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), e.what());
    return on_error;
  }
}

int run_program(CLI::App& app, int argc, char** argv, const std::string& program, Options& options,
                const Train& train) {
  add_options(app, options);
  return run_main(app, argc, argv, program, options.threads, [&](ExitCode& on_error) {
    const auto folder = std::filesystem::path(options.report).parent_path();
    // Said before hours of training, not after.
    if (!folder.empty() && !std::filesystem::is_directory(folder))
      throw tessera::ConfigError("--report: the folder " + folder.string() + " does not exist");
    tessera::Report report;
    report.program = program;
    report.precision = options.precision;
    report.options = report_fields(options);
    const Timer timer;
    const OpenedData opened(options);
    const tessera::DatasetView& data = opened.view();
    report.seconds.load = timer.seconds();
    report.dataset = tessera::summarize(data, std::string(data.name));
    if (report.dataset.train == 0)
      throw tessera::Error(report.dataset.name + ": the data set has no training nodes");
    on_error = kFailed;
    tessera::KernelBounds bounds;
    if (!options.profile.empty()) {
      bounds = tessera::measure_kernel_bounds();
      tessera::KernelProfile::global().start();
    }
    train(data, report);
    print(report);
    if (!options.profile.empty()) {
      tessera::KernelProfile::global().stop();
      const auto& calls = tessera::KernelProfile::global().calls();
      std::printf("\n%s", tessera::kernel_table(tessera::kernel_totals(calls, bounds)).c_str());
      tessera::write_chrome_trace(options.profile, calls, bounds);
    }
    if (!options.report.empty()) tessera::write_report(options.report, report);
  });
}

}  // namespace examples
