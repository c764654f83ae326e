"""The files of the original RATE code, read and written."""
