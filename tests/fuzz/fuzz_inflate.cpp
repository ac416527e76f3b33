// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <vector>

#if defined(TESSERA_HAS_ZLIB)
#include <zlib.h>
#endif

#include "tessera/io/gzip.hpp"
#include "tessera/io/inflate.hpp"

// Any bytes are a deflate stream (or a gzip file: the first byte says) or refused, in pieces of any size. Where zlib is
// there, it must agree.
namespace {

using namespace tessera;

constexpr std::size_t kMost = std::size_t{1} << 17;  // of output

struct Result {
  std::vector<std::byte> out;
  std::size_t rest = 0;
};

template <class Stream>
void drain(Stream& stream, std::size_t piece, std::vector<std::byte>& out) {
  for (std::size_t got = piece; got == piece && out.size() < kMost;) {
    const std::size_t old = out.size();
    out.resize(old + piece);
    got = stream.read(std::span(out).subspan(old));
    out.resize(old + got);
  }
}

std::optional<Result> ours(std::span<const std::byte> in, std::size_t piece, std::size_t chunk) {
  try {
    const io::Place place("fuzz");
    io::detail::Inflater inflater(in, place, chunk);
    Result result;
    drain(inflater, piece, result.out);
    result.rest = inflater.rest().size();
    return result;
  } catch (const FormatError&) {
    return std::nullopt;
  }
}

#if defined(TESSERA_HAS_ZLIB)
std::optional<Result> theirs(std::span<const std::byte> in) {
  z_stream stream{};
  if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK) std::abort();
  static std::vector<std::byte> room(2 * kMost);
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(room.data());
  stream.avail_out = static_cast<uInt>(room.size());
  const int status = ::inflate(&stream, Z_SYNC_FLUSH);
  Result result;
  result.out.assign(room.begin(), room.end() - static_cast<std::ptrdiff_t>(stream.avail_out));
  result.rest = stream.avail_in;
  ::inflateEnd(&stream);
  if (status == Z_STREAM_END || result.out.size() >= kMost) return result;
  return std::nullopt;
}
#endif

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto in = std::as_bytes(std::span(data + 2, size - 2));
  const std::size_t piece = data[1] < 200 ? data[1] + std::size_t{1} : std::size_t{data[1]} << 10;
  if ((data[0] & 1) != 0) {
    try {
      io::GzipStream stream(in, io::Place("fuzz"));
      std::vector<std::byte> out;
      drain(stream, piece, out);
    } catch (const FormatError&) {
    }
    return 0;
  }
  const std::optional<Result> a = ours(in, piece, (data[0] & 2) != 0 ? 1000 : 40'000);
#if defined(TESSERA_HAS_ZLIB)
  const std::optional<Result> b = theirs(in);
  if (a && a->out.size() >= kMost) {  // neither was read to its end
    if (!b || !std::equal(a->out.begin(), a->out.begin() + kMost, b->out.begin())) std::abort();
    return 0;
  }
  if (a.has_value() != b.has_value() && !(b && b->out.size() >= kMost)) std::abort();
  if (a && b && (a->out != b->out || a->rest != b->rest)) std::abort();
#endif
  return 0;
}
