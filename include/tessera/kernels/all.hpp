// SPDX-License-Identifier: MIT
#pragma once

// Everything of the kernels layer; written by scripts/make_umbrellas.sh.
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/batch_norm.hpp"
#include "tessera/kernels/binary_cross_entropy.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/kernels/cross_entropy.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/edge_ranges.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/epilogue.hpp"
#include "tessera/kernels/epilogue_apply.hpp"
#include "tessera/kernels/gemm.hpp"
#include "tessera/kernels/layer_norm.hpp"
#include "tessera/kernels/loss_sum.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/kernels/sddmm.hpp"
#include "tessera/kernels/segment_softmax.hpp"
#include "tessera/kernels/softmax.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/kernels/spmm_max.hpp"
