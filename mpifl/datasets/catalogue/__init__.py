"""A catalogue of the federated data sets in the literature.

catalogue.py reads the entries in the YAML files of this folder; check.py compares an import with
them; download.py fetches files; making.py and page.py say how to obtain a data set.
"""
