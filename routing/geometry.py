"""Points on the globe: unit vectors for the kernel, great-circle distances for people and for the verifier."""

import math
from typing import Final

EARTH_RADIUS_KM: Final = 6371.0088
"""Mean radius (IUGG)."""
ANYWHERE_DOT: Final = -2.0
"""Below every cosine: no limit of distance."""

Vector = tuple[float, float, float]


def unit_vector(latitude: float, longitude: float) -> Vector:
    """Return the point on the unit sphere; degrees north and east."""
    north, east = math.radians(latitude), math.radians(longitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def dot_within(km: float | None) -> float:
    """Return the least cosine of the central angle between points at most so far apart; None: anywhere."""
    if km is None or km >= math.pi * EARTH_RADIUS_KM:
        return ANYWHERE_DOT
    return math.cos(km / EARTH_RADIUS_KM)


def km_of_dot(dot: float) -> float:
    """Return the great-circle distance for a cosine of the central angle; to about 0.1 m near zero."""
    return EARTH_RADIUS_KM * math.acos(max(-1.0, min(1.0, dot)))


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the great-circle distance by the haversine formula (Sinnott 1984)."""
    north, other_north = math.radians(latitude), math.radians(other_latitude)
    half_north = math.sin((other_north - north) / 2)
    half_east = math.sin(math.radians(other_longitude - longitude) / 2)
    chord = half_north**2 + math.cos(north) * math.cos(other_north) * half_east**2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))
