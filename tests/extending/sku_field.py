"""A field of a sku: how long it keeps."""

from extending import Edit, Toy

TOY = Toy(
    heading="A field of a sku",
    most=3,
    edits=(
        Edit(
            "proto/onhand/inventory/v1/catalog.proto",
            """  // Restrictions, such as "hazmat" or "age-18"; each an identifier, at most 16.
  repeated string restrictions = 5;
  // Output only. Starts at 1 and grows by one with each change.
  int64 version = 6;
  // Output only. When it was created.
  google.protobuf.Timestamp create_time = 7;
  // Output only. When it last changed.
  google.protobuf.Timestamp update_time = 8;
""",
            """  // Days for which it keeps, 0 (unknown) to 2,147,483,647.
  int64 shelf_life_days = 9;
""",
        ),
        Edit(
            "ledger/parts/resources.py",
            """    restrictions: tuple[str, ...]
    version: int = 0
    create_time_us: int = 0
    update_time_us: int = 0
""",
            """    shelf_life_days: int = 0
""",
        ),
        Edit(
            "engine/api/stock/sku_fields.py",
            """    SkuField("restrictions", Words(limits.RESTRICTIONS_MAX), "what may not go everywhere"),
""",
            """    SkuField(
        "shelf_life_days", Whole(0, limits.QUANTITY_MAX), "days for which it keeps; 0 is not known", default="0"
    ),
""",
        ),
    ),
    test='''
"""A field of a sku: written, read, changed, refused by name, in files and in their docs."""

import pytest
from docs_tables import LOAD
from extending.lives import lives
from harness import Refused
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from load_files.harness import items, read


def write(client):
    sku = catalog_pb2.Sku(sku_id="MILK", base_unit="each", shelf_life_days=10)
    client.call(client.catalog.CreateSku, catalog.CreateSkuRequest(sku=sku))
    sku.shelf_life_days = 12
    request = catalog.UpdateSkuRequest(sku=sku)
    request.update_mask.paths.append("shelf_life_days")
    assert client.call(client.catalog.UpdateSku, request).sku.shelf_life_days == 12
    sku.shelf_life_days = -1
    with pytest.raises(Refused, match=r"skus.0..shelf_life_days: expected 0 to 2147483647, was -1"):
        client.call(client.catalog.UpsertSkus, catalog.UpsertSkusRequest(skus=[sku]))


def check(client):
    found = client.call(client.catalog.GetSku, catalog.GetSkuRequest(sku_id="MILK")).sku
    assert (found.shelf_life_days, found.version) == (12, 2)


def test_it_is_kept(tmp_path):
    lives(tmp_path, write, check)


def test_files_may_say_it(tmp_path):
    changes, problems = read(tmp_path, "skus.csv", "sku_id,base_unit,shelf_life_days\\nMILK,each,10\\n")
    assert ([item.shelf_life_days for item in items(changes)], problems) == ([10], [])
    assert "| `shelf_life_days` | days for which it keeps; 0 is not known |" in LOAD.read_text()
''',
)
