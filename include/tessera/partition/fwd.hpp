// SPDX-License-Identifier: MIT
#pragma once

namespace tessera {

enum class PartitionEffort;
struct Partition;
struct PartitionOptions;
struct PartitionMetrics;
class MultilevelPartitioner;
class RandomPartitioner;
class ContiguousPartitioner;
class StreamingPartitioner;

}  // namespace tessera
