// SPDX-License-Identifier: MIT
#include "tessera/io/checkpoint.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/train_fakes.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/nn/optim/plateau.hpp"
#include "tessera/nn/optim/schedules.hpp"
#include "tessera/nn/optim/sgd.hpp"
#include "tessera/train/trainer.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace {

using namespace tessera;
using namespace tessera::test;

/// A folder of its own that goes away with the test.
struct Folder {
  std::filesystem::path path;

  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tessera-checkpoint-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path operator/(const char* name) const { return path / name; }
};

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class T>
std::vector<T> weights(const TinyNet<T>& model) {
  return {model.parameters().values().begin(), model.parameters().values().end()};
}

/// Breaks off after an epoch, as an error would.
struct Stop {
  std::uint64_t after;
  void on_epoch_end(auto& run) const {
    if (run.next_epoch() == after) throw Error("stopped by the test");
  }
};

struct Outcome {
  std::vector<float> weights;
  std::vector<double> losses;
  std::uint64_t best_epoch = 0;

  bool operator==(const Outcome&) const = default;
};

template <class... Extras>
Outcome train(const Dataset& data, const FitOptions& options, Extras&&... extras) {
  TinyNet<float> model(8, 6, 3, 5);
  Trainer trainer{model, RangeSampler{24}, TinyLoss{}, Adam{.lr = 0.05, .weight_decay = 1e-3}};
  const FitReport report = trainer.fit(data, options, std::forward<Extras>(extras)...);
  Outcome out{weights(model), {}, report.best_epoch};
  for (const EpochRecord& r : report.history) {
    out.losses.push_back(r.train_loss);
    out.losses.push_back(r.evaluation.val.loss);
    out.losses.push_back(r.learning_rate);
  }
  return out;
}

