// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/train/detail/replace_file.hpp"
#include "tessera/train/metrics.hpp"
#include "tessera/train/records.hpp"

namespace tessera {

/// What to draw: the epochs, and what to call things.
struct CurvePlot {
  std::span<const EpochRecord> history;
  std::string title = {};
  std::string_view metric = "metric";
  std::uint64_t best_epoch = 0;  ///< marked where `mark_best`
  bool mark_best = false;
};

namespace detail {

/// One line of a chart, in data coordinates.
struct Curve {
  std::string_view label;
  std::string_view color;
  std::vector<std::pair<double, double>> points;
};

/// A chart with axes: maps data to pixels and writes SVG elements.
class SvgChart {
 public:
  SvgChart(std::string& out, double left, double top, std::span<const Curve> curves)
      : out_(out), left_(left), top_(top), curves_(curves) {
    find_ranges();
  }

  void draw(std::string_view caption, std::string_view x_caption = "epoch") {
    text(left_, top_ - 10, "start", caption, "font-weight='600'");
    draw_axes(x_caption);
    for (const Curve& curve : curves_) draw_curve(curve);
    draw_legend();
  }

  void mark(double x_value, std::string_view label) {
    const double px = x(x_value);
    line(px, top_, px, top_ + kHeight, "stroke='#888' stroke-dasharray='4 3'");
    const bool right_half = px > left_ + kWidth / 2;
    text(px + (right_half ? -5 : 5), top_ - 4, right_half ? "end" : "start", label, "fill='#666'");
  }

  static constexpr double kWidth = 400;
  static constexpr double kHeight = 250;

 private:
  void find_ranges() {
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (const Curve& curve : curves_) {
      for (const auto& [px, py] : curve.points) {
        x_max_ = std::max(x_max_, px);
        low = std::min(low, py);
        high = std::max(high, py);
      }
    }
    if (!(low <= high)) low = 0, high = 1;
    if (high - low < 1e-12 * std::max(1.0, std::abs(high))) low -= 0.5, high += 0.5;
    y_step_ = nice_step((high - low) / 5);
    y_min_ = std::floor(low / y_step_) * y_step_;
    y_max_ = std::ceil(high / y_step_) * y_step_;
    x_step_ = std::max(1.0, nice_step(x_max_ / 6));
  }

  /// The smallest of 1, 2, 5 x 10^k that is at least `rough`.
  static double nice_step(double rough) {
    if (!(rough > 0)) return 1;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    for (const double m : {1.0, 2.0, 5.0}) {
      if (m * power >= rough * (1 - 1e-9)) return m * power;
    }
    return 10 * power;
  }

  double x(double value) const { return left_ + value / std::max(1.0, x_max_) * kWidth; }
  double y(double value) const { return top_ + kHeight - (value - y_min_) / (y_max_ - y_min_) * kHeight; }

  void draw_axes(std::string_view x_caption) {
    const int decimals = std::clamp(static_cast<int>(-std::floor(std::log10(y_step_))), 0, 9);
    const auto steps = static_cast<int>(std::lround((y_max_ - y_min_) / y_step_));
    for (int k = 0; k <= steps; ++k) {
      const double value = y_min_ + k * y_step_;
      line(left_, y(value), left_ + kWidth, y(value), "stroke='#e4e4e4'");
      text(left_ - 7, y(value) + 4, "end", number(value, decimals));
    }
    for (double value = 0; value <= x_max_ + 0.5; value += x_step_) {
      line(x(value), top_ + kHeight, x(value), top_ + kHeight + 5, "stroke='#333'");
      text(x(value), top_ + kHeight + 19, "middle", number(value, 0));
    }
    line(left_, top_ + kHeight, left_ + kWidth, top_ + kHeight, "stroke='#333'");
    line(left_, top_, left_, top_ + kHeight, "stroke='#333'");
    text(left_ + kWidth / 2, top_ + kHeight + 38, "middle", x_caption);
  }

  void draw_curve(const Curve& curve) {
    if (curve.points.empty()) return;
    if (curve.points.size() == 1) {
      out_ += "<circle cx='" + number(x(curve.points[0].first), 1) + "' cy='" +
              number(y(curve.points[0].second), 1) + "' r='3' fill='" + std::string(curve.color) + "'/>\n";
      return;
    }
    out_ += "<polyline fill='none' stroke-width='1.8' stroke-linejoin='round' stroke='" +
            std::string(curve.color) + "' points='";
    for (const auto& [px, py] : curve.points) out_ += number(x(px), 1) + "," + number(y(py), 1) + " ";
    out_ += "'/>\n";
  }

