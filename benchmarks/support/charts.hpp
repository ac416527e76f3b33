// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/train/svg_plot.hpp"

namespace tessera::bench {

/// One line of a chart.
struct Line {
  std::string label;
  std::vector<std::pair<double, double>> points;
};

/// Lines over one axis, which starts at 0.
struct Chart {
  std::string caption;
  std::string x_caption;
  std::vector<Line> lines;
};

/// Writes one or two charts side by side as a stand-alone SVG picture.
inline void write_charts(const std::filesystem::path& file, std::string_view title,
                         const std::vector<Chart>& charts) {
  static constexpr std::string_view kColors[] = {"#1f77b4", "#ff7f0e", "#2ca02c",
                                                 "#d62728", "#9467bd", "#8c564b"};
  using tessera::detail::SvgChart;
  const std::string width = SvgChart::number(500 * static_cast<double>(charts.size()), 0);
  std::string out = "<svg xmlns='http://www.w3.org/2000/svg' width='" + width +
                    "' height='400' font-family='system-ui, Helvetica, Arial, sans-serif' font-size='12' "
                    "fill='#222'>\n<rect width='" +
                    width +
                    "' height='400' fill='white'/>\n<text x='20' y='24' font-size='16' font-weight='600'>" +
                    SvgChart::escaped(title) + "</text>\n";
  double left = 70;
  for (const Chart& chart : charts) {
    std::vector<tessera::detail::Curve> curves;
    for (std::size_t k = 0; k < chart.lines.size(); ++k) {
      curves.push_back({chart.lines[k].label, kColors[k % std::size(kColors)], chart.lines[k].points});
    }
    SvgChart(out, left, 62, curves).draw(chart.caption, chart.x_caption);
    left += 490;
  }
  tessera::detail::replace_file(file, out + "</svg>\n");
}

}  // namespace tessera::bench
