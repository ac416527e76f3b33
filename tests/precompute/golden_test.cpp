// SPDX-License-Identifier: MIT
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/golden.hpp"
#include "support/precompute_cases.hpp"
#include "tessera/precompute/correct_and_smooth.hpp"
#include "tessera/precompute/label_propagation.hpp"

// What PyTorch Geometric computes in double (tests/golden/make_precompute_golden.py).
namespace {

using namespace tessera;
using namespace tessera::testing;

class Golden : public GoldenFile {
 public:
  Golden() : GoldenFile("precompute.npz") {}

  template <class T>
  Matrix matrix(const std::string& name, std::size_t cols) const {
    const std::vector<T> flat = values<T>(name);
    Matrix out(flat.size() / cols, cols);
    for (std::size_t i = 0; i < flat.size(); ++i) out(i / cols, i % cols) = static_cast<double>(flat[i]);
    return out;
  }
  CsrGraph graph() const {
    const std::vector<NodeId> source = ids<std::int32_t>("source");
    const std::vector<NodeId> target = ids<std::int32_t>("target");
    return build_csr(60, {source, target, {}}, {}).graph;
  }
  std::vector<NodeId> train() const { return ids<std::int32_t>("train"); }
};

// Sums of at most 20 terms of order 1 in double, up to 100 of them after another; a scale of the autoscale step
// divides by what may be small.
constexpr double kTolerance = 1e-12;
constexpr double kScaled = 1e-10;

}  // namespace

TEST_CASE("golden: powers of operators", "[golden]") {
  const Golden golden;
  const CsrGraph graph = golden.graph();
  const Matrix x = golden.matrix<float>("x", 5);
  const auto powers = [&](OperatorKind kind, int k) {
    const PropagationOperator op(graph, {.kind = kind});
    Matrix out = Matrix::copy_of(x.view());
    for (; k > 0; --k) out = apply(op, out);
    return out;
  };
  CHECK(max_difference(powers(OperatorKind::gcn, 2), golden.matrix<double>("gcn_2", 5)) < kTolerance);
  CHECK(max_difference(powers(OperatorKind::improved, 2), golden.matrix<double>("improved_2", 5)) <
        kTolerance);
  CHECK(max_difference(powers(OperatorKind::symmetric, 3), golden.matrix<double>("symmetric_3", 5)) <
        kTolerance);
}

TEST_CASE("golden: label propagation and correct and smooth", "[golden]") {
  const Golden golden;
  const CsrGraph graph = golden.graph();
  const PropagationOperator op(graph, {.kind = OperatorKind::symmetric});
  const std::vector<std::int32_t> classes = golden.values<std::int32_t>("y");
  const std::vector<NodeId> train = golden.train();
  CHECK(max_difference(label_propagation<double>(op, classes, train, 4, {.alpha = 0.9, .iterations = 30}),
                       golden.matrix<double>("label_propagation", 4)) < kTolerance);
  const Matrix soft = golden.matrix<double>("soft", 4);
  const CorrectOptions automatic{.alpha = 0.87};
  const CorrectOptions fixed{.scaling = ResidualScale::fixed, .scale = 1.5};
  for (const auto& [name, options] : {std::pair{"auto", automatic}, {"fixed", fixed}}) {
    const Matrix corrected = correct<double>(op, soft, classes, train, options);
    CHECK(max_difference(corrected, golden.matrix<double>(std::string("corrected_") + name, 4)) < kScaled);
    const Matrix smoothed = smooth<double>(op, corrected, classes, train, {.alpha = 0.81});
    CHECK(max_difference(smoothed, golden.matrix<double>(std::string("smoothed_") + name, 4)) < kScaled);
  }
}
