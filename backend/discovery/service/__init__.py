"""The search for a station that needs everything: places, states, claims, prices and waits, as one picture.

`board` keeps the picture in the process, `nearby` searches it, `watch` tells of its changes. PostgreSQL decides:
the picture is read from there and read again for each station of which a committed change was told.
"""