  void draw_legend() {
    double at = left_ + 4;
    for (const Curve& curve : curves_) {
      if (curve.points.empty()) continue;
      const double py = top_ + kHeight + 58;
      line(at, py - 4, at + 20, py - 4, "stroke-width='3' stroke='" + std::string(curve.color) + "'");
      text(at + 26, py, "start", curve.label);
      at += 44 + 7.2 * static_cast<double>(curve.label.size());
    }
  }

  void line(double x1, double y1, double x2, double y2, std::string_view style) {
    out_ += "<line x1='" + number(x1, 1) + "' y1='" + number(y1, 1) + "' x2='" + number(x2, 1) + "' y2='" +
            number(y2, 1) + "' " + std::string(style) + "/>\n";
  }
  void text(double px, double py, std::string_view anchor, std::string_view words,
            std::string_view style = "") {
    out_ += "<text x='" + number(px, 1) + "' y='" + number(py, 1) + "' text-anchor='" + std::string(anchor) +
            "' " + std::string(style) + ">" + escaped(words) + "</text>\n";
  }

 public:
  static std::string number(double value, int decimals) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", decimals, value == 0 ? 0.0 : value);
    return text;
  }
  static std::string escaped(std::string_view words) {
    std::string out;
    for (const char c : words) {
      if (c == '&') {
        out += "&amp;";
      } else if (c == '<') {
        out += "&lt;";
      } else if (c == '>') {
        out += "&gt;";
      } else if (static_cast<unsigned char>(c) >= 0x20) {
        out += c;
      }
    }
    return out;
  }

 private:
  std::string& out_;
  double left_, top_;
  std::span<const Curve> curves_;
  double x_max_ = 0, x_step_ = 1;
  double y_min_ = 0, y_max_ = 1, y_step_ = 1;
};

}  // namespace detail

/// Losses and metrics over epochs as two charts in one stand-alone SVG picture.
///
/// Numbers that are not finite are left out.
inline std::string to_svg(const CurvePlot& plot) {
  std::vector<detail::Curve> loss{{"train", "#1f77b4", {}}, {"validation", "#ff7f0e", {}}};
  std::vector<detail::Curve> metric{
      {"train", "#1f77b4", {}}, {"validation", "#ff7f0e", {}}, {"test", "#2ca02c", {}}};
  const auto add = [](detail::Curve& curve, std::uint64_t epoch, double value) {
    if (std::isfinite(value)) curve.points.emplace_back(static_cast<double>(epoch), value);
  };
  for (const EpochRecord& r : plot.history) {
    add(loss[0], r.epoch, r.train_loss);
    if (!r.evaluated) continue;
    const Evaluation& e = r.evaluation;
    if (e.val.count > 0) add(loss[1], r.epoch, e.val.loss);
    if (e.train.count > 0) add(metric[0], r.epoch, e.train.metric);
    if (e.val.count > 0) add(metric[1], r.epoch, e.val.metric);
    if (e.test.count > 0) add(metric[2], r.epoch, e.test.metric);
  }
  std::string out =
      "<svg xmlns='http://www.w3.org/2000/svg' width='1000' height='400' viewBox='0 0 1000 400' "
      "font-family='system-ui, Helvetica, Arial, sans-serif' font-size='12' fill='#222'>\n"
      "<rect width='1000' height='400' fill='white'/>\n";
  out += "<text x='500' y='24' text-anchor='middle' font-size='16' font-weight='600'>" +
         detail::SvgChart::escaped(plot.title) + "</text>\n";
  detail::SvgChart left(out, 70, 62, loss);
  left.draw("loss");
  detail::SvgChart right(out, 560, 62, metric);
  right.draw(plot.metric);
  if (plot.mark_best) {
    left.mark(static_cast<double>(plot.best_epoch), "kept");
    right.mark(static_cast<double>(plot.best_epoch), "kept");
  }
  return out + "</svg>\n";
}

/// A hook that writes the curves of a finished run to a file, whole or not at all.
///
/// Errors   FormatError GEN-04 if the file cannot be written
class SvgPlot {
 public:
  explicit SvgPlot(std::filesystem::path file, std::string title = {})
      : file_(std::move(file)), title_(std::move(title)) {}

  template <class Run>
  void on_fit_end(const Run& run, const FitReport& report) const {
    detail::replace_file(file_, to_svg({.history = report.history,
                                        .title = title_,
                                        .metric = name(run.metric()),
                                        .best_epoch = report.best_epoch,
                                        .mark_best = report.best_epoch + 1 != report.epochs}));
  }

 private:
  std::filesystem::path file_;
  std::string title_;
};

}  // namespace tessera
