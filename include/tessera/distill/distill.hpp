// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/distill/tapped_model.hpp"
#include "tessera/distill/task_loss.hpp"
#include "tessera/distill/teacher_outputs.hpp"

namespace tessera {

/// The loss of a student: that of the labels plus any number of terms that compare it with a frozen teacher.
///
///     Trainer trainer{student, sampler, Distill{teacher, Logit{.temperature = 4}}, Adam{}};
///     TappedModel student{GcnNet<>({...})};                        // terms that look at hidden rows want a tap
///     Distill loss{teacher, student, Logit{.alpha = 0.9}, Gcrd{.beta = 0.01}};
///
/// The labels' loss has the weight 1, less what the terms say by hard_weight(), unless a TaskLoss among them sets it.
/// Rows are matched with the teacher by node id, so every sampler will do. Without a recording tape (evaluation) the
/// loss is that of the labels alone.
/// Cost     the sum of its terms
/// Errors   ConfigError if a term wants hidden rows of a teacher or student that shows none; those of the terms
/// Threads  as the terms: results do not depend on T
template <DistillTerm... Terms>
class Distill {
 public:
  /// Borrows the teacher's outputs, which must outlive the loss. A temporary is refused.
  explicit Distill(const TeacherOutputs& teacher, Terms... terms)
      : teacher_(&teacher), terms_(std::move(terms)...) {
    static_assert(!(Terms::kNeedsHidden || ...),
                  "a term compares hidden rows: name the TappedModel, Distill{teacher, student, terms...}");
  }
  explicit Distill(TeacherOutputs&& teacher, Terms... terms) = delete;

  /// The same for terms that look at hidden rows; their heads are added to the student's parameters, drawn from
  /// `seed` (0).
  template <class M>
  Distill(const TeacherOutputs& teacher, TappedModel<M>& student, Terms... terms)
      : teacher_(&teacher), tap_(student.tap()), terms_(std::move(terms)...) {
    if constexpr ((Terms::kNeedsHidden || ...)) {
      if (!teacher.has_hidden())
        throw ConfigError("Distill: a term compares hidden rows, the teacher's outputs hold none");
      const std::size_t width = hidden_width(student.model());
      std::apply([&](auto&... term) { (bind(term, student.parameters(), width), ...); }, terms_);
    }
  }

  const TeacherOutputs& teacher() const noexcept { return *teacher_; }
  template <class Term>
  const Term& term() const noexcept {
    return std::get<Term>(terms_);
  }

  /// Nodes to make batches of instead of the labelled training nodes: those with soft labels, ascending; borrowed.
  Distill& learn_from(std::span<const NodeId> nodes) {
    rows_ = nodes;
    return *this;
  }
  std::span<const NodeId> target_rows() const noexcept { return rows_; }

  /// Refuses data that the teacher did not look at. The trainer calls it.
  template <class D>
  void check_data(const D& data) const {
    teacher_->check_data(data);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, Var logits, const Targets& targets) const {
    if constexpr (!Ctx::kRecords) {
      return TaskLoss{}(ctx, logits, targets);
    } else {
      const DistillStep step{logits, targets, *teacher_, tap_.get()};
      return std::apply(
          [&](const auto&... term) {
            const Var hard = default_task().weight == 0 ? Var{} : default_task()(ctx, step);
            return detail::scalar_sum(ctx, std::array<Var, sizeof...(Terms) + 1>{hard, term(ctx, step)...});
          },
          terms_);
    }
  }

 private:
  template <class Term, Real T>
  void bind(Term& term, ParameterBlock<T>& block, std::size_t width) {
    if constexpr (requires { term.bind(block, width, width, RngKey{}); }) {
      term.bind(block, width, teacher_->hidden_width(), make_key(0, 0, Purpose::init));
    }
  }

  TaskLoss default_task() const {
    if constexpr ((std::is_same_v<Terms, TaskLoss> || ...)) {
      return {.weight = 0};
    } else {
      double weight = 1;
      const auto take = [&](const auto& term) {
        if constexpr (requires { term.hard_weight(); }) weight -= 1 - term.hard_weight();
      };
      std::apply([&](const auto&... term) { (take(term), ...); }, terms_);
      return {.weight = weight < 1e-12 ? 0 : weight};
    }
  }

  const TeacherOutputs* teacher_;
  std::shared_ptr<const Tap> tap_;
  std::tuple<Terms...> terms_;
  std::span<const NodeId> rows_;
};

template <DistillTerm... Terms>
Distill(const TeacherOutputs&, Terms...) -> Distill<Terms...>;
template <class M, DistillTerm... Terms>
Distill(const TeacherOutputs&, TappedModel<M>&, Terms...) -> Distill<Terms...>;

}  // namespace tessera
