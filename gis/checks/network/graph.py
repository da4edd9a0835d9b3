"""A network as a graph: ends of lines and point features that coincide are one node.

Whatever is no farther apart than the network's ``cluster_m`` (1 mm), directly or by a chain of others, is
the same place. A node's number and place do not depend on the order or direction of what was read: nodes
are numbered by x, then y, and lie where the first of their members does.

In a window, a node is complete (all its lines and point features are there) if it lies within the window's
box grown by REACH less CHAIN, because layers are read REACH around the window. The far end of a line that
leaves this area is a node, too, but what else is there may be missing: rules decide at nodes that the
window owns, or near them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import shapely

from gis import crs
from gis.checks.features import Bools, Features, Floats, Ints
from gis.checks.model import Application
from gis.checks.network.members import Members, members
from gis.checks.source import EVERYWHERE
from gis.checks.whole import Whole
from gis.checks.window import Need, Window, columns_of
from gis.city import City
from layers.model import NetworkDef
from layers.registry import Catalogue

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

#: How far around a window the network's layers are read, in units of the storage CRS (metres or feet).
REACH = 4.0
#: How far a chain of coinciding members may extend.
CHAIN = 0.1
#: Neighbours within the cluster distance, per place, above which places are thinned out first.
_CROWD = 50
#: Places up to which they are compared one by one.
_FEW = 64


@dataclass(frozen=True)
class Graph:
    """Lines and nodes. An *end* of a line has the number 2 * line (its start) or 2 * line + 1."""

    network: NetworkDef
    lines: Members
    points: Members
    #: Coordinates of all lines' vertices (m, 3; Z is NaN where unknown), line i at offsets[i]:offsets[i + 1].
    vertices: Floats
    offsets: Ints
    #: Places of the nodes (nodes, 2), of the point features (points, 3).
    xy: Floats
    points_xyz: Floats
    #: Nodes of the lines' ends (lines, 2) and of the point features (points).
    nodes_of_lines: Ints
    node_of_point: Ints

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self.xy)

    @property
    def start(self) -> Ints:
        """(lines) node where each line starts."""
        return self.nodes_of_lines[:, 0]

    @property
    def end(self) -> Ints:
        return self.nodes_of_lines[:, 1]

    @cached_property
    def ends_xyz(self) -> Floats:
        """(2 * lines, 3) first and last vertex of each line, by the numbers of ends."""
        at = np.stack([self.offsets[:-1], self.offsets[1:] - 1], axis=1).ravel()
        found: Floats = self.vertices[at]
        return found

    @cached_property
    def node_of_end(self) -> Ints:
        """(2 * lines) the node of each end."""
        return self.nodes_of_lines.ravel()

    @cached_property
    def degree(self) -> Ints:
        """(nodes) how many ends of lines there are; a line that returns to its start counts twice."""
        return np.bincount(self.node_of_end, minlength=len(self))

    @cached_property
    def features_at(self) -> Ints:
        """(nodes) how many point features there are."""
        return np.bincount(self.node_of_point, minlength=len(self))

    @cached_property
    def _ends(self) -> tuple[Ints, Ints]:
        return _grouped(self.node_of_end, self.degree)

    @cached_property
    def _points(self) -> tuple[Ints, Ints]:
        return _grouped(self.node_of_point, self.features_at)

    def ends_at(self, node: int) -> Ints:
        """Numbers of the ends of lines at a node."""
        first, order = self._ends
        return order[first[node] : first[node + 1]]

    def lines_at(self, node: int) -> Ints:
        """Lines that start or end at a node, each once."""
        return np.unique(self.ends_at(node) // 2)

    def points_at(self, node: int) -> Ints:
        """Point features at a node."""
        first, order = self._points
        return order[first[node] : first[node + 1]]

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Spatial index of the lines."""
        return shapely.STRtree(self.lines.geometry)

    @cached_property
    def node_tree(self) -> cKDTree:
        """Spatial index of the nodes."""
        from scipy.spatial import cKDTree

        return cKDTree(self.xy, balanced_tree=False, compact_nodes=False)

    @cached_property
    def ends_in_order(self) -> tuple[Ints, Ints]:
        """``first`` (nodes + 1) and the ends sorted by node: those of node i are first[i]:first[i + 1]."""
        return self._ends

    @cached_property
    def _roles(self) -> dict[str, Bools]:
        return {}

    def points_that_are(self, role: str) -> Bools:
        """(points) chosen by the network's list of that name: ``sources``, ``ends``, ``cuts`` ..."""
        found = self._roles.get(role)
        if found is None:
            found = self._roles[role] = self.points.chosen(getattr(self.network, role))
            found.setflags(write=False)
        return found

    def nodes_that_are(self, role: str) -> Bools:
        """(nodes) where one of the point features is chosen by the network's list of that name."""
        return self.nodes_with(self.points_that_are(role))

    def nodes_with(self, points: Bools) -> Bools:
        """(nodes) where one of these point features is."""
        found: Bools = np.bincount(self.node_of_point[points], minlength=len(self)) > 0
        return found

    @cached_property
    def carrying(self) -> Bools:
        """(lines) those that carry (NetworkDef.carries)."""
        return self.lines.where(self.network.carries)

    @cached_property
    def absent(self) -> Bools:
        """(points) those that are planned or removed (NetworkDef.absent)."""
        return self.points.where(self.network.absent, otherwise=False)


