"""What the demo plays: every share and size in one frozen table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """Shares and sizes of the demo; two runs with equal settings play the same orders in the same order of starts.

    Shares of the second block are shares of the storefront's orders, each order does one of these things; what remains
    is bought as it is: reserve, commit, fulfill on a later day.
    """

    days: int = 365
    """Days of the data to play, from the first on; the data has 365 (2017-12-25 is missing, 2018-01-01 is a stub)."""
    seed: int = 1
    """Decides what each basket does, which stock levels run short, and where the stores stand."""
    orders_in_flight: int = 96
    """Orders that are played at the same time."""

    digital_share: float = 0.25
    """Share of baskets that are carts of the storefront; the others are sales at a till."""
    ship_share: float = 0.5
    """Share of the storefront's orders that are brought to the customer; the others are picked up at the basket's
    store, unless it is one that ships."""
    ship_store_count: int = 12
    """Stores that ship, beside the warehouses, and hand over no orders."""
    ship_store_sku_share: float = 0.35
    """Share of the skus wanted for shipping that a store that ships stocks for it; of a warehouse nine tenths."""
    ship_stock: float = 1.3
    """Units for shipping that the network opens with for each unit that is wanted."""
    customer_degrees: float = 0.6
    """How far from the basket's store its customer lives at most, degrees: illustrations, as the stores' places are."""

    amended_share: float = 0.08
    """One line grows or shrinks by a unit before checkout."""
    extended_share: float = 0.06
    """The cart is kept longer before checkout."""
    abandoned_share: float = 0.06
    """The cart is left alone and its hold ends by itself."""
    released_share: float = 0.04
    """The cart is emptied."""
    cancelled_share: float = 0.04
    """The order is placed, and cancelled on a later day instead of being fulfilled."""

    returned_share: float = 0.02
    """Share of till sales of which one line comes back later, in any store."""
    return_days_max: int = 14
    """A return comes 1 to this many days after the sale, at the latest on the closing day."""
    fulfill_days_max: int = 2
    """An order is fulfilled or cancelled 1 to this many days after checkout, at the latest on the closing day."""

    short_level_share: float = 0.03
    """Share of the stock levels with digital demand that open with less than that demand."""
    checkout_ttl_seconds: float = 900.0
    """How long a cart that is checked out holds its stock."""
    abandoned_ttl_seconds: float = 2.0
    """How long a cart that is left alone holds its stock; short, so that it ends while the demo runs."""

    flash_units: int = 1_000
    """Units in the flash sale."""
    flash_buyers: int = 10_000
    """Buyers in the flash sale; each wants one unit."""
    flash_in_flight: int = 256
    """Buyers that try at the same time, beside the orders in flight."""

    deadline_seconds: float = 10.0
    """Deadline of each call."""

    def __post_init__(self) -> None:
        if not 1 <= self.days <= 365:
            raise ValueError(f"days: expected 1 to 365, was {self.days}.")
        if self.seed < 0:
            raise ValueError(f"seed: expected 0 or more, was {self.seed}.")
        if self.special_share > 1:
            raise ValueError(f"shares of the storefront's orders: expected a sum up to 1, was {self.special_share}.")

    @property
    def special_share(self) -> float:
        """Share of the storefront's orders that are not simply bought."""
        return (
            self.amended_share + self.extended_share + self.abandoned_share + self.released_share + self.cancelled_share
        )
