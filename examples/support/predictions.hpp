// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>

#include "tessera/core/matrix_view.hpp"

namespace examples {

/// Whether predictions can be written under this name: .npy or .csv.
bool is_table_name(const std::string& name);

/// Whether a checkpoint holds the weights of its best epoch beside the last.
bool has_best_weights(const std::filesystem::path& file);

/// Writes scores row by row as they are formatted, a bar on stderr meanwhile: .npy holds all of them, .csv node, class
/// and score of the class (with several labels, every class with a score of at least 0).
///
/// Errors   FormatError if the file cannot be written; then an older one is as it was
void write_predictions(const std::string& name, tessera::MatrixView<const float> logits, bool multilabel,
                       bool quiet);

}  // namespace examples
