"""Ratings that were published, in any layout, and the names under which models are known there."""
