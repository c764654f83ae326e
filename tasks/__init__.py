"""
Programs on top of the package: Sacred experiments, one folder per paper beside the training that all of them use.

`train.py` trains with every trainer; `experiment.py`, `config_keys.py`, `provenance.py` and the files of JSON and results
are what the programs share. Nothing in `trl_ext` imports from here.
"""
