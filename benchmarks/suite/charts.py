# SPDX-License-Identifier: MIT
"""Bar charts as SVG, without a library."""
from xml.sax.saxutils import escape

WIDTH, LEFT, BAR, GAP = 760, 260, 18, 8


def bars(title, unit, rows):
    """One bar per (label, value), widths in proportion; None draws no bar."""
    known = [value for _, value in rows if value is not None]
    largest = max(known, default=0) or 1
    height = 48 + len(rows) * (BAR + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="22" font-size="15">{escape(title)}</text>',
    ]
    for i, (label, value) in enumerate(rows):
        y = 38 + i * (BAR + GAP)
        out.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>')
        if value is None:
            out.append(f'<text x="{LEFT}" y="{y + 13}" fill="#888">not run</text>')
            continue
        length = (WIDTH - LEFT - 110) * value / largest
        out.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="#2a6f97"/>')
        out.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{value:.3g} {escape(unit)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