def graph_of(window: Window, app: Application) -> Graph:
    """The graph of the application's network around a window, made once for all rules."""

    def compute() -> Graph:
        network = window.setting.catalogue.networks[app.network]
        return build(network, window.features, network.cluster_m / unit_m(window.setting.city))

    return window.memo(("graph", app.network), compute)


def owned_nodes(window: Window, app: Application) -> Bools:
    """(nodes) those of the graph of the application's network that the window owns."""
    return window.memo(("owned nodes", app.network), lambda: window.owns(graph_of(window, app).xy))


def graph_of_whole(whole: Whole, app: Application, *more: str) -> Graph:
    """The graph of the application's whole network; ``more``: further fields, read from the layers that
    have them. A Whole that is shared keeps it for the next rule."""

    def compute() -> Graph:
        catalogue = whole.setting.catalogue
        network = catalogue.networks[app.network]
        read: dict[str, Features] = {}

        def features(layer: str) -> Features:
            if layer not in read:
                read[layer] = whole.source.features(
                    layer, EVERYWHERE, columns(network, layer, catalogue, *more)
                )
            return read[layer]

        return build(network, features, network.cluster_m / unit_m(whole.setting.city))

    return whole.memo(("graph", app.network, more), compute)


def graph_needs(app: Application, catalogue: Catalogue, *more: str) -> Iterator[Need]:
    """What graph_of reads; ``more``: further fields, read from the layers that have them."""
    network = catalogue.networks[app.network]
    for layer in network.layers:
        yield Need(layer, columns(network, layer, catalogue, *more), REACH)


def joint_needs(app: Application, catalogue: Catalogue, *more: str) -> Iterator[Need]:
    """What decides how the network hangs together: not the sizes and classes of its lines."""
    network = catalogue.networks[app.network]
    for layer in network.layers:
        yield Need(layer, columns(network, layer, catalogue, *more, sizes=False), REACH)


def columns(
    network: NetworkDef, layer: str, catalogue: Catalogue, *more: str, sizes: bool = True
) -> tuple[str, ...]:
    """The fields that the network's definition names of a layer, its status and scale, and ``more``; without
    ``sizes``, those that say how it hangs together."""
    names: list[str | None] = ["status", "source_scale", *more]
    for selectors in network.selectors().values():
        for selector in selectors:
            if selector.layer == layer:
                names += [*selector.where, *selector.unless]
    for fields in (network.carries, network.absent, network.both_ways, network.meshed):
        names += fields
    if sizes:
        names += [*network.steady, network.tier, network.line_class, *network.fills, *network.fills.values()]
    known = catalogue.layers[layer]
    return tuple(name for name in columns_of(names) if known.field(name))


def unit_m(city: City) -> float:
    """Metres in one unit of the storage CRS: tolerances are metres, coordinates may be feet."""
    return float(crs.definition(city.crs.storage).unit_m)


def build(network: NetworkDef, features: Callable[[str], Features], cluster: float) -> Graph:
    """The graph of what ``features(layer)`` gives. ``cluster`` in units of the coordinates.

    Lines and points that are empty or have an infinite coordinate are left out (GEN-02, GEN-08), and so
    are lines of fewer than two vertices; other unsound lines are kept.
    """
    lines, vertices, offsets = _with_a_place(members(network.lines, features))
    points, places, first = _with_a_place(members(network.nodes, features))
    at = np.stack([offsets[:-1], offsets[1:] - 1], axis=1).ravel()
    points_xyz = places[first[:-1]]
    nodes, xy = cluster_places(np.concatenate([vertices[at, :2], points_xyz[:, :2]]), cluster)
    return Graph(
        network,
        lines,
        points,
        vertices,
        offsets,
        xy,
        points_xyz,
        nodes[: len(at)].reshape(-1, 2),
        nodes[len(at) :],
    )


