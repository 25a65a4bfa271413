"""The surgery behind ``graph/convert.py``: a rule for each kind of layer, and what applies them."""
