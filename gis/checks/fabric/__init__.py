"""A fabric: polygons that should cover the ground without overlap or gap, each edge shared exactly.

Everything starts from the *free* edges: those that are not, vertex for vertex, the edge of exactly one
neighbour on the other side. In a sound fabric only edges on streets are free. Because the number of
polygons above a place changes only across free edges, every overlap, gap, T-vertex and nearly equal vertex
has a free edge at it; or, inside two layers of polygons that lie on each other, an interior point covered
twice. So the sound majority costs a few sorts in numpy, and exact work is done near suspects only.
(GEOS' coverage_invalid_edges finds much of the same, but took 15 us a parcel where this takes 6, reads a
large neighbour anew for each small one, and misses gaps between edges shorter than the gap width.)
"""
