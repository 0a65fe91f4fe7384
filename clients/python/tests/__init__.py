"""Tests of the package, against the program `sharewarden dev`. `scripts/check` runs them."""
