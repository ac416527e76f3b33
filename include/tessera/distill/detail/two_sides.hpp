// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/detail/projection_head.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/nn/ops/constant.hpp"

namespace tessera::detail {

/// The same nodes' hidden rows of student and teacher; absent where no row takes part.
struct TwoSides {
  Var student;
  Var teacher;
};

/// What a term of hidden rows compares in a step: at most `most` (0: all) of the rows it is about, mapped by its heads
/// unless `heads` is false.
///
/// Errors   ShapeError, IndexError if the teacher does not fit the batch
template <class Ctx, class Term>
TwoSides two_sides(Ctx& ctx, const DistillStep& step, std::string_view who, const Term& term,
                   std::size_t most, std::uint32_t purpose, bool heads = true) {
  using T = typename Ctx::Scalar;
  const std::size_t rows = ctx.value(step.tap->hidden).rows();
  check_teacher(who, step.teacher, step.targets, rows);
  const Array<NodeId> all = hidden_rows(step, rows, term.on);
  if (all.empty()) return {};
  Array<NodeId> chosen = sample_rows(all.span(), most, step.tap->key, purpose);
  TwoSides out;
  out.teacher = constant(ctx, teacher_hidden<T>(step, chosen.span()));
  out.student = take_rows(ctx, step.tap->hidden, std::move(chosen));
  if (!heads) return out;
  const ParameterBlock<T>& block = step.tap->template parameters<T>();
  return {term.student_head(ctx, block, out.student, true),
          term.teacher_head(ctx, block, out.teacher, term.train_teacher_head)};
}

}  // namespace tessera::detail
