// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "tessera/nn/concepts.hpp"

namespace tessera {

/// A model chosen at run time: holds any `Model` and is one, so that a trainer is compiled once for all.
///
/// Values, gradients and parameters are those of the model inside, which it owns.
/// Cost     one virtual call per pass or layer
/// Threads  as the model inside
template <Real T = float>
class AnyModel {
  struct Interface {
    virtual ~Interface() = default;
    virtual ParameterBlock<T>& parameters() = 0;
    virtual const ParameterBlock<T>& parameters() const = 0;
    virtual AggregationSpec aggregation() const = 0;
    virtual std::size_t num_layers() const = 0;
    virtual std::size_t in_features() const = 0;
    virtual std::size_t out_features() const = 0;
    virtual Var forward(Tape<T>& ctx, AdjacencyStack a, Var x, const Pass& pass) const = 0;
    virtual Var forward(NoTape<T>& ctx, AdjacencyStack a, Var x, const Pass& pass) const = 0;
    virtual Var layer(Tape<T>& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const = 0;
    virtual Var layer(NoTape<T>& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const = 0;
    virtual void reset_parameters(std::uint64_t seed) = 0;
  };

  template <Model M>
  struct Holder final : Interface {
    explicit Holder(M m) : model(std::move(m)) {}

    ParameterBlock<T>& parameters() override { return model.parameters(); }
    const ParameterBlock<T>& parameters() const override { return model.parameters(); }
    AggregationSpec aggregation() const override { return model.aggregation(); }
    std::size_t num_layers() const override { return model.num_layers(); }
    std::size_t in_features() const override { return model.in_features(); }
    std::size_t out_features() const override { return model.out_features(); }
    Var forward(Tape<T>& ctx, AdjacencyStack a, Var x, const Pass& pass) const override {
      return model.forward(ctx, a, x, pass);
    }
    Var forward(NoTape<T>& ctx, AdjacencyStack a, Var x, const Pass& pass) const override {
      return model.forward(ctx, a, x, pass);
    }
    Var layer(Tape<T>& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const override {
      return model.layer(ctx, l, a, x, pass);
    }
    Var layer(NoTape<T>& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const override {
      return model.layer(ctx, l, a, x, pass);
    }
    void reset_parameters(std::uint64_t seed) override { model.reset_parameters(seed); }

    M model;
  };

 public:
  using Scalar = T;

  template <class M>
    requires(!std::same_as<M, AnyModel> && Model<M> && std::same_as<typename M::Scalar, T>)
  AnyModel(M model)  // NOLINT(google-explicit-constructor): any model is one
      : held_(std::make_unique<Holder<M>>(std::move(model))) {}

  ParameterBlock<T>& parameters() { return held_->parameters(); }
  const ParameterBlock<T>& parameters() const { return std::as_const(*held_).parameters(); }
  AggregationSpec aggregation() const { return held_->aggregation(); }
  std::size_t num_layers() const { return held_->num_layers(); }
  std::size_t in_features() const { return held_->in_features(); }
  std::size_t out_features() const { return held_->out_features(); }
  /// Errors   as the model inside, here and below
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack a, Var x, const Pass& pass) const {
    return held_->forward(ctx, a, x, pass);
  }
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    return held_->layer(ctx, l, a, x, pass);
  }
  void reset_parameters(std::uint64_t seed) { held_->reset_parameters(seed); }

 private:
  std::unique_ptr<Interface> held_;
};

}  // namespace tessera
