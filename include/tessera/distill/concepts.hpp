// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/ids.hpp"
#include "tessera/distill/tapped_model.hpp"
#include "tessera/distill/teacher_outputs.hpp"
#include "tessera/nn/concepts.hpp"

namespace tessera {

/// Which rows of a batch a term compares with the teacher.
enum class DistillOn {
  all,      ///< every row
  labelled  ///< the rows that count as training targets
};

/// What a term may look at in one training step.
///
/// Row r of the logits is the node targets.node_id[r] (r itself where that is empty), and so is row r of tap->hidden,
/// which may have more rows.
struct DistillStep {
  Var logits;
  const Targets& targets;
  const TeacherOutputs& teacher;
  const Tap* tap = nullptr;  ///< of a tapped student; null without one
};

/// One summand of a distillation loss: settings that turn what the student did into a [1, 1] value.
///
/// - `term(ctx, step)`  the weighted loss on a recording tape, or `Var{}` where there is nothing to compare
/// - `Term::kNeedsHidden`  it reads step.tap and the teacher's hidden rows
/// - `term.bind(block, student_width, teacher_width, key)`  optional: adds the parameters of its heads
/// - `term.hard_weight()`  optional: what the loss of the labels is to be multiplied by, where no TaskLoss says so
template <class Term>
concept DistillTerm = std::copy_constructible<Term> &&
    requires(const Term& term, Tape<float>& tape, Tape<double>& tape64, const DistillStep& step) {
  { Term::kNeedsHidden } -> std::convertible_to<bool>;
  { term(tape, step) } -> std::same_as<Var>;
  { term(tape64, step) } -> std::same_as<Var>;
};

}  // namespace tessera
