// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/int4_codes.hpp"
#include "tessera/quant/int8_model.hpp"

// An integer model as one safetensors file. The reader and writer come as template arguments, because io and quant do
// not know each other:
//
//     save_int8<io::SafetensorsWriter>(model, "model.safetensors");
//     const Int8Model again = load_int8<io::SafetensorsFile>("model.safetensors");

namespace tessera {

/// The version of the layout below.
inline constexpr const char* kInt8FileVersion = "1";

namespace detail {

constexpr std::array<Int8Kind, 6> kInt8Kinds = {Int8Kind::gcn,  Int8Kind::gcn_aggregate_first,
                                                Int8Kind::sage, Int8Kind::sage_transform_first,
                                                Int8Kind::gin,  Int8Kind::gat};
constexpr std::array<std::string_view, 3> kActivationNames = {"none", "relu", "elu"};

/// What a writer borrows until it has written.
struct Int8FileBuffers {
  std::deque<Tensor<std::int8_t>> codes;
  std::deque<Tensor<std::uint8_t>> packed;
  std::deque<std::vector<float>> floats;
  std::deque<std::vector<std::int32_t>> ints;
};

template <class Writer>
class Int8FileWriter {
 public:
  explicit Int8FileWriter(Writer& out) : out_(out) {}

  void layer(const Int8Layer& l, const std::string& at) {
    out_.metadata(at + ".kind", std::string(name(l.kind)));
    out_.metadata(at + ".activation", std::string(kActivationNames[static_cast<std::size_t>(l.activation)]));
    out_.metadata(at + ".maps", message(l.maps.size()));
    std::vector<float> scale;
    std::vector<std::int32_t> range;
    for (const Int8Quantizer& q : l.codes) {
      scale.push_back(q.scale);
      range.insert(range.end(), {q.range.zero_point, q.range.qmin, q.range.qmax});
    }
    floats(at + ".codes.scale", std::move(scale));
    ints(at + ".codes.range", std::move(range));
    for (std::size_t k = 0; k < l.maps.size(); ++k) map(l.maps[k], message(at, ".maps.", k));
    if (l.kind == Int8Kind::gin) floats(at + ".own", {l.own});
    if (l.kind != Int8Kind::gat) return;
    ints(at + ".heads", {static_cast<std::int32_t>(l.heads), l.concat ? 1 : 0});
    floats(at + ".slope", {l.slope});
    out_.template add<std::int8_t>(at + ".attention", l.attention.span(), {2, l.attention.size() / 2});
    floats(at + ".attention.scale", {l.attention_scale[0], l.attention_scale[1]});
    out_.template add<float>(at + ".bias", l.bias.span());
  }

 private:
  void map(const Int8Map& m, const std::string& at) {
    Tensor<std::int8_t>& codes = own_.codes.emplace_back(m.weights.depth(), m.weights.cols());
    bool small = true;
    for (std::size_t k = 0; k < codes.rows(); ++k) {
      for (std::size_t j = 0; j < codes.cols(); ++j) {
        codes(k, j) = m.weights.code(k, j);
        small = small && codes(k, j) >= -8 && codes(k, j) <= 7;
      }
    }
    if (small) {
      Tensor<std::uint8_t>& packed = own_.packed.emplace_back(codes.rows(), int4_row_bytes(codes.cols()));
      pack_int4<std::int8_t>(codes, packed);
      out_.template add<std::uint8_t>(at + ".weight4", MatrixView<const std::uint8_t>(packed));
    } else {
      out_.template add<std::int8_t>(at + ".weight", MatrixView<const std::int8_t>(codes));
    }
    ints(at + ".zero_point", {m.weights.zero_point()});
    out_.template add<float>(at + ".scale", m.scale.span());
    out_.template add<float>(at + ".bias", m.bias.span());
  }
  void floats(std::string name_of, std::vector<float> values) {
    const std::vector<float>& kept = own_.floats.emplace_back(std::move(values));
    out_.template add<float>(std::move(name_of), std::span<const float>(kept));
  }
  void ints(std::string name_of, std::vector<std::int32_t> values) {
    const std::vector<std::int32_t>& kept = own_.ints.emplace_back(std::move(values));
    out_.template add<std::int32_t>(std::move(name_of), std::span<const std::int32_t>(kept));
  }

  Writer& out_;
  Int8FileBuffers own_;
};

template <class File>
class Int8FileReader {
 public:
  explicit Int8FileReader(const File& file) : file_(file) {
    if (note("format") != "tessera-int8" || note("version") != kInt8FileVersion) {
      fail("is not an integer model of version ", kInt8FileVersion, " (format \"", note("format"),
           "\", version \"", note("version"), "\")");
    }
    if (note("placement") != "fused") fail("has the placement \"", note("placement"), "\", want fused");
  }

  std::size_t layers() const { return count("layers"); }