template <class F>
std::string thrown(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("A resumed run ends in the same bits as an uninterrupted one", "[checkpoint]") {
  const Dataset data = planted();
  const Folder folder;
  const FitOptions options{.epochs = 20, .seed = 9};
  const auto with = [&](auto... policies) {
    const Outcome whole = train(data, options, policies...);
    for (const std::uint64_t at : {1u, 7u, 19u}) {
      for (const std::uint64_t every : {1u, 3u}) {
        std::filesystem::remove(folder / "run.safetensors");
        const io::Checkpoint checkpoint(folder / "run.safetensors", {.every = every, .resume = true});
        CHECK_THROWS_AS(train(data, options, policies..., io::Checkpoint(checkpoint), Stop{at}), Error);
        CHECK(train(data, options, policies..., io::Checkpoint(checkpoint)) == whole);
        // Once more: the run is finished, so nothing is trained, but everything is reported.
        CHECK(train(data, options, policies..., io::Checkpoint(checkpoint)) == whole);
      }
    }
  };
  with();
  with(BestLoss{.patience = 6}, LinearWarmup<CosineDecay>{.epochs = 3, .then = {.period = 17}});
  with(BestMetric{}, ReduceOnPlateau{.patience = 1, .threshold = 0.05});
}

TEST_CASE("A run can be given more epochs", "[checkpoint]") {
  const Dataset data = planted();
  const Folder folder;
  const auto file = folder / "run.safetensors";
  train(data, {.epochs = 6}, io::Checkpoint(file));
  CHECK(train(data, {.epochs = 9}, io::Checkpoint(file, {.resume = true})) == train(data, {.epochs = 9}));
}

TEST_CASE("Without resume a checkpoint starts anew", "[checkpoint]") {
  const Dataset data = planted();
  const Folder folder;
  const auto file = folder / "run.safetensors";
  train(data, {.epochs = 3, .seed = 1}, io::Checkpoint(file));
  CHECK(train(data, {.epochs = 3, .seed = 2}, io::Checkpoint(file)) == train(data, {.epochs = 3, .seed = 2}));
}

TEST_CASE("A checkpoint of another run is refused with every difference", "[checkpoint]") {
  const Dataset data = planted();
  const Folder folder;
  const auto file = folder / "run.safetensors";
  train(data, {.epochs = 2}, BestLoss{}, io::Checkpoint(file, {.identity = "hidden=6"}));
  const std::string before = bytes_of(file);
  const io::Checkpoint again(file, {.resume = true, .identity = "hidden=6"});

  const auto refused = [&](const char* part, auto&& run) {
    const std::string text = thrown(run);
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
    CHECK(text.find("run.safetensors") != std::string::npos);
    CHECK(bytes_of(file) == before);
  };
  refused("seed=0", [&] { train(data, {.epochs = 2, .seed = 7}, BestLoss{}, io::Checkpoint(again)); });
  refused("stopping was stopping=BestLoss", [&] { train(data, {.epochs = 2}, io::Checkpoint(again)); });
  refused("schedule was the default",
          [&] { train(data, {.epochs = 2}, BestLoss{}, ExponentialDecay{}, io::Checkpoint(again)); });
  refused("identity was hidden=6", [&] {
    train(data, {.epochs = 2}, BestLoss{}, io::Checkpoint(file, {.resume = true, .identity = "hidden=7"}));
  });
  Dataset other = planted();
  other.features(3, 1) += 1;
  refused("data was", [&] { train(other, {.epochs = 2}, BestLoss{}, io::Checkpoint(again)); });
  other = planted();
  other.roles[0] = Role::none;
  refused("data was", [&] { train(other, {.epochs = 2}, BestLoss{}, io::Checkpoint(again)); });

  const auto other_trainer = [&](std::size_t hidden, std::size_t batch, auto optimizer) {
    TinyNet<float> model(8, hidden, 3, 5);
    Trainer trainer{model, RangeSampler{batch}, TinyLoss{}, optimizer};
    trainer.fit(data, {.epochs = 2}, BestLoss{}, io::Checkpoint(again));
  };
  const Adam same{.lr = 0.05, .weight_decay = 1e-3};
  other_trainer(6, 24, same);
  refused("model was float32; layers.0.weight [8, 6]", [&] { other_trainer(5, 24, same); });
  refused("batches was", [&] { other_trainer(6, 48, same); });
  refused("weight_decay=0.001 and is now", [&] { other_trainer(6, 24, Adam{.lr = 0.05}); });
  refused("optimizer was optimizer=Adam", [&] { other_trainer(6, 24, Sgd{.lr = 0.05, .momentum = 0.9}); });
}

TEST_CASE("Damaged checkpoints are refused and change nothing", "[checkpoint]") {
  const Dataset data = planted();
  const Folder folder;
  const auto file = folder / "run.safetensors";
  train(data, {.epochs = 2}, io::Checkpoint(file));
  const std::string whole = bytes_of(file);
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, whole.size() / 2, whole.size() - 1}) {
    std::ofstream(file, std::ios::binary) << whole.substr(0, size);
    CHECK_THROWS_AS(train(data, {.epochs = 2}, io::Checkpoint(file, {.resume = true})), FormatError);
  }
  CHECK_THROWS_AS(io::Checkpoint(file, {.every = 0}), ConfigError);
  const std::string text =
      thrown([&] { train(data, {.epochs = 2}, io::Checkpoint(folder / "no/such/run")); });
  CHECK(text.find("no/such/run") != std::string::npos);
}

TEST_CASE("Weights alone can be saved and loaded", "[checkpoint]") {
  const Folder folder;
  const auto file = folder / "weights.safetensors";
  TinyNet<float> model(8, 6, 3, 1), other(8, 6, 3, 2), wider(8, 7, 3, 2);
  io::save_weights(file, model.parameters());
  io::load_weights(file, other.parameters());
  CHECK(weights(model) == weights(other));
  const auto before = weights(wider);
  const std::string text = thrown([&] { io::load_weights(file, wider.parameters()); });
  CHECK(text.find("model.layers.0.weight") != std::string::npos);
  CHECK(text.find("model.layers.1.weight") != std::string::npos);
  CHECK(weights(wider) == before);
  TinyNet<double> exact(8, 6, 3);
  CHECK(thrown([&] { io::load_weights(file, exact.parameters()); }).find("want F64") != std::string::npos);
  CHECK(thrown([&] { io::load_weights(file, model.parameters(), io::Weights::best); }).find("best.") !=
        std::string::npos);
  model.parameters().values()[3] = std::numeric_limits<float>::infinity();
  io::save_weights(file, model.parameters());
  CHECK_THROWS_AS(io::load_weights(file, other.parameters()), FormatError);
}

