// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "tessera/nn/autograd/sparse_input.hpp"
#include "tessera/nn/concepts.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct TrainableInterface {
  virtual ~TrainableInterface() = default;
  virtual ParameterBlock<T>& parameters() = 0;
  virtual const ParameterBlock<T>& parameters() const = 0;
  virtual AggregationSpec aggregation() const = 0;
  virtual std::size_t in_features() const = 0;
  virtual std::size_t out_features() const = 0;
  virtual Var forward(Tape<T>& ctx, AdjacencyStack a, Var x, const Pass& pass) const = 0;
  virtual Var forward(NoTape<T>& ctx, AdjacencyStack a, Var x, const Pass& pass) const = 0;
  virtual void reset_parameters(std::uint64_t seed) = 0;
  virtual bool accepts_sparse_input() const = 0;
};

template <Real T>
struct LayeredInterface : TrainableInterface<T> {
  virtual std::size_t num_layers() const = 0;
  virtual bool needs_all_rows() const = 0;
  virtual Var layer(Tape<T>& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const = 0;
  virtual Var layer(NoTape<T>& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const = 0;
  virtual std::optional<Tensor<T>> infer_layers(const Adjacency& a, MatrixView<const float> x,
                                                std::size_t budget, const SparseInput* entries) const = 0;
  virtual bool keeps_history() const = 0;
  virtual void keep_for(const Adjacency& a) const = 0;
};

template <class Base, TrainableModel M>
struct TrainableHolder : Base {
  using T = typename M::Scalar;

  explicit TrainableHolder(M m) : model(std::move(m)) {}

  ParameterBlock<T>& parameters() override { return model.parameters(); }
  const ParameterBlock<T>& parameters() const override { return model.parameters(); }
  AggregationSpec aggregation() const override { return model.aggregation(); }
  std::size_t in_features() const override { return model.in_features(); }
  std::size_t out_features() const override { return model.out_features(); }
  Var forward(Tape<T>& ctx, AdjacencyStack a, Var x, const Pass& pass) const override {
    return model.forward(ctx, a, x, pass);
  }
  Var forward(NoTape<T>& ctx, AdjacencyStack a, Var x, const Pass& pass) const override {
    return model.forward(ctx, a, x, pass);
  }
  void reset_parameters(std::uint64_t seed) override { model.reset_parameters(seed); }
  bool accepts_sparse_input() const override { return tessera::accepts_sparse_input(model); }

  M model;
};

template <Model M>
struct LayeredHolder final : TrainableHolder<LayeredInterface<typename M::Scalar>, M> {
  using T = typename M::Scalar;
  using TrainableHolder<LayeredInterface<T>, M>::TrainableHolder;

  std::size_t num_layers() const override { return this->model.num_layers(); }
  bool needs_all_rows() const override { return tessera::needs_all_rows(this->model); }
  Var layer(Tape<T>& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const override {
    return this->model.layer(ctx, l, a, x, pass);
  }
  Var layer(NoTape<T>& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const override {
    return this->model.layer(ctx, l, a, x, pass);
  }
  std::optional<Tensor<T>> infer_layers(const Adjacency& a, MatrixView<const float> x, std::size_t budget,
                                        const SparseInput* entries) const override {
    if constexpr (requires { this->model.infer_layers(a, x, budget, entries); }) {
      return this->model.infer_layers(a, x, budget, entries);
    } else {
      return std::nullopt;
    }
  }
  bool keeps_history() const override { return tessera::keeps_history(this->model); }
  void keep_for(const Adjacency& a) const override {
    if constexpr (requires { this->model.keep_for(a); }) this->model.keep_for(a);
  }
};

/// What both erased models do: pass on to the model inside.
template <class Interface, Real T>
class ErasedModel {
 public:
  using Scalar = T;

  ParameterBlock<T>& parameters() { return held_->parameters(); }
  const ParameterBlock<T>& parameters() const { return std::as_const(*held_).parameters(); }
  AggregationSpec aggregation() const { return held_->aggregation(); }
  std::size_t in_features() const { return held_->in_features(); }
  std::size_t out_features() const { return held_->out_features(); }
  /// Errors   as the model inside
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack a, Var x, const Pass& pass) const {
    return held_->forward(ctx, a, x, pass);
  }
  void reset_parameters(std::uint64_t seed) { held_->reset_parameters(seed); }
  bool accepts_sparse_input() const { return held_->accepts_sparse_input(); }

 protected:
  explicit ErasedModel(std::unique_ptr<Interface> held) : held_(std::move(held)) {}

  std::unique_ptr<Interface> held_;
};

}  // namespace detail

/// A model chosen at run time: holds any `Model` and is one, so that a trainer is compiled once for all.
///
/// Values, gradients and parameters are those of the model inside, which it owns.
/// Cost     one virtual call per pass or layer
/// Threads  as the model inside
template <Real T = float>
class AnyModel : public detail::ErasedModel<detail::LayeredInterface<T>, T> {
 public:
  template <class M>
    requires(!std::same_as<M, AnyModel> && Model<M> && std::same_as<typename M::Scalar, T>)
  AnyModel(M model)  // NOLINT(google-explicit-constructor): any model is one
      : detail::ErasedModel<detail::LayeredInterface<T>, T>(
            std::make_unique<detail::LayeredHolder<M>>(std::move(model))) {}

  std::size_t num_layers() const { return this->held_->num_layers(); }
  bool needs_all_rows() const { return this->held_->needs_all_rows(); }
  /// Errors   as the model inside
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    return this->held_->layer(ctx, l, a, x, pass);
  }
  /// Logits of a whole graph where the model inside passes over it itself (HistoryModel); none elsewhere.
  std::optional<Tensor<T>> infer_layers(const Adjacency& a, MatrixView<const float> x, std::size_t budget,
                                        const SparseInput* entries = nullptr) const {
    return this->held_->infer_layers(a, x, budget, entries);
  }
  /// Whether the model inside keeps what its layers computed; if so, `keep_for` tells it of which graph.
  bool keeps_history() const { return this->held_->keeps_history(); }
  void keep_for(const Adjacency& a) const { this->held_->keep_for(a); }
};

/// The same for models that need not run layer by layer: those about whole graphs.
template <Real T = float>
class AnyTrainableModel : public detail::ErasedModel<detail::TrainableInterface<T>, T> {
 public:
  template <class M>
    requires(!std::same_as<M, AnyTrainableModel> && TrainableModel<M> && std::same_as<typename M::Scalar, T>)
  AnyTrainableModel(M model)  // NOLINT(google-explicit-constructor): any model is one
      : detail::ErasedModel<detail::TrainableInterface<T>, T>(
            std::make_unique<detail::TrainableHolder<detail::TrainableInterface<T>, M>>(std::move(model))) {}
};

}  // namespace tessera
