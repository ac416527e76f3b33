// SPDX-License-Identifier: MIT
#pragma once

// Everything of the train layer; written by scripts/make_umbrellas.sh.
#include "tessera/train/batch_inputs.hpp"
#include "tessera/train/concepts.hpp"
#include "tessera/train/console_progress.hpp"
#include "tessera/train/early_stopping.hpp"
#include "tessera/train/evaluate.hpp"
#include "tessera/train/fit_run.hpp"
#include "tessera/train/infer.hpp"
#include "tessera/train/infer_graphs.hpp"
#include "tessera/train/inline_loader.hpp"
#include "tessera/train/json_writer.hpp"
#include "tessera/train/jsonl_log.hpp"
#include "tessera/train/metrics.hpp"
#include "tessera/train/records.hpp"
#include "tessera/train/report.hpp"
#include "tessera/train/roc_auc.hpp"
#include "tessera/train/role_targets.hpp"
#include "tessera/train/svg_plot.hpp"
#include "tessera/train/system_info.hpp"
#include "tessera/train/trainer.hpp"
