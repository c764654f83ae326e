"""Preference pairs that calibrate a reward model, and what a calibration does beside what it is for."""
