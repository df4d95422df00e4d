"""Tests in a real browser; a package, so that a name may occur here and in tests/."""
