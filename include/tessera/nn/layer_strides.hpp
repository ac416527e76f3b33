// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/autograd/no_tape.hpp"
#include "tessera/nn/concepts.hpp"

namespace tessera::detail {

/// Row strides of what each layer gives, seen on a node without neighbours.
template <Model M>
Array<std::size_t> layer_strides(const M& model) {
  using T = typename M::Scalar;
  const Array<EdgeId> row_ptr(2, EdgeId{0});
  Adjacency alone;
  alone.forward = {1, 1, row_ptr.span(), {}, {}};
  alone.transpose = alone.forward;
  Array<std::size_t> strides(model.num_layers());
  Tensor<T> row = Tensor<T>::zeros(1, model.in_features());
  NoTape<T> ctx;
  for (std::size_t l = 0; l < strides.size(); ++l) {
    row = ctx.take(model.layer(ctx, l, alone, ctx.input(std::as_const(row).view()), Pass{}));
    ctx.rewind();
    strides[l] = row.stride();
  }
  return strides;
}

}  // namespace tessera::detail