def cluster_places(xy: Floats, distance: float) -> tuple[Ints, Floats]:
    """Number of the cluster of each place (n), and where the clusters are (clusters, 2).

    Places no farther apart than ``distance``, directly or by a chain, are one cluster. It lies at its
    first place in the order of x and y, and clusters are numbered in that order.
    """
    if len(xy) <= _FEW:
        return _few_places(xy.tolist(), distance)
    places, inverse = np.unique(xy[:, 0] + 1j * xy[:, 1], return_inverse=True)
    labels, count = _linked(np.stack([places.real, places.imag], axis=1), distance)
    first = np.full(count, len(places))
    np.minimum.at(first, labels, np.arange(len(places)))
    order = np.argsort(first)
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    at = places[first[order]]
    return rank[labels[inverse]], np.stack([at.real, at.imag], axis=1)


def _few_places(xy: list[list[float]], distance: float) -> tuple[Ints, Floats]:
    """cluster_places of what is around an edit, where arrays and trees take longer than numbers."""
    places = sorted({(x, y) for x, y in xy})
    first = list(range(len(places)))
    for n, (x, y) in enumerate(places):
        for m in range(n + 1, len(places)):
            east, north = places[m][0] - x, places[m][1] - y
            if east > distance:
                break
            # as SciPy's tree compares
            if east * east + north * north <= distance * distance:
                one, other = first[n], first[m]
                if one != other:
                    low, high = min(one, other), max(one, other)
                    first = [low if of == high else of for of in first]
    clusters = {of: number for number, of in enumerate(sorted(set(first)))}
    number = {place: clusters[of] for place, of in zip(places, first, strict=True)}
    numbers = np.array([number[x, y] for x, y in xy], dtype=np.int64)
    return numbers, np.array([places[of] for of in clusters], dtype=np.float64).reshape(-1, 2)


def _linked(places: Floats, distance: float) -> tuple[Ints, int]:
    """Label of each of the different places, and how many labels there are."""
    # SciPy is imported where it is used: server processes know networks from their start (the operations of
    # editing), and would each spend 0.35 s of a processor on it before their first answer.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    count = len(places)
    if count < 2:
        return np.zeros(count, np.int64), count
    tree = cKDTree(places, balanced_tree=False, compact_nodes=False)
    if tree.count_neighbors(tree, distance) > _CROWD * count:
        # Thousands of places within a millimetre: the pairs of all would not fit memory, and a
        # sixteenth of the distance does not matter to anyone.
        step = distance / 16
        _, thin, inverse = np.unique(
            np.round(places[:, 0] / step) + 1j * np.round(places[:, 1] / step),
            return_index=True,
            return_inverse=True,
        )
        if len(thin) < count:
            labels, number = _linked(places[thin], distance)
            return labels[inverse], number
    pairs = tree.query_pairs(distance, output_type="ndarray")
    if not len(pairs):
        return np.arange(count), count
    ones = np.ones(len(pairs), np.int8)
    number, labels = connected_components(
        coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count)), directed=False
    )
    return labels.astype(np.int64), int(number)


def _with_a_place(chosen: Members) -> tuple[Members, Floats, Ints]:
    """Those that have a place, lines with two or more vertices and points, all coordinates finite; their
    vertices (m, 3; Z is NaN where unknown), and where those of each begin, and the end of the last."""
    xyz, index = shapely.get_coordinates(chosen.geometry, include_z=True, return_index=True)
    count = np.bincount(index, minlength=len(chosen))
    least = np.array([2 if part.layer.dimension == 1 else 1 for part in chosen.parts], np.int64)
    good = count >= least[chosen.part]
    finite = np.isfinite(xyz[:, :2])
    if not finite.all():
        good &= np.bincount(index[~finite.all(axis=1)], minlength=len(chosen)) == 0
    return (chosen, xyz, _first(count)) if good.all() else _with_a_place(chosen.only(good))


def _first(counts: Ints) -> Ints:
    """Where each group begins, and the end of the last."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


def _grouped(nodes: npt.NDArray[np.int64], counts: Ints) -> tuple[Ints, Ints]:
    return _first(counts), np.argsort(nodes, kind="stable").astype(np.int64)


def groups(labels: Ints, which: Ints) -> Iterable[tuple[int, Ints]]:
    """(label, those of ``which`` that have it), by label; ``labels`` belong to ``which``."""
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    for some in np.split(order, cuts) if len(order) else []:
        yield int(labels[some[0]]), which[some]
