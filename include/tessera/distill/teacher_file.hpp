// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "tessera/core/bf16.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/teacher_outputs.hpp"

namespace tessera {

/// Adds a teacher's matrices to a file of named tensors, as they are kept (float or bf16), with the number of their
/// graph beside them. They are borrowed until the file is written.
///
///     io::SafetensorsWriter out;
///     add_teacher(teacher, out);
///     out.write("teacher.safetensors");
template <class Writer>
void add_teacher(const TeacherOutputs& teacher, Writer& out) {
  teacher.visit([&](std::string_view name, const auto& x) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(x)>, std::uint64_t>) {
      out.metadata("teacher." + std::string(name), std::to_string(x));
    } else {
      out.add("teacher." + std::string(name), x);
    }
  });
}

namespace detail {

/// A matrix of a file, seen in place; copied where its bytes are not aligned.
template <class X, class File>
MatrixView<const X> matrix_of(const File& file, std::string_view name, std::shared_ptr<Tensor<X>>& copy) {
  const auto* entry = file.find(name);
  if (entry == nullptr) return {};
  if (entry->shape.size() != 2)
    throw ConfigError(message("open_teacher: ", name, " has ", entry->shape.size(), " extents, want 2"));
  const auto rows = static_cast<std::size_t>(entry->shape[0]);
  const auto cols = static_cast<std::size_t>(entry->shape[1]);
  const std::byte* at = file.bytes(*entry).data();
  if (reinterpret_cast<std::uintptr_t>(at) % alignof(X) == 0)
    return {reinterpret_cast<const X*>(at), rows, cols};
  copy = std::make_shared<Tensor<X>>(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    std::memcpy(copy->row(i).data(), at + i * cols * sizeof(X), cols * sizeof(X));
  }
  return std::as_const(*copy).view();
}

/// What keeps the numbers of an opened teacher alive.
template <class X, class File>
struct OpenTeacher {
  std::shared_ptr<const File> file;
  std::shared_ptr<Tensor<X>> logits;
  std::shared_ptr<Tensor<X>> hidden;
};

template <class X, class File>
TeacherOutputs borrow_teacher(std::shared_ptr<const File> file, std::uint64_t graph) {
  auto owner = std::make_shared<OpenTeacher<X, File>>();
  const MatrixView<const X> logits = matrix_of<X>(*file, "teacher.logits", owner->logits);
  const MatrixView<const X> hidden = matrix_of<X>(*file, "teacher.hidden", owner->hidden);
  owner->file = std::move(file);
  return TeacherOutputs::borrow<X>(logits, hidden, graph, std::move(owner));
}

}  // namespace detail

/// The teacher of a file that `add_teacher` filled; its matrices stay in the mapped file.
///
///     TeacherOutputs teacher = open_teacher(std::make_shared<const io::SafetensorsFile>("teacher.safetensors"));
///
/// Cost     one pass over the numbers, which must be finite
/// Errors   ConfigError if the file holds no teacher, matrices of another type, or a number that is not finite; what
///          the file throws when it is opened damaged or truncated
template <class File>
TeacherOutputs open_teacher(std::shared_ptr<const File> file) {
  const auto* logits = file->find("teacher.logits");
  const auto graph = file->metadata().find("teacher.graph");
  if (logits == nullptr || graph == file->metadata().end())
    throw ConfigError("open_teacher: the file holds no teacher; add_teacher fills one");
  const auto* hidden = file->find("teacher.hidden");
  if ((logits->dtype != "F32" && logits->dtype != "BF16") || (hidden && hidden->dtype != logits->dtype)) {
    throw ConfigError(message("open_teacher: logits are of type ", logits->dtype,
                              ", want F32 or BF16 for logits and hidden rows alike"));
  }
  std::uint64_t key = 0;
  const char* const last = graph->second.data() + graph->second.size();
  const auto [end, error] = std::from_chars(graph->second.data(), last, key);
  if (error != std::errc() || end != last) {
    throw ConfigError(message("open_teacher: the number of the graph is \"", graph->second.substr(0, 30),
                              "\", want an integer below 2^64"));
  }
  return logits->dtype == "F32" ? detail::borrow_teacher<float>(std::move(file), key)
                                : detail::borrow_teacher<bf16>(std::move(file), key);
}

}  // namespace tessera
