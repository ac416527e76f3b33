// SPDX-License-Identifier: MIT
// libFuzzer: any bytes as a pickle, read as an array and as a sparse matrix.
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/io/pickle.hpp"
#include "tessera/io/pickle_arrays.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const auto attempt = [](auto&& read) {
    try {
      read();
    } catch (const Error&) {
    }
  };
  attempt([&] {
    const io::Pickle pickle(std::as_bytes(std::span(data, size)), io::Place("fuzz"));
    attempt([&] {
      const io::PickleArray array = io::pickle_array(pickle, pickle.root());
      array.with_elements([&](auto load) {
        for (std::size_t i = 0; i < array.size(); ++i) load(i);
      });
    });
    attempt([&] { io::pickle_csr(pickle, pickle.root()); });
  });
  return 0;
}
