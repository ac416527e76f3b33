// Includes everything once more: what is not inline or a template would be defined twice.
#include "tessera/tessera.hpp"

std::size_t parameters_seen_by_the_other_file(const tessera::GcnNet<>& model) {
  std::size_t count = 0;
  for (const tessera::ParameterInfo& info : model.parameters().parameters()) count += info.size();
  return count;
}
