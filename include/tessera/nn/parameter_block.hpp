// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/nn/autograd/var.hpp"

namespace tessera {

/// Handle of one parameter; valid for the block that made it and for its clones.
struct Parameter {
  std::size_t index = 0;   ///< position in `ParameterBlock::parameters()`
  std::size_t offset = 0;  ///< first element in `ParameterBlock::values()`
  std::size_t rows = 0;
  std::size_t cols = 0;
};

/// What is known about one parameter.
struct ParameterInfo {
  std::string name;  ///< PyTorch Geometric's, e.g. "convs.0.lin.weight"
  std::size_t offset = 0;
  std::size_t rows = 0;
  std::size_t cols = 0;
  float weight_decay_scale = 1.0f;  ///< multiplies the optimiser's weight decay
  bool trained = true;              ///< false for state, see ParameterBlock::add_state

  std::size_t size() const noexcept { return rows * cols; }
};

/// All trainable numbers of a model in one array, all gradients in a second one of the same layout.
///
/// Shapes   values [S], grads [S]; parameter p is the packed row-major matrix [rows, cols] at p.offset, a
///          weight is [F_in, F_out]. Each starts on a cache line; the padding between them is zero in both
///          arrays and stays zero under any optimiser that maps (0, 0) to 0.
/// Threads  gradients and state are writable through a constant block, because a training pass changes them
///          while the model is constant: one at a time
template <Real T>
class ParameterBlock {
 public:
  ParameterBlock() = default;
  ParameterBlock(ParameterBlock&&) noexcept = default;
  ParameterBlock& operator=(ParameterBlock&&) noexcept = default;

  /// A copy; copying is never implicit.
  ParameterBlock clone() const {
    ParameterBlock copy;
    copy.values_ = Array<T>::copy_of(std::as_const(values_).span());
    copy.grads_ = Array<T>::copy_of(grads_);
    copy.infos_ = infos_;
    return copy;
  }

  /// Adds a parameter of zeros. Views taken before are void.
  ///
  /// Errors   ConfigError if the name is taken
  Parameter add(std::string name, std::size_t rows, std::size_t cols, float weight_decay_scale = 1.0f) {
    for (const ParameterInfo& info : infos_) {
      if (info.name == name) throw ConfigError(message("ParameterBlock::add: name ", name, " is taken"));
    }
    constexpr std::size_t kLine = 64 / sizeof(T);
    const std::size_t offset = values_.size();
    const std::size_t end = (offset + rows * cols + kLine - 1) / kLine * kLine;
    values_.resize(end);
    grads_.resize(end);
    std::fill(values_.begin() + offset, values_.end(), T{0});
    std::fill(grads_.begin() + offset, grads_.end(), T{0});
    infos_.push_back({std::move(name), offset, rows, cols, weight_decay_scale, true});
    return {infos_.size() - 1, offset, rows, cols};
  }

  /// Adds numbers that belong to the model but are not trained, such as running averages: copied, saved and
  /// restored with the parameters. Their gradient stays zero and their weight decay is zero, so optimisers
  /// leave them alone.
  ///
  /// Errors   ConfigError if the name is taken
  Parameter add_state(std::string name, std::size_t rows, std::size_t cols) {
    const Parameter p = add(std::move(name), rows, cols, 0.0f);
    infos_[p.index].trained = false;
    return p;
  }
  /// The numbers of `add_state`, writable.
  MatrixView<T> state(Parameter p) const noexcept {
    TESSERA_ASSERT(light, !infos_[p.index].trained);
    return {values_.data() + p.offset, p.rows, p.cols};
  }

  MatrixView<T> value(Parameter p) noexcept { return {values_.data() + p.offset, p.rows, p.cols}; }
  MatrixView<const T> value(Parameter p) const noexcept {
    return {std::as_const(values_).data() + p.offset, p.rows, p.cols};
  }
  MatrixView<T> grad(Parameter p) const noexcept { return {grads_.data() + p.offset, p.rows, p.cols}; }
  /// What a tape needs to know of `p`.
  ParameterView<T> operator[](Parameter p) const noexcept { return {value(p), grad(p)}; }

  /// Every value, padding included, in the order of `parameters()`.
  std::span<T> values() noexcept { return values_.span(); }
  std::span<const T> values() const noexcept { return std::as_const(values_).span(); }
  std::span<T> grads() const noexcept { return grads_.span(); }
  void zero_grads() const noexcept { std::fill(grads_.begin(), grads_.end(), T{0}); }

  std::span<const ParameterInfo> parameters() const noexcept { return infos_; }
  /// The parameter of this name.
  ///
  /// Errors   ConfigError if there is none
  Parameter find(std::string_view name) const {
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      if (infos_[i].name == name) return {i, infos_[i].offset, infos_[i].rows, infos_[i].cols};
    }
    throw ConfigError(message("ParameterBlock::find: no parameter is named ", name));
  }
  void set_weight_decay_scale(Parameter p, float scale) { infos_[p.index].weight_decay_scale = scale; }

  /// How many numbers are trained, padding and state excluded.
  std::size_t num_parameters() const noexcept {
    std::size_t count = 0;
    for (const ParameterInfo& info : infos_) count += info.trained ? info.size() : 0;
    return count;
  }

 private:
  mutable Array<T> values_;  // of state only
  mutable Array<T> grads_;
  std::vector<ParameterInfo> infos_;
};

}  // namespace tessera
