# SPDX-License-Identifier: MIT
"""The parts of benchmarks/run_suite."""