  Int8Layer layer(const std::string& at) const {
    Int8Layer l;
    const std::string kind = note(at + ".kind");
    const auto found =
        std::find_if(kInt8Kinds.begin(), kInt8Kinds.end(), [&](Int8Kind k) { return name(k) == kind; });
    if (found == kInt8Kinds.end()) fail("has \"", kind, "\" for \"", at, ".kind\", which is no layer");
    l.kind = *found;
    const std::string activates = note(at + ".activation");
    const auto activation = std::find(kActivationNames.begin(), kActivationNames.end(), activates);
    if (activation == kActivationNames.end())
      fail("has \"", activates, "\" for \"", at, ".activation\", want none, relu or elu");
    l.activation = static_cast<Activation>(activation - kActivationNames.begin());
    const auto scale = file_.template values<float>(at + ".codes.scale");
    const auto range = numbers(at + ".codes.range", 3 * scale.size());
    for (std::size_t k = 0; k < scale.size(); ++k) {
      l.codes.push_back({scale[k], {range[3 * k], range[3 * k + 1], range[3 * k + 2]}});
    }
    for (std::size_t k = 0, n = count(at + ".maps"); k < n; ++k)
      l.maps.push_back(map(message(at, ".maps.", k)));
    if (l.kind == Int8Kind::gin) l.own = reals(at + ".own", 1)[0];
    if (l.kind == Int8Kind::gat) {
      const auto heads = numbers(at + ".heads", 2);
      l.heads = static_cast<std::size_t>(std::max(heads[0], 0));
      l.concat = heads[1] != 0;
      l.slope = reals(at + ".slope", 1)[0];
      l.attention = file_.template values<std::int8_t>(at + ".attention");
      const auto scales = reals(at + ".attention.scale", 2);
      l.attention_scale[0] = scales[0];
      l.attention_scale[1] = scales[1];
      l.bias = file_.template values<float>(at + ".bias");
    }
    return l;
  }

 private:
  Int8Map map(const std::string& at) const {
    Int8Map m;
    m.scale = file_.template values<float>(at + ".scale");
    const std::size_t cols = m.scale.size();
    const bool packed = file_.find(at + ".weight4") != nullptr;
    const auto* const entry = file_.find(at + (packed ? ".weight4" : ".weight"));
    if (entry == nullptr) fail("there is no tensor \"", at, ".weight\"");
    if (entry->shape.size() != 2 || entry->shape[1] != (packed ? int4_row_bytes(cols) : cols)) {
      fail("tensor \"", at, ".weight\" does not have a column for each of ", cols, " scales");
    }
    const auto rows = static_cast<std::size_t>(entry->shape[0]);
    Tensor<std::int8_t> codes(rows, cols);
    if (packed) {
      const auto bytes = file_.template values<std::uint8_t>(at + ".weight4");
      const std::size_t width = int4_row_bytes(cols);
      unpack_int4<std::int8_t>(MatrixView<const std::uint8_t>(bytes.data(), rows, width), codes);
    } else {
      const auto bytes = file_.template values<std::int8_t>(at + ".weight");
      for (std::size_t k = 0; k < rows; ++k) std::copy_n(bytes.data() + k * cols, cols, codes.row(k).data());
    }
    m.weights = Int8Weights(codes.view(), numbers(at + ".zero_point", 1)[0]);
    m.bias = file_.template values<float>(at + ".bias");
    return m;
  }
  auto numbers(const std::string& at, std::size_t size) const {
    Array<std::int32_t> out(size);
    file_.template copy_to<std::int32_t>(at, out.span());
    return out;
  }
  auto reals(const std::string& at, std::size_t size) const {
    Array<float> out(size);
    file_.template copy_to<float>(at, out.span());
    return out;
  }
  std::string note(const std::string& key) const {
    const auto at = file_.metadata().find(key);
    return at == file_.metadata().end() ? std::string() : at->second;
  }
  std::size_t count(const std::string& key) const {
    const std::string text = note(key);
    if (text.empty() || text.size() > 4 || text.find_first_not_of("0123456789") != std::string::npos) {
      fail("has the number \"", text, "\" for \"", key, "\"");
    }
    return static_cast<std::size_t>(std::stoul(text));
  }
  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    file_.place().fail("STF-03", parts...);
  }

  const File& file_;
};

}  // namespace detail

/// Writes a model: codes, scales, zero points, biases, kinds. Weights whose codes all fit four bits are packed.
///
/// Errors   those of the writer
template <class Writer>
void save_int8(const Int8Model& model, const std::filesystem::path& path) {
  Writer out;
  detail::Int8FileWriter<Writer> to(out);
  out.metadata("format", "tessera-int8");
  out.metadata("version", kInt8FileVersion);
  out.metadata("placement", "fused");
  out.metadata("layers", message(model.num_layers()));
  for (std::size_t l = 0; l < model.num_layers(); ++l) to.layer(model.layer(l), message("layers.", l));
  out.write(path);
}

/// Reads what save_int8 wrote.
///
/// Errors   FormatError naming the tensor or note that is missing or does not fit; ConfigError for scales that are not
///          positive, layers that do not fit each other
template <class File>
Int8Model load_int8(const File& file) {
  const detail::Int8FileReader<File> from(file);
  std::vector<Int8Layer> layers;
  for (std::size_t l = 0, n = from.layers(); l < n; ++l) layers.push_back(from.layer(message("layers.", l)));
  return Int8Model(std::move(layers));
}
template <class File>
Int8Model load_int8(const std::filesystem::path& path) {
  return load_int8(File(path));
}

}  // namespace tessera
