"""Measurements of PersonaLoop against its peers and against the floor: `make bench`.

Every number comes from one interleaved run on this machine; what cannot be measured is said and
never printed as a number. Nothing of the product imports this room.
"""