TEST_CASE("A checkpoint's best weights are those the run restores", "[checkpoint]") {
  const Dataset data = planted();
  const Folder folder;
  const auto file = folder / "run.safetensors";
  const Outcome run = train(data, {.epochs = 30}, BestLoss{.patience = 3}, io::Checkpoint(file));
  TinyNet<float> model(8, 6, 3);
  io::load_weights(file, model.parameters(), io::Weights::best);
  CHECK(weights(model) == run.weights);
}

TEST_CASE("Files of killed writers are swept up, others stay", "[checkpoint]") {
  const Folder folder;
  std::ofstream(folder / "run.tmp-999999999-0") << "left behind";
  std::ofstream(folder / ("run.tmp-" + std::to_string(::getpid()) + "-999999").c_str()) << "in use";
  std::ofstream(folder / "other.tmp-999999999-0") << "not ours";
  train(planted(), {.epochs = 1}, io::Checkpoint(folder / "run"));
  CHECK(!std::filesystem::exists(folder / "run.tmp-999999999-0"));
  CHECK(std::filesystem::exists(folder / ("run.tmp-" + std::to_string(::getpid()) + "-999999").c_str()));
  CHECK(std::filesystem::exists(folder / "other.tmp-999999999-0"));
}

namespace {

const FitOptions kKilledRun{.epochs = 60, .seed = 4};

}  // namespace

// The victim of the next test: this program again, told by its environment where the checkpoint is.
TEST_CASE("Train as a child process", "[.][checkpoint-child]") {
  const char* const file = std::getenv("TESSERA_TEST_CHECKPOINT");
  if (file == nullptr) return;  // nobody's child: an exclusion-only filter selects hidden tests too
  train(planted(), kKilledRun, BestLoss{}, io::Checkpoint(file, {.resume = true}));
}

TEST_CASE("A run killed at any moment goes on to the same bits", "[checkpoint]") {
  const Folder folder;
  const auto file = folder / "run.safetensors";
  const Outcome whole = train(planted(), kKilledRun, BestLoss{});
  ::setenv("TESSERA_TEST_CHECKPOINT", file.c_str(), 1);
  std::string program = "/proc/self/exe", filter = "[checkpoint-child]";
  char* const arguments[] = {program.data(), filter.data(), nullptr};
  posix_spawn_file_actions_t quiet;
  ::posix_spawn_file_actions_init(&quiet);
  ::posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);

  CounterRng rng(make_key(17, 0, Purpose::generic), 0, 0);
  int killed = 0;
  bool done = false;
  // Times grow, so the loop ends on a machine of any speed.
  for (int attempt = 0; !done && attempt < 400; ++attempt) {
    pid_t child = 0;
    REQUIRE(::posix_spawn(&child, program.c_str(), &quiet, nullptr, arguments, environ) == 0);
    const double milliseconds = (10 + attempt) * (1 + rng.uniform());
    std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(milliseconds));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    done = WIFEXITED(status);
    if (done) REQUIRE(WEXITSTATUS(status) == 0);
    killed += done ? 0 : 1;
    if (std::filesystem::exists(file)) CHECK_NOTHROW(io::SafetensorsFile(file));
  }
  ::posix_spawn_file_actions_destroy(&quiet);
  ::unsetenv("TESSERA_TEST_CHECKPOINT");
  INFO("killed " << killed << " times");
  REQUIRE(done);
  CHECK(killed > 0);
  CHECK(train(planted(), kKilledRun, BestLoss{}, io::Checkpoint(file, {.resume = true})) == whole);
  // The last resume swept up what the killed writers left.
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
}
