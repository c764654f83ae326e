"""Versions in records."""

import importlib.metadata

from tasks import provenance


def test_packages_that_may_be_missing_are_left_out(monkeypatch):
    assert {"scipy", "pandas", "numpy"} <= set(provenance.package_versions())
    monkeypatch.setattr(provenance, "OPTIONAL_PACKAGES", ("no-such-package",))
    versions = provenance.package_versions()
    assert "no-such-package" not in versions and versions["scipy"] == importlib.metadata.version("scipy")
