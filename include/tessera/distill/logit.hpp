// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/distill/soft_target.hpp"
#include "tessera/nn/losses/scalar_loss.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct SoftTargetOp : ScalarLossOp<T, SoftTargetOp<T>> {
  static constexpr std::string_view kName = "soft_target";
  MatrixView<const T> teacher;
  Tensor<T> gathered;
  Array<T> temperature;
  Array<float> weight;
  SoftTargetOptions options;
  double weight_total = 0;
  bool indicators = false;

  LossSum operator()(MatrixView<const T> z, MatrixView<T> grad) const {
    return indicators ? soft_indicators<T>(z, teacher, weight, grad, options)
                      : soft_target<T>(z, teacher, temperature, weight, grad, {}, options);
  }
  double total(std::size_t classes) const noexcept {
    if (options.reduction == Reduction::sum) return 0;
    const bool elements = indicators || options.reduction == Reduction::element_mean;
    return elements ? weight_total * static_cast<double>(classes) : weight_total;
  }
};

}  // namespace detail

/// Soft targets: alpha T^2 KL(softmax(t / T) || softmax(z / T)), beside (1 - alpha) times the loss of the labels.
///
/// With several labels per node, alpha T^2 BCE(sigmoid(t), z) instead, its mean over nodes and labels. Presets of
/// published code: `efficient_gnns()`, `glnn()`, `fixed_temperature(tau)`.
/// Shapes   tau [N] and node_weight [N] by node of the whole graph, or empty; borrowed
/// Cost     O(N C)
/// Errors   ConfigError for a temperature of 0 or alpha outside [0, 1]; ShapeError, IndexError if the teacher does not
///          fit the batch
/// Source   Hinton, Vinyals & Dean, Distilling the knowledge in a neural network, 2015
struct Logit {
  static constexpr bool kNeedsHidden = false;

  double alpha = 0.9;
  double temperature = 4;
  double student_temperature = 0;  ///< 0: the same
  bool squared = true;             ///< multiply by T^2
  SoftForm form = SoftForm::kl;
  double epsilon = 0;
  Reduction reduction = Reduction::node_mean;
  DistillOn on = DistillOn::all;
  std::span<const float> tau{};  ///< the teacher's temperature of every node, instead of `temperature`
  std::span<const float> node_weight{};  ///< how much every node counts, 0 for not

  /// chaitjo/efficient-gnns on arxiv and mag: mean over elements, training nodes.
  static constexpr Logit efficient_gnns() {
    return {.alpha = 0.9, .temperature = 4, .reduction = Reduction::element_mean, .on = DistillOn::labelled};
  }
  /// GLNN: soft targets alone, T = 1.
  static constexpr Logit glnn(double lambda = 0) { return {.alpha = 1 - lambda, .temperature = 1}; }
  /// The baseline of LTD: the teacher alone is softened, losses of all nodes are added. Its hard term is
  /// TaskLoss{.weight = lambda, .reduction = Reduction::sum}.
  static constexpr Logit fixed_temperature(double tau) {
    return {.alpha = 1,
            .temperature = tau,
            .student_temperature = 1,
            .squared = false,
            .form = SoftForm::cross_entropy,
            .reduction = Reduction::sum};
  }

  double hard_weight() const noexcept { return 1 - alpha; }

  template <class Ctx>
  Var operator()(Ctx& ctx, const DistillStep& step) const {
    using T = typename Ctx::Scalar;
    if (!(alpha >= 0 && alpha <= 1))
      throw ConfigError(message("Logit: alpha is ", alpha, ", want a number from 0 to 1"));
    const MatrixView<const T> z = ctx.value(step.logits);
    if (z.cols() != step.teacher.num_classes()) {
      throw ShapeError(
          message("Logit: the student has ", z.cols(), " classes, the teacher ", step.teacher.num_classes()));
    }
    detail::check_teacher("Logit", step.teacher, step.targets, z.rows());
    detail::SoftTargetOp<T> op;
    const std::span<const NodeId> ids = detail::nodes_of(step.targets, z.rows());
    op.teacher = step.teacher.template logits<T>(ids, z.rows(), op.gathered);
    op.indicators = !step.targets.indicators.empty();
    op.weight_total = step.targets.weights.empty() ? 0 : step.targets.weight_total;
    check_nodes("node_weight", node_weight, step.teacher);
    check_nodes("tau", tau, step.teacher);
    op.weight = detail::soft_weights(step.targets, z.rows(), on, node_weight);
    if (!tau.empty()) {
      op.temperature.resize(z.rows());
      for (std::size_t i = 0; i < z.rows(); ++i)
        op.temperature[i] = static_cast<T>(tau[ids.empty() ? i : ids[i]]);
    }
    const double student = student_temperature == 0 ? temperature : student_temperature;
    op.options = {temperature, student, alpha * (squared ? temperature * temperature : 1),
                  form,        epsilon, reduction};
    return detail::record_loss(ctx, step.logits, std::move(op));
  }

 private:
  static void check_nodes(std::string_view name, std::span<const float> x, const TeacherOutputs& teacher) {
    if (!x.empty() && x.size() != teacher.num_nodes()) {
      throw ShapeError(message("Logit: ", name, " has ", x.size(), " entries, want ", teacher.num_nodes(),
                               ", one per node"));
    }
  }
};

}  // namespace tessera
