// SPDX-License-Identifier: MIT
#pragma once

// Everything of the distill layer; written by scripts/make_umbrellas.sh.
#include "tessera/distill/attention_transfer.hpp"
#include "tessera/distill/authors_split.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/cpf.hpp"
#include "tessera/distill/distill.hpp"
#include "tessera/distill/fit_ltd.hpp"
#include "tessera/distill/fitnet.hpp"
#include "tessera/distill/gcrd.hpp"
#include "tessera/distill/glnn.hpp"
#include "tessera/distill/gsp.hpp"
#include "tessera/distill/heuristic_temperature.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/lsp.hpp"
#include "tessera/distill/ltd_step.hpp"
#include "tessera/distill/run_teacher.hpp"
#include "tessera/distill/soft_target.hpp"
#include "tessera/distill/tapped_model.hpp"
#include "tessera/distill/task_loss.hpp"
#include "tessera/distill/teacher_outputs.hpp"
#include "tessera/distill/temperature_net.hpp"
