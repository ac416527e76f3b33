// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/npz_write.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera::io {

namespace detail {

/// PyTorch stores the weight of a linear layer as [F_out, F_in]; ours is [F_in, F_out]. GCN2's weights are called
/// weight1 and weight2 there and stay as they are.
inline bool is_transposed(const ParameterInfo& info) noexcept {
  return info.rows > 1 && (info.name == "weight" || info.name.ends_with(".weight"));
}

/// The shape a parameter has in a state_dict; vectors have one extent.
inline std::vector<std::uint64_t> state_dict_shape(const ParameterInfo& info) {
  if (info.rows == 1) return {info.cols};
  if (is_transposed(info)) return {info.cols, info.rows};
  return {info.rows, info.cols};
}

}  // namespace detail

/// Writes a model's weights as a .npz file with the names and shapes of PyTorch's state_dict.
///
///     model.load_state_dict({k: torch.from_numpy(v) for k, v in numpy.load("model.npz").items()})
///
/// Attention vectors are written flat, [H F], where PyTorch Geometric has [1, H, F].
/// Shapes   weights of linear layers are transposed to [F_out, F_in]; vectors have one extent
/// Errors   FormatError GEN-01, GEN-04
template <Real T>
void save_npz(const std::filesystem::path& file, const ParameterBlock<T>& block) {
  NpzWriter out(file);
  Array<T> turned;
  for (const ParameterInfo& info : block.parameters()) {
    const std::span<const T> values = block.values().subspan(info.offset, info.size());
    const std::vector<std::uint64_t> shape = detail::state_dict_shape(info);
    if (!detail::is_transposed(info)) {
      out.add(info.name, values, std::span<const std::uint64_t>(shape));
      continue;
    }
    turned.resize(info.size());
    for (std::size_t i = 0; i < info.rows; ++i) {
      for (std::size_t j = 0; j < info.cols; ++j) turned[j * info.rows + i] = values[i * info.cols + j];
    }
    out.add(info.name, std::as_const(turned).span(), std::span<const std::uint64_t>(shape));
  }
  out.commit();
}

/// Reads weights from a .npz file a state_dict was saved to: numpy.savez(path, **{k: v.numpy() ...}).
///
/// Names must agree exactly; `num_batches_tracked`, which nothing here counts, is passed over. A vector may have
/// any shape with one extent above 1.
/// Errors   ConfigError naming every missing, unexpected and misshapen tensor, then nothing is changed;
///          FormatError for a damaged file
template <Real T>
void load_npz(const std::filesystem::path& file, ParameterBlock<T>& block) {
  const NpzFile stored(file);
  std::string faults;
  const auto fault = [&](const auto&... parts) { faults += message(faults.empty() ? "" : "; ", parts...); };
  std::vector<NpyArray> arrays;
  for (const ParameterInfo& info : block.parameters()) {
    if (!stored.has(info.name)) {
      fault("missing ", info.name);
      arrays.emplace_back();
      continue;
    }
    arrays.push_back(stored.read(info.name));
    const NpyArray& array = arrays.back();
    const std::vector<std::uint64_t> want = detail::state_dict_shape(info);
    std::vector<std::uint64_t> got;
    std::size_t wide = 0;
    for (std::size_t d = 0; d < array.rank(); ++d) {
      got.push_back(array.dim(d));
      wide += array.dim(d) > 1 ? 1u : 0u;
    }
    const bool flat = want.size() == 1 && array.size() == want[0] && (wide <= 1 || array.dim(0) == 1);
    if (got != want && !flat) fault(info.name, " is ", shape_text(got), ", want ", shape_text(want));
  }
  for (const std::string& key : stored.keys()) {
    const auto known = [&](const ParameterInfo& info) { return info.name == key; };
    if (std::none_of(block.parameters().begin(), block.parameters().end(), known) &&
        !key.ends_with("num_batches_tracked"))
      fault("unexpected ", key);
  }
  if (!faults.empty())
    throw ConfigError(message("load_npz: ", file.string(), " does not fit the model: ", faults));
  for (std::size_t k = 0; k < arrays.size(); ++k) {
    const ParameterInfo& info = block.parameters()[k];
    const Array<float> values = to_floats(arrays[k]);
    const std::span<T> to = block.values().subspan(info.offset, info.size());
    const bool turn = detail::is_transposed(info);
    for (std::size_t i = 0; i < info.rows; ++i) {
      for (std::size_t j = 0; j < info.cols; ++j)
        to[i * info.cols + j] = static_cast<T>(turn ? values[j * info.rows + i] : values[i * info.cols + j]);
    }
  }
}

}  // namespace tessera::io
