r"""Fill lines from a given subset where they compete: a flow of least cost, by successive shortest paths.

    source -> lines -> stock rows at locations -> locations -> sink
                 \-> sink, unfilled

An arc has a line's units, a candidate's room and unit cost, a row's stock at its location, or a location's capacity.
Exact for integers: Ahuja, Magnanti and Orlin, Network Flows (1993), section 9.7. Costs may be negative, so paths are
found by Bellman and Ford. The graph is small: at most SHIPMENTS_MAX candidates.
"""

from routing.arrays import COST_FAR, NONE
from routing.kernel import helper, rare

SOURCE = 0
SINK = 1
LINES = 2


@rare
def fill_by_flow(order, menu, work, size):
    """Write work.units for the members and return what all lines cost, their unfilled units included."""
    lines = order.units.shape[0]
    pairs = LINES + lines
    nodes, edges = _build(order, menu, work, size, lines, pairs)
    cost = 0
    while _find_path(work, nodes, edges):
        room, node = COST_FAR, SINK
        while node != SOURCE:
            edge = work.node_via[node]
            room = min(room, work.edge_room[edge])
            node = work.edge_to[edge ^ 1]
        node = SINK
        while node != SOURCE:
            edge = work.node_via[node]
            work.edge_room[edge] -= room
            work.edge_room[edge ^ 1] += room
            cost += room * work.edge_cost[edge]
            node = work.edge_to[edge ^ 1]
    edge = 0
    for line in range(lines):
        edge += 4  # from the source, and to the sink
        for member in range(size):
            work.units[line, member] = work.edge_room[edge + 1]
            edge += 2
    return cost


@helper
def _build(order, menu, work, size, lines, pairs):
    """Write all edges: for each line from the source, to the sink, to each member's pair; then pairs and locations."""
    location_count = menu.spare.shape[0]
    edges, pair_count = 0, 0
    for line in range(lines):
        edges = _add(work, edges, SOURCE, LINES + line, menu.left[line], 0)
        edges = _add(work, edges, LINES + line, SINK, menu.left[line], menu.unfilled_cost[line])
        for member in range(size):
            place = work.members[member]
            location = work.kept[place] % location_count
            pair = 0
            while pair < pair_count and (
                work.pair_row[pair] != order.row[line] or work.pair_location[pair] != location
            ):
                pair += 1
            if pair == pair_count:
                work.pair_row[pair], work.pair_location[pair], work.pair_room[pair] = order.row[line], location, 0
                pair_count += 1
            # Rooms of lines of one row differ where a line wants less than there is, or is not eligible.
            room = work.room[place, line]
            work.pair_room[pair] = max(work.pair_room[pair], menu.stock_left[line, work.kept[place]] if room > 0 else 0)
            edges = _add(work, edges, LINES + line, pairs + pair, room, work.unit_cost[place, line])
    nodes = pairs + pair_count
    for pair in range(pair_count):
        location, first = work.pair_location[pair], pair
        for other in range(pair):
            if work.pair_location[other] == location:
                first = other
                break
        if first == pair:
            work.pair_node[pair] = nodes
            edges = _add(work, edges, nodes, SINK, menu.spare[location], 0)
            nodes += 1
        edges = _add(work, edges, pairs + pair, work.pair_node[first], work.pair_room[pair], 0)
    return nodes, edges


@helper
def _add(work, edges, start, end, room, cost):
    work.edge_to[edges], work.edge_to[edges + 1] = end, start
    work.edge_room[edges], work.edge_room[edges + 1] = room, 0
    work.edge_cost[edges], work.edge_cost[edges + 1] = cost, -cost
    return edges + 2


@helper
def _find_path(work, nodes, edges):
    """Write the cheapest path to each node; returns whether the sink is reached."""
    for node in range(nodes):
        work.node_cost[node] = COST_FAR
        work.node_via[node] = NONE
    work.node_cost[SOURCE] = 0
    is_changed = True
    while is_changed:
        is_changed = False
        for edge in range(edges):
            start = work.edge_to[edge ^ 1]
            if work.edge_room[edge] > 0 and work.node_cost[start] < COST_FAR:
                cost, end = work.node_cost[start] + work.edge_cost[edge], work.edge_to[edge]
                if cost < work.node_cost[end]:
                    work.node_cost[end] = cost
                    work.node_via[end] = edge
                    is_changed = True
    return work.node_cost[SINK] < COST_FAR
